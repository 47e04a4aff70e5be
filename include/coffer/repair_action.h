/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* coffer/repair_action.h - one action of repair */
#ifndef COFFER_REPAIR_ACTION_H
#define COFFER_REPAIR_ACTION_H

#include "coffer/err.h"

#ifdef __cplusplus
extern "C" {
#endif

enum coffer_repair_kind {
	COFFER_REPAIR_RECOVER_COPY,	/* rewrite both header copies from the newest usable one */
	COFFER_REPAIR_REDO_PLACEMENT,	/* place the header again */
	COFFER_REPAIR_FINISH_PLACEMENT, /* the header is placed: erase record and image */
	COFFER_REPAIR_FINISH_UNDO,	/* finish an abort */
	COFFER_REPAIR_UNDO_PLACEMENT, /* the header's image is lost: write the moved segment back */
	COFFER_REPAIR_UNDO_BLOCK_0,   /* write only block 0 back: the rest was used since */
	COFFER_REPAIR_UNDO_STOCK_PLACEMENT, /* write back the segment that cryptsetup moved */
	COFFER_REPAIR_ERASE_TRANSITION,	    /* erase the transition block */
	COFFER_REPAIR_ERASE_RECORD,	    /* erase the record of a placement that never began */
	COFFER_REPAIR_RESUME,		    /* resume the conversion to its end: needs a key */
	COFFER_N_REPAIRS,
};
/* "recover-header-copy", "redo-placement", ...; "unknown" for any other value. */
COFFER_API const char *coffer_repair_kind_name(enum coffer_repair_kind k);

struct coffer_repair_action {
	enum coffer_repair_kind kind;
	const char *text; /* what it does, and why nothing is lost; static */
};

enum {
	COFFER_MAX_REPAIRS = 4
};

#ifdef __cplusplus
}
#endif
#endif
