/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* coffer/stage.h - how far the conversion of a disk is */
#ifndef COFFER_STAGE_H
#define COFFER_STAGE_H

#include "coffer/err.h"

#ifdef __cplusplus
extern "C" {
#endif

enum coffer_stage {
	COFFER_STAGE_PLAIN,	   /* no conversion, and not ready for one */
	COFFER_STAGE_RESERVED,	   /* a filesystem with the reserve after it: ready */
	COFFER_STAGE_PLACING,	   /* the header is partly placed */
	COFFER_STAGE_PLACED,	   /* the header is placed, no step is committed */
	COFFER_STAGE_CONVERTING,   /* steps are committed */
	COFFER_STAGE_WIPE_PENDING, /* all data is encrypted, the moved-segment copy is not wiped */
	COFFER_STAGE_ENCRYPTED,	   /* a LUKS volume, no conversion in progress */
	COFFER_STAGE_UNDOING,	   /* an abort was interrupted */
	COFFER_STAGE_OTHER,	   /* a reencryption that cryptsetup must resume */
	COFFER_STAGE_SHRUNK,	   /* the device is smaller than the conversion on it */
	COFFER_STAGE_DAMAGED,	   /* none of these */
	COFFER_N_STAGES,
};
/* "plain", "reserved", ...; "unknown" for anything else. */
COFFER_API const char *coffer_stage_name(enum coffer_stage s);

#ifdef __cplusplus
}
#endif
#endif
