/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* estimate.c - from timed rounds on a scratch file to the time of a run */
#include "report/estimate.h"

#include <stdlib.h>

/* A small write and its flush: half a commit. */
static double flush_cost(const struct coffer_round *r)
{
	return r->commit / 2;
}

/* Seconds for each byte of something that took @seconds and ended with a flush. Clocks and disks
 * are noisy: a flush that seems to have taken nearly all of it took half of it at most. */
static double byte_cost(double seconds, double flush, uint64_t bytes)
{
	const double rest = seconds - flush;

	return (rest > seconds / 2 ? rest : seconds / 2) / (double)bytes;
}

static int compare(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

struct coffer_spread coffer_spread_of(double *v, size_t n)
{
	if (n == 0)
		return (struct coffer_spread){0};
	qsort(v, n, sizeof(*v), compare);
	return (struct coffer_spread){v[0], (v[(n - 1) / 2] + v[n / 2]) / 2, v[n - 1]};
}

double coffer_estimate_work(
	const struct coffer_round *r, uint64_t bytes, const struct coffer_works *w)
{
	const double flush = flush_cost(r);
	double seconds = (double)w->looks * flush;

	for (int i = 0; i < COFFER_N_WORK_PHASES; i++) {
		const struct coffer_work *s = &w->stage[i];

		/* A commit's own bytes are in the cost of its flushes. */
		seconds += (double)s->moved * byte_cost(r->move, flush, bytes) +
			   (double)s->read * r->read / (double)bytes +
			   (double)s->written * byte_cost(r->write, flush, bytes) +
			   (double)s->flushes * flush;
	}
	return seconds;
}

double coffer_estimate_step(const struct coffer_round *r, uint64_t bytes, uint64_t step)
{
	const double flush = flush_cost(r);

	return (double)step * byte_cost(r->move, flush, bytes) + 3 * flush;
}
