/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* clock.c - a clock that never jumps */
#include "io/clock.h"

#include <time.h>

double coffer_clock(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

void coffer_sleep(double seconds)
{
	const time_t whole = (time_t)seconds;
	const struct timespec t = {whole, (long)((seconds - (double)whole) * 1e9)};

	(void)nanosleep(&t, NULL);
}
