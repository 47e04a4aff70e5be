/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test_work.c - what a run would write, and how long it would take
 *
 * The loop tests compare the same numbers with real runs. */
#include "report/work.h"

#include <inttypes.h>
#include <math.h>

#include "base/cleanup.h"
#include "tap.h"

#define MiB (UINT64_C(1) << 20)

/* L is 10 MiB, S 1 MiB: 10 steps. */
static const struct coffer_work_facts facts = {
	.geometry = {.device = 12 * MiB, .shift = MiB, .length = 10 * MiB, .sector_size = 4096},
	.pointer = 10 * MiB,
	.copy_size = 16384,
	.image_size = 290816,
	.n_masked = 1,
	.locked = true,
};

static uint64_t flushes(const struct coffer_works *w)
{
	uint64_t n = w->examinations;

	for (int i = 0; i < COFFER_N_WORK_PHASES; i++)
		n += w->phases[i].flushes;
	return n;
}

static uint64_t written(const struct coffer_works *w)
{
	uint64_t n = 0;

	for (int i = 0; i < COFFER_N_WORK_PHASES; i++)
		n += coffer_work_written(&w->phases[i], facts.copy_size);
	return n;
}

static void check_actions(void)
{
	static const uint64_t block = 4096, commit = 2 * 16384, image = 290816,
			      erase = 2 * 4096 + 290816;
	static const uint64_t save = 3 * block - block + image + MiB;
	static const uint64_t place = 2 * block + MiB + erase;
	const struct {
		const char *name;
		enum coffer_operation a;
		uint64_t pointer;
		bool unlocked;
		uint64_t steps, flushes, moved, written;
	} rows[] = {
		{"from the start", COFFER_OP_START, 10 * MiB, false, 10, 4 + 10 + 2 + 30 + 3,
			10 * MiB, save + place + 10 * MiB + 12 * commit + MiB},
		{"without locks", COFFER_OP_START, 10 * MiB, true, 10, 6 + 10 + 2 + 30 + 3,
			10 * MiB, save + place + 10 * MiB + 12 * commit + MiB},
		{"partly placed", COFFER_OP_REDO_PLACEMENT, 10 * MiB, false, 10, 5 + 6 + 2 + 30 + 3,
			10 * MiB, place + 10 * MiB + 12 * commit + MiB},
		{"placed", COFFER_OP_FINISH_PLACEMENT, 10 * MiB, false, 10, 5 + 3 + 2 + 30 + 3,
			10 * MiB, commit + erase + 10 * MiB + 12 * commit + MiB},
		{"half converted", COFFER_OP_CONVERT, 5 * MiB, false, 5, 4 + 2 + 15 + 3, 5 * MiB,
			5 * MiB + 7 * commit + MiB},
		{"a short step is left", COFFER_OP_CONVERT, MiB + 512, false, 2, 4 + 2 + 6 + 3,
			MiB + 512, MiB + 512 + 4 * commit + MiB},
		{"the moved segment is left", COFFER_OP_CONVERT, MiB, false, 1, 4 + 2 + 3 + 3, MiB,
			MiB + 3 * commit + MiB},
		{"the end is left", COFFER_OP_FINALIZE, 0, false, 0, 3 + 5, 0, 2 * commit + MiB},
		{"one final copy", COFFER_OP_SYNC_FINAL, 0, false, 0, 3 + 2, 0, commit},
		{"an abort", COFFER_OP_FINISH_UNDO, 10 * MiB, false, 0, 2 + 9, 0,
			3 * MiB + 5 * block},
		{"encrypted", COFFER_OP_ENCRYPTED, 0, false, 0, 0, 0, 0},
		{"another's", COFFER_OP_OTHER, 10 * MiB, false, 0, 0, 0, 0},
		{"damaged", COFFER_OP_DAMAGED, 10 * MiB, false, 0, 0, 0, 0},
		{"shrunk", COFFER_OP_SHRUNK, 10 * MiB, false, 0, 0, 0, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct coffer_work_facts f = facts;
		struct coffer_works w;

		f.pointer = rows[i].pointer;
		f.locked = !rows[i].unlocked;
		coffer_work_count(rows[i].a, &f, &w);
		if (!ok(w.steps == rows[i].steps && flushes(&w) == rows[i].flushes &&
				    w.phases[COFFER_WORK_CONVERT].moved == rows[i].moved &&
				    written(&w) == rows[i].written,
			    "%s", rows[i].name))
			note("steps %" PRIu64 " flushes %" PRIu64 " moved %" PRIu64
			     " written %" PRIu64 ", wanted %" PRIu64,
				w.steps, flushes(&w), w.phases[COFFER_WORK_CONVERT].moved,
				written(&w), rows[i].written);
	}
}

/* What is used follows from the map: bytes, steps, what is scrubbed, what is filled. */
static void check_maps(void)
{
	static const struct {
		const char *name;
		struct coffer_range used[3]; /* MiB */
		bool fill;
		uint64_t pointer, moved, steps, written; /* MiB */
	} rows[] = {
		{"all of it", {{0, 10}}, false, 10, 10, 10, 0},
		{"nothing", {{0, 0}}, false, 10, 0, 1, 0},
		{"the moved segment", {{0, 1}}, false, 10, 1, 1, 0},
		{"the last MiB", {{9, 10}}, false, 10, 1, 2, 1},
		{"in the middle", {{4, 6}}, false, 10, 2, 3, 1},
		{"two islands", {{2, 3}, {7, 8}}, false, 10, 2, 3, 2},
		{"filled", {{0, 1}}, true, 10, 1, 3, 9},
		{"below the pointer", {{0, 2}, {7, 8}}, false, 5, 2, 2, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct coffer_range used[3];
		struct coffer_used_map map = {
			.length = 10 * MiB, .used = used, .fill = rows[i].fill};
		struct coffer_work_facts f = facts;
		const struct coffer_work *w;
		struct coffer_works works;

		for (; map.n < 3 && rows[i].used[map.n].end > 0; map.n++)
			used[map.n] = (struct coffer_range){
				rows[i].used[map.n].start * MiB, rows[i].used[map.n].end * MiB};
		f.map = &map;
		f.map_size = 8192;
		f.verify = i % 2;
		f.pointer = rows[i].pointer * MiB;
		coffer_work_count(COFFER_OP_CONVERT, &f, &works);
		w = &works.phases[COFFER_WORK_CONVERT];
		if (!ok(w->moved == rows[i].moved * MiB && works.steps == rows[i].steps &&
				    w->written == rows[i].written * MiB &&
				    w->read == (f.verify ? w->moved + w->written : 0) &&
				    w->commits == works.steps + 1 &&
				    w->flushes == 3 * works.steps + 2 &&
				    works.phases[COFFER_WORK_FINALIZE].written == MiB + 8192,
			    "used: %s", rows[i].name))
			note("moved %" PRIu64 " steps %" PRIu64 " written %" PRIu64, w->moved,
				works.steps, w->written);
	}
}

/* A machine that moves 50 MiB/s, with a flush of 10 ms, seen through steps of any size. */
static void check_time(void)
{
	static const struct {
		const char *name;
		uint64_t step;
		struct coffer_works w;
		double seconds;
	} rows[] = {
		{"nothing", 8 * MiB, {.steps = 0}, 0},
		{"moving", 8 * MiB, {.phases[COFFER_WORK_CONVERT] = {.moved = 500 * MiB}}, 10},
		{"moving, by small steps", MiB,
			{.phases[COFFER_WORK_CONVERT] = {.moved = 500 * MiB}}, 10},
		{"reading", 8 * MiB, {.phases[COFFER_WORK_SAVE] = {.read = 500 * MiB}}, 5},
		{"writing", 8 * MiB, {.phases[COFFER_WORK_FINALIZE] = {.written = 500 * MiB}}, 5},
		{"flushes", MiB, {.phases[COFFER_WORK_PLACE] = {.flushes = 100}}, 1},
		{"examinations", MiB, {.examinations = 100}, 1},
		{"commits are in their flushes", MiB,
			{.phases[COFFER_WORK_CONVERT] = {.commits = 50, .flushes = 100}}, 1},
		{"all phases", MiB,
			{.examinations = 4,
				.phases = {[COFFER_WORK_SAVE] = {.read = 200 * MiB, .flushes = 3},
					[COFFER_WORK_PLACE] = {.written = 100 * MiB, .flushes = 6},
					[COFFER_WORK_CONVERT] = {.moved = 100 * MiB,
						.flushes = 300},
					[COFFER_WORK_FINALIZE] = {.flushes = 7}}},
			2 + 1 + 2 + 3.2},
	};
	static const struct coffer_timed_step flush = {.bytes = MiB, .move = 0.02, .commit = 0.1};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct coffer_timed_step t = {.bytes = rows[i].step,
			.move = (double)rows[i].step / (50 * MiB) + 0.01,
			.commit = 0.02};
		const double got = coffer_work_seconds(&rows[i].w, &t);

		if (!ok(fabs(got - rows[i].seconds) <= 1e-6, "time: %s", rows[i].name))
			note("%.9f s", got);
	}
	/* The flush seems to take more than all of the step. */
	ok(coffer_work_seconds(&(struct coffer_works){.phases[0] = {.moved = 2 * MiB}}, &flush) >=
			0.02,
		"time: bytes are never free");
}

int main(void)
{
	check_time();
	check_actions();
	check_maps();
	return done_testing();
}
