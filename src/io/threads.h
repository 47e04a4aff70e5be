/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* threads.h - threads that share one state under one lock, until there is nothing left to do
 *
 * A monitor: whoever looks at the state holds the lock, and waits for a change of it. Signals stay
 * with the caller's thread. */
#pragma once
#include <stdbool.h>

#include "base/cleanup.h"

struct coffer_threads;

/* What each thread runs, once, without the lock; 0 <= @thread < threads. */
typedef void (*coffer_threads_work)(void *arg, unsigned int thread);

/* A monitor without threads yet. NULL: no memory. */
struct coffer_threads *coffer_threads_new(void);
/* Start up to @threads; returns how many there are now, which may be none. */
unsigned int coffer_threads_start(
	struct coffer_threads *c, unsigned int threads, coffer_threads_work work, void *arg);
/* Wait until each of them has returned, and free it. NULL is fine. */
void coffer_threads_join(struct coffer_threads *c);

void coffer_threads_lock(struct coffer_threads *c);
void coffer_threads_unlock(struct coffer_threads *c);
/* With the lock: let go of it until somebody calls coffer_threads_wake, or until @seconds have
 * passed;
 * @seconds < 0: for ever. It may return earlier, so the caller looks again. */
void coffer_threads_wait(struct coffer_threads *c, double seconds);
/* With the lock: wake all that wait. */
void coffer_threads_wake(struct coffer_threads *c);
