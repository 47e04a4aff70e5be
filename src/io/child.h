/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* child.h - one job in a forked process that cleans up behind itself
 *
 * The child is a fork: it has what the caller had, and gives back a number, an error and what it
 * puts into memory that both share. It runs libraries, so it must not be forked while another
 * thread of the caller may be in one of them: only the program's own single-threaded verbs use it.
 * Jobs of libcryptsetup run in the helper program instead (luks2/helper.h). Signals are the
 * caller's: in the child all are blocked, since a handler must not run twice. */
#pragma once
#include <stdbool.h>

#include "coffer/err.h"

/* Asked every few milliseconds whether to give up; NULL: never. */
struct coffer_stop {
	bool (*wanted)(void *userdata);
	void *userdata;
};

static inline bool coffer_stop_wanted(const struct coffer_stop *s)
{
	return s && s->wanted && s->wanted(s->userdata);
}

struct coffer_child;
typedef int (*coffer_child_job)(void *arg, const struct coffer_child *c, struct coffer_err *e);

/* Must the job end? The caller wants it, or has died. */
bool coffer_child_stopped(const struct coffer_child *c);

/* Run @job and wait for it: at the wish to stop and when the caller dies it is asked to end
 * (coffer_child_stopped), and ends by itself. Returns its result, with its error. -EINTR, without
 * an error: @stop wanted it. -EIO: the child died; @what ("making the LUKS2 header") says in which
 * work. */
int coffer_child_run(coffer_child_job job, void *arg, const struct coffer_stop *stop,
	const char *what, struct coffer_err *e);
