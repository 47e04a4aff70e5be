/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* child.h - one job in a process of its own
 *
 * For work that may take long, may take memory without end or may fall over what it is given, and
 * for settings that libraries keep for a whole process. The child is a fork: it has what the
 * caller had, and gives back a number, an error and what it puts into memory that both share.
 * Signals are the caller's: in the child all are blocked, since a handler must not run twice. */
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

/* The job's own view of the wish to stop: that of a child that cleans up behind itself. */
struct coffer_child;
bool coffer_child_stopped(const struct coffer_child *c);

typedef int (*coffer_child_job)(void *arg, const struct coffer_child *c, struct coffer_err *e);

enum coffer_child_kind {
	/* It calculates: it is killed at the wish to stop, when the caller dies, and when it stands
	 * still. Then it is begun anew, so it must be such that it can be. fork() in a process of
	 * several threads may catch another one with a lock of libc or libcrypto in its hands, and
	 * in the child nobody is left to give it back. A child that waits for it uses no processor
	 * time; one that calculates does all the time. */
	COFFER_CHILD_WORKS,
	/* It may wait for something: it is killed at the wish to stop and when the caller dies. */
	COFFER_CHILD_WAITS,
	/* It has something to clean up: at the wish to stop and when the caller dies it is told,
	 * and ends by itself: coffer_child_stopped. */
	COFFER_CHILD_TIDIES,
};

/* Run @job and wait for it. Its result and error are returned; -EINTR, without an error: @stop
 * wanted it. -EIO: the child died; -EDEADLK: it stood still each time; @what ("making the LUKS2
 * header") says in which work. */
int coffer_child_run(coffer_child_job job, void *arg, enum coffer_child_kind kind,
	const struct coffer_stop *stop, const char *what, struct coffer_err *e);
