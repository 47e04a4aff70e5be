/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* coffer/operation.h - what a run does next on a disk */
#ifndef COFFER_OPERATION_H
#define COFFER_OPERATION_H

#include "coffer/err.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Decided from the content of the disk alone. */
enum coffer_operation {
	COFFER_OP_UNKNOWN,	    /* the disk was not examined */
	COFFER_OP_START,	    /* the disk holds no conversion: start one */
	COFFER_OP_REDO_PLACEMENT,   /* the header is partly placed: place it again */
	COFFER_OP_FINISH_PLACEMENT, /* the header is placed: erase record and image */
	COFFER_OP_CONVERT,	    /* convert the data below the pointer */
	COFFER_OP_FINALIZE,	    /* wipe the moved-segment copy, write the final header */
	COFFER_OP_SYNC_FINAL,	    /* write the final header to both copies */
	COFFER_OP_FINISH_UNDO,	    /* an abort was interrupted: finish it */
	/* A run does nothing on these. */
	COFFER_OP_ENCRYPTED, /* a LUKS volume, no conversion in progress */
	COFFER_OP_OTHER,     /* a reencryption that cryptsetup must resume */
	COFFER_OP_SHRUNK,    /* the device is smaller than the conversion on it */
	COFFER_OP_DAMAGED,   /* a person must decide */
	COFFER_N_OPERATIONS,
};
/* "start", "redo-placement", ...; "unknown" for UNKNOWN and any other value. */
COFFER_API const char *coffer_operation_name(enum coffer_operation o);

#ifdef __cplusplus
}
#endif
#endif
