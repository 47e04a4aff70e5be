/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* estimate.h - from timed rounds on a scratch file to the time of a run
 *
 * A round is what a step of the conversion is, but smaller. Its time has two parts that grow
 * differently: one with the bytes, one with the number of commits. Both are told apart, so that the
 * time of a large step does not count the commits of many small ones. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "report/work.h"

/* Seconds that one round took. */
struct coffer_round {
	double read;   /* bytes, where they were not read just before */
	double write;  /* bytes and a flush */
	double move;   /* bytes: read, encrypt, write further up; and a flush */
	double commit; /* two header copies, each with a flush of its own */
};

struct coffer_spread {
	double low, median, high;
};

/* Sorts @v. All 0 for n = 0. */
struct coffer_spread coffer_spread_of(double *v, size_t n);

/* Seconds that @w takes on a machine where a round with @bytes took @r. */
double coffer_estimate_work(
	const struct coffer_round *r, uint64_t bytes, const struct coffer_works *w);

/* Seconds of one step that moves @step bytes, with its commit. */
double coffer_estimate_step(const struct coffer_round *r, uint64_t bytes, uint64_t step);
