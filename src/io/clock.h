/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* clock.h - a clock that never jumps */
#pragma once
#include <time.h>

/* Seconds since an arbitrary moment. */
static inline double coffer_clock(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Returns early at a signal. */
static inline void coffer_sleep(double seconds)
{
	const time_t whole = (time_t)seconds;
	const struct timespec t = {whole, (long)((seconds - (double)whole) * 1e9)};

	(void)nanosleep(&t, NULL);
}
