/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* parallel.h - the same job on many pieces, on several threads */
#pragma once
#include <stddef.h>

#include "coffer/err.h"

/* One piece: number @i, on thread @thread (0 <= thread < threads). */
typedef int (*coffer_job)(void *arg, unsigned int thread, size_t i, struct coffer_err *e);

/* Run @job for 0 <= i < n on at most @threads threads, and wait for all. With one thread it runs
 * in order on the caller's. After a failure no new piece is begun; the first failure is returned,
 * with its @e. Signals stay with the caller's thread. */
int coffer_parallel_run(
	unsigned int threads, size_t n, coffer_job job, void *arg, struct coffer_err *e);

/* Processors this process may use. */
unsigned int coffer_processors(void);
