/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a run would write; the loop tests hold the same numbers against real runs. */
#include "model/work.h"

#include <inttypes.h>

#include "base/cleanup.h"
#include "tap.h"

#define MiB (UINT64_C(1) << 20)

/* L is 10 MiB, S 1 MiB: 10 steps. */
static const struct coffer_work_facts facts = {
	.geometry = {.device = 12 * MiB, .shift = MiB, .length = 10 * MiB, .sector_size = 4096},
	.pointer = 10 * MiB,
	.copy_size = 16384,
	.image_size = 290816,
	.n_veils = 1,
	.locked = true,
};

static uint64_t flushes(const struct coffer_works *w)
{
	uint64_t n = w->looks;

	for (int i = 0; i < COFFER_N_WORK_STAGES; i++)
		n += w->stage[i].flushes;
	return n;
}

static uint64_t written(const struct coffer_works *w)
{
	uint64_t n = 0;

	for (int i = 0; i < COFFER_N_WORK_STAGES; i++)
		n += coffer_work_written(&w->stage[i], facts.copy_size);
	return n;
}

static void check_actions(void)
{
	static const uint64_t block = 4096, commit = 2 * 16384, image = 290816,
			      erase = 4096 + 290816;
	static const uint64_t save = 3 * block - block + image + MiB;
	static const uint64_t place = 2 * block + MiB + erase;
	const struct {
		const char *name;
		enum coffer_action a;
		uint64_t pointer;
		bool unlocked;
		uint64_t steps, flushes, moved, written;
	} rows[] = {
		{"from the start", COFFER_ACT_START, 10 * MiB, false, 10, 4 + 9 + 2 + 30 + 3,
			10 * MiB, save + place + 10 * MiB + 12 * commit + MiB},
		{"without locks", COFFER_ACT_START, 10 * MiB, true, 10, 6 + 9 + 2 + 30 + 3,
			10 * MiB, save + place + 10 * MiB + 12 * commit + MiB},
		{"half placed", COFFER_ACT_REDO_PLACEMENT, 10 * MiB, false, 10, 5 + 6 + 2 + 30 + 3,
			10 * MiB, place + 10 * MiB + 12 * commit + MiB},
		{"placed", COFFER_ACT_FINISH_PLACEMENT, 10 * MiB, false, 10, 5 + 3 + 2 + 30 + 3,
			10 * MiB, commit + erase + 10 * MiB + 12 * commit + MiB},
		{"half converted", COFFER_ACT_CONVERT, 5 * MiB, false, 5, 4 + 2 + 15 + 3, 5 * MiB,
			5 * MiB + 7 * commit + MiB},
		{"a short step is left", COFFER_ACT_CONVERT, MiB + 512, false, 2, 4 + 2 + 6 + 3,
			MiB + 512, MiB + 512 + 4 * commit + MiB},
		{"the head is left", COFFER_ACT_CONVERT, MiB, false, 1, 4 + 2 + 3 + 3, MiB,
			MiB + 3 * commit + MiB},
		{"the end is left", COFFER_ACT_END, 0, false, 0, 3 + 5, 0, 2 * commit + MiB},
		{"one final copy", COFFER_ACT_SYNC_FINAL, 0, false, 0, 2 + 2, 0, commit},
		{"an abort", COFFER_ACT_REDO_RESTORE, 10 * MiB, false, 0, 1 + 8, 0,
			3 * MiB + 5 * block},
		{"encrypted", COFFER_ACT_ENCRYPTED, 0, false, 0, 0, 0, 0},
		{"another's", COFFER_ACT_OTHER, 10 * MiB, false, 0, 0, 0, 0},
		{"damaged", COFFER_ACT_DAMAGED, 10 * MiB, false, 0, 0, 0, 0},
		{"shrunk", COFFER_ACT_SHRUNK, 10 * MiB, false, 0, 0, 0, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct coffer_work_facts f = facts;
		struct coffer_works w;

		f.pointer = rows[i].pointer;
		f.locked = !rows[i].unlocked;
		coffer_work_count(rows[i].a, &f, &w);
		if (!ok(w.steps == rows[i].steps && flushes(&w) == rows[i].flushes &&
				    w.stage[COFFER_WORK_CONVERT].moved == rows[i].moved &&
				    written(&w) == rows[i].written,
			    "%s", rows[i].name))
			note("steps %" PRIu64 " flushes %" PRIu64 " moved %" PRIu64
			     " written %" PRIu64 ", wanted %" PRIu64,
				w.steps, flushes(&w), w.stage[COFFER_WORK_CONVERT].moved,
				written(&w), rows[i].written);
	}
}

int main(void)
{
	check_actions();
	return done_testing();
}
