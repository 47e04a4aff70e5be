/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* threads.h - threads that share one state under one lock (a monitor)
 *
 * A thread holds the lock while it reads or changes the state, and may wait for a change.
 * Signals are delivered to the caller's thread only. */
#pragma once
#include <stdbool.h>

#include "base/cleanup.h"

struct coffer_threads;

/* Processors that this process may use. */
unsigned int coffer_processors(void);

/* Run once by each thread, without the lock; 0 <= @thread < threads. */
typedef void (*coffer_threads_work)(void *arg, unsigned int thread);

/* A monitor without threads yet. NULL: no memory. */
struct coffer_threads *coffer_threads_new(void);
/* Start up to @threads. Returns how many run now, which may be none. */
unsigned int coffer_threads_start(
	struct coffer_threads *c, unsigned int threads, coffer_threads_work work, void *arg);
/* Wait until each thread has returned, and free @c. NULL is fine. */
void coffer_threads_join(struct coffer_threads *c);

void coffer_threads_lock(struct coffer_threads *c);
void coffer_threads_unlock(struct coffer_threads *c);
/* With the lock: release it until coffer_threads_wake is called or @seconds have passed
 * (@seconds < 0: no limit), then take it again. It may return earlier: check the state again. */
void coffer_threads_wait(struct coffer_threads *c, double seconds);
/* With the lock: wake all threads that wait. */
void coffer_threads_wake(struct coffer_threads *c);
