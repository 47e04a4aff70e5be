/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* coffer/repair.h - finish what is unfinished, undo what is undoable, put back what is torn
 *
 * First a list of findings and of actions, from what is on the disk; then a question; then the
 * actions, in this order. The disk is examined again before each, and the action is
 * done only if the disk still needs it; what another program has done meanwhile is left out. Where
 * the facts are ambiguous there is no action. */
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
	bool done[COFFER_MAX_REPAIRS]; /* by this call: cryptsetup may have been faster */
	size_t n_done;
	bool changed;
	enum coffer_stage stage_after; /* when something was done */
	bool unlocked_run;	       /* as in coffer_encrypt_result */
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
	/* May all of @r->actions be done? NULL: yes. Called once, when there is one. */
	bool (*confirm)(void *userdata, const struct coffer_repair_result *r);
	/* as in coffer_encrypt; passphrase is called for RESUME only, and may be NULL: then a
	 * conversion is left where it stands, and the action is not in the list */
	struct coffer_encrypt_callbacks callbacks;
};

/* Repair @o->device. *ret, for coffer_repair_free, is set as soon as the disk was examined, on
 * failure too. 0: nothing was to be done, all was done, or it was a dry run.
 * Outcome NO with -ECANCELED: confirm said no. REFUSED: what is to be done is another program's,
 * or the device is in use. NEEDS_REPAIR: there is a finding that is BAD and no safe action for it,
 * the filesystem's checker finds damage in what was put back, or the disk asks for an action that
 * was not listed.
 * INTERRUPTED: the same call resumes; a key that does not fit is that where an action was done
 * before it was asked for. */
COFFER_API int coffer_repair(const struct coffer_repair_options *o,
	struct coffer_repair_result **ret, struct coffer_err *e);
COFFER_API void coffer_repair_free(struct coffer_repair_result *r); /* NULL is fine */

#ifdef __cplusplus
}
#endif
#endif
