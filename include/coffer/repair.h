/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* coffer/repair.h - finish or undo what was interrupted, recover what is torn
 *
 * Diagnoses the disk, asks, and does the listed actions in order. Before each action the disk is
 * diagnosed again, and the action is done only if the disk still needs it; one that another program
 * has done meanwhile is skipped. If the facts are ambiguous there is no action. */
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
	struct coffer_status *status; /* before */
	struct coffer_findings findings;
	struct coffer_repair_action actions[COFFER_MAX_REPAIRS];
	size_t n_actions;
	bool done[COFFER_MAX_REPAIRS]; /* by this call */
	size_t n_done;
	bool changed;
	enum coffer_stage stage_after;
	bool unlocked_run; /* as in coffer_encrypt_result */
};

struct coffer_repair_options {
	const char *device;
	bool dry_run; /* findings and actions only; needs read access only */
	/* as in coffer_encrypt_options, for RESUME */
	uint32_t threads;
	enum coffer_used_only used_only;
	enum coffer_free_space free_space;
	uint64_t max_rate;
	bool verify;
	/* May all of @r->actions be done? NULL: yes. Called once, if there is an action. */
	bool (*confirm)(void *userdata, const struct coffer_repair_result *r);
	/* as in coffer_encrypt; passphrase is called for RESUME only. NULL: RESUME is not listed,
	 * and a conversion stays where it is */
	struct coffer_encrypt_callbacks callbacks;
};

/* Repair @o->device. *ret, for coffer_repair_free, is set once the disk was diagnosed, on failure
 * too. 0: nothing to do, all done, or a dry run.
 * NO with -ECANCELED: confirm returned false. REFUSED: the disk is another program's to repair, or
 * is in use. NEEDS_REPAIR: no safe action exists, the filesystem's checker finds damage, or the
 * disk needs an action that was not listed. INTERRUPTED: the same call resumes; also for a wrong
 * key if an action was done before. */
COFFER_API int coffer_repair(const struct coffer_repair_options *o,
	struct coffer_repair_result **ret, struct coffer_err *e);
COFFER_API void coffer_repair_free(struct coffer_repair_result *r); /* NULL is fine */

#ifdef __cplusplus
}
#endif
#endif
