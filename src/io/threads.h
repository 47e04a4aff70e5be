/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* threads.h - threads that share one state under one lock, until there is nothing left to do
 *
 * A monitor: whoever looks at the state holds the lock, and waits for a change of it. Signals stay
 * with the caller's thread. */
#pragma once
#include <stdbool.h>

#include "base/cleanup.h"

struct coffer_crew;

/* What each thread runs, once, without the lock; 0 <= @thread < threads. */
typedef void (*coffer_crew_work)(void *arg, unsigned int thread);

/* A monitor without threads yet. NULL: no memory. */
struct coffer_crew *coffer_crew_new(void);
/* Start up to @threads; returns how many there are now, which may be none. */
unsigned int coffer_crew_start(
	struct coffer_crew *c, unsigned int threads, coffer_crew_work work, void *arg);
/* Wait until each of them has returned, and free it. NULL is fine. */
void coffer_crew_end(struct coffer_crew *c);

void coffer_crew_lock(struct coffer_crew *c);
void coffer_crew_unlock(struct coffer_crew *c);
/* With the lock: let go of it until somebody calls coffer_crew_wake, or until @seconds have passed;
 * @seconds < 0: for ever. It may return earlier, so the caller looks again. */
void coffer_crew_wait(struct coffer_crew *c, double seconds);
/* With the lock: wake all that wait. */
void coffer_crew_wake(struct coffer_crew *c);
