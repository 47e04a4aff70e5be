/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* child.h - run one job in a forked process that cleans up after itself
 *
 * The child shares the caller's memory as it was, and returns a number and an error. It runs
 * libraries, so it must not be forked while another thread may be in one of them: only the
 * program's own single-threaded verbs use it. Jobs of libcryptsetup run in the helper program
 * instead (luks2/helper.h). All signals are blocked in the child, since a handler must not run
 * twice. */
#pragma once
#include <stdbool.h>

#include "coffer/err.h"

/* Asked every few milliseconds whether to stop; NULL: never. */
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

/* Must the job end? The caller wants it, or has ended. */
bool coffer_child_stopped(const struct coffer_child *c);

/* Run @job and wait for it. Once @stop wants it, or the caller has ended, coffer_child_stopped is
 * true, and the job must return. Returns its result, with its error. -EINTR, without an error:
 * @stop wanted it. -EIO: the child was killed; @what ("making the LUKS2 header") is for the
 * message. */
int coffer_child_run(coffer_child_job job, void *arg, const struct coffer_stop *stop,
	const char *what, struct coffer_err *e);
