/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* coffer/repair.h - finish or undo an interrupted run, recover torn header copies
 *
 * A call diagnoses the disk, asks for confirmation, and performs the listed actions in order.
 * Before each action it diagnoses the disk again, and performs the action only if the disk still
 * needs it; an action that another program has performed meanwhile is skipped. If the facts are
 * ambiguous, no action is offered. */
#ifndef COFFER_REPAIR_H
#define COFFER_REPAIR_H

#include <stdbool.h>
#include <stddef.h>

#include "coffer/encrypt.h"
#include "coffer/err.h"
#include "coffer/finding.h"
#include "coffer/repair_action.h"
#include "coffer/stage.h"
#include "coffer/status.h"

#ifdef __cplusplus
extern "C" {
#endif

struct coffer_repair_result {
	struct coffer_status *status; /* before the first action */
	struct coffer_findings findings;
	struct coffer_repair_action actions[COFFER_MAX_REPAIRS];
	size_t n_actions;
	bool done[COFFER_MAX_REPAIRS]; /* which of the actions this call has performed */
	size_t n_done;
	bool changed;		       /* this call has written to the device */
	enum coffer_stage stage_after; /* if changed */
	bool unlocked_run;	       /* as in coffer_encrypt_result */
};

struct coffer_repair_options {
	const char *device; /* block device or image file; required */
	bool dry_run;	    /* only diagnose; read access is enough */
	/* For RESUME, as in coffer_encrypt_options. */
	uint32_t threads;
	enum coffer_used_only used_only;
	enum coffer_free_space free_space;
	uint64_t max_rate;
	bool verify;
	/* Return true to perform @r->actions; NULL: always. Called once, if there are any. */
	bool (*confirm)(void *userdata, const struct coffer_repair_result *r);
	/* As in coffer_encrypt. passphrase is called for RESUME only; if it is NULL, RESUME is not
	 * listed, and a conversion is not resumed. */
	struct coffer_encrypt_callbacks callbacks;
};

/* Repair @o->device. *ret is set once the disk is diagnosed, on failure, too; free it with
 * coffer_repair_free.
 * Returns 0 if there is nothing to do, all actions are performed, or it is a dry run; otherwise a
 * negative errno. Outcome NO with -ECANCELED: confirm returned false; REFUSED: another program must
 * finish it, the device is too small, or it is in use; NEEDS_REPAIR: no action is safe, the
 * filesystem's checker finds damage, or the disk needs an action that was not listed; INTERRUPTED:
 * the same call resumes, also after a wrong key if an action was performed before; FAILED: nothing
 * was written. */
COFFER_API int coffer_repair(const struct coffer_repair_options *o,
	struct coffer_repair_result **ret, struct coffer_err *e);
COFFER_API void coffer_repair_free(struct coffer_repair_result *r); /* NULL is fine */

#ifdef __cplusplus
}
#endif
#endif
