/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test_estimate.c - how long a run is going to take */
#include "report/estimate.h"

#include <math.h>

#include "base/cleanup.h"
#include "tap.h"

#define MiB (UINT64_C(1) << 20)

static bool near(double a, double b)
{
	return fabs(a - b) <= 1e-9 * (fabs(a) + fabs(b));
}

static void check_ranges(void)
{
	static const struct {
		const char *name;
		size_t n;
		double v[5], low, median, high;
	} rows[] = {
		{"nothing", 0, {0}, 0, 0, 0},
		{"one", 1, {3}, 3, 3, 3},
		{"two", 2, {4, 2}, 2, 3, 4},
		{"an odd number", 5, {5, 1, 4, 2, 9}, 1, 4, 9},
		{"an even number", 4, {5, 1, 4, 2}, 1, 3, 5},
		{"equal ones", 3, {7, 7, 7}, 7, 7, 7},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		double v[5];
		struct coffer_spread r;

		for (size_t k = 0; k < 5; k++)
			v[k] = rows[i].v[k];
		r = coffer_spread_of(v, rows[i].n);
		ok(near(r.low, rows[i].low) && near(r.median, rows[i].median) &&
				near(r.high, rows[i].high),
			"range: %s", rows[i].name);
	}
}

/* A machine that reads 200 MiB/s, writes 100 MiB/s, moves 50 MiB/s, with a flush of 10 ms: what
 * rounds of any size would take on it, and what is told from them. */
static struct coffer_round rounds_of(uint64_t bytes, double flush)
{
	const double mib = (double)bytes / (double)MiB;

	return (struct coffer_round){
		.read = mib / 200,
		.write = mib / 100 + flush,
		.move = mib / 50 + flush,
		.commit = 2 * flush,
	};
}

static void check_work(void)
{
	static const struct {
		const char *name;
		uint64_t bytes; /* of a round */
		double flush;
		struct coffer_works w;
		double seconds;
	} rows[] = {
		{"nothing", 8 * MiB, 0.01, {.looks = 0}, 0},
		{"moving", 8 * MiB, 0.01, {.stage[COFFER_WORK_CONVERT] = {.moved = 500 * MiB}}, 10},
		{"reading", 8 * MiB, 0.01, {.stage[COFFER_WORK_SAVE] = {.read = 500 * MiB}}, 2.5},
		{"writing", 8 * MiB, 0.01, {.stage[COFFER_WORK_FINALIZE] = {.written = 500 * MiB}},
			5},
		{"flushes", 8 * MiB, 0.01, {.stage[COFFER_WORK_PLACE] = {.flushes = 100}}, 1},
		{"looks", 8 * MiB, 0.01, {.looks = 100}, 1},
		{"commits are in their flushes", 8 * MiB, 0.01,
			{.stage[COFFER_WORK_CONVERT] = {.commits = 50, .flushes = 100}}, 1},
		{"all stages", MiB, 0.001,
			{.looks = 4,
				.stage = {[COFFER_WORK_SAVE] = {.read = 200 * MiB,
						  .written = 100 * MiB,
						  .flushes = 3},
					[COFFER_WORK_PLACE] = {.written = 100 * MiB, .flushes = 6},
					[COFFER_WORK_CONVERT] = {.moved = 100 * MiB,
						.flushes = 300},
					[COFFER_WORK_FINALIZE] = {.written = 100 * MiB,
						.flushes = 3}}},
			1 + 3 + 2 + 0.316},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct coffer_round r = rounds_of(rows[i].bytes, rows[i].flush);
		const double got = coffer_estimate_work(&r, rows[i].bytes, &rows[i].w);

		if (!ok(near(got, rows[i].seconds), "work: %s", rows[i].name))
			note("%.9f s", got);
	}
}

/* The same machine, seen through rounds of 1 and of 8 MiB: a step of 16 MiB must not take eight
 * times the commits. */
static void check_steps(void)
{
	static const uint64_t sizes[] = {MiB, 2 * MiB, 8 * MiB, 16 * MiB};

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		const struct coffer_round r = rounds_of(sizes[i], 0.01);

		ok(near(coffer_estimate_step(&r, sizes[i], 16 * MiB), 16.0 / 50 + 0.03),
			"a step of 16 MiB from rounds of %u MiB", (unsigned int)(sizes[i] / MiB));
	}
	/* The flush is most of what was measured: some of it must still be the bytes'. */
	ok(coffer_estimate_step(
		   &(struct coffer_round){.move = 0.02, .commit = 0.1}, MiB, 2 * MiB) >= 0.02,
		"bytes are never free");
}

int main(void)
{
	check_ranges();
	check_work();
	check_steps();
	return done_testing();
}
