/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test_geometry.c - steps and places of a conversion */
#include "convert/geometry.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/cleanup.h"
#include "tap.h"

/* --- the step rule: every pointer of many small layouts --- */

enum {
	MAX_SHIFT = 16 * 4096, /* the rule knows no limits, so small ones stand for all */
	MAX_LENGTH = 5 * MAX_SHIFT,
};

enum law {
	LAW_HEAD_AT_ONCE,
	LAW_AT_MOST_SHIFT,
	LAW_DOWNWARDS,
	LAW_ALIGNED,
	LAW_POINTER_OK,
	LAW_STEPS,
	LAW_COUNT,
	LAW_MODEL,
	N_LAWS,
};
static const char *const law_names[] = {
	[LAW_HEAD_AT_ONCE] = "a step ends at 0 or not below S",
	[LAW_AT_MOST_SHIFT] = "a step moves at most S bytes",
	[LAW_DOWNWARDS] = "a step goes downwards",
	[LAW_ALIGNED] = "a step begins at a sector",
	[LAW_POINTER_OK] = "a conversion can stand after each step",
	[LAW_STEPS] = "from L to 0 in the fewest steps",
	[LAW_COUNT] = "the steps that are left are counted right",
	[LAW_MODEL] = "a played conversion loses nothing, and plain bytes lie where told",
};
static uint64_t broken[N_LAWS];

static void law(enum law l, bool holds, const struct coffer_geometry *g, uint64_t p)
{
	if (!holds && broken[l]++ == 0)
		note("%s: S %" PRIu64 " L %" PRIu64 " sector %" PRIu32 " p %" PRIu64, law_names[l],
			g->shift, g->length, g->sector_size, p);
}

static void check_step(const struct coffer_geometry *g, uint64_t p)
{
	const uint64_t q = coffer_next_step(g, NULL, p);

	law(LAW_HEAD_AT_ONCE, q == 0 || q >= g->shift, g, p);
	law(LAW_DOWNWARDS, q < p, g, p);
	law(LAW_AT_MOST_SHIFT, q < p && p - q <= g->shift, g, p);
	law(LAW_ALIGNED, q % g->sector_size == 0, g, p);
	law(LAW_POINTER_OK, coffer_pointer_ok(g, q), g, p);
	law(LAW_COUNT, coffer_count_steps(g, NULL, p) == 1 + coffer_count_steps(g, NULL, q), g, p);
}

static void check_walk(const struct coffer_geometry *g)
{
	const uint64_t fewest = (g->length + g->shift - 1) / g->shift;
	uint64_t steps = 0, p = g->length;

	for (; p > 0 && steps <= fewest; steps++)
		p = coffer_next_step(g, NULL, p);
	law(LAW_STEPS, p == 0 && steps == fewest, g, g->length);
}

/* A disk of cells, one for 512 bytes: what it holds is the number of a plain cell, and whether
 * that is encrypted. */
struct cell {
	uint32_t plain;
	bool encrypted;
};

static bool everything_is_there(
	const struct cell *disk, const struct coffer_geometry *g, uint64_t p)
{
	for (uint64_t x = 0; x < g->length; x += 512) {
		const uint64_t at = x < p ? coffer_plain_offset(g, x) : g->shift + x;

		if (at >= g->device || disk[at / 512].plain != x / 512 ||
			disk[at / 512].encrypted != (x >= p))
			return false;
	}
	return true;
}

/* Write the step's ciphertext upwards or downwards: a cut leaves any part of it behind, so what
 * it was made from must be whole until the last cell. */
static void play(const struct coffer_geometry *g, bool upwards)
{
	static struct cell disk[(MAX_LENGTH + 2 * MAX_SHIFT) / 512 + 8];
	uint64_t p = g->length;

	for (uint64_t i = 0; i < g->device / 512; i++)
		disk[i] = (struct cell){(uint32_t)i, false};
	for (uint64_t i = 0; i < g->shift / 512; i++) {
		disk[coffer_segment_copy_offset(g) / 512 + i] = disk[i];
		disk[i].plain = UINT32_MAX; /* the header */
	}
	law(LAW_MODEL, everything_is_there(disk, g, p), g, p);
	while (p > 0) {
		const uint64_t q = coffer_next_step(g, NULL, p);
		const uint64_t n = (p - q) / 512;

		if (q >= p || p - q > g->shift)
			return; /* told by the other laws */
		for (uint64_t i = 0; i < n; i++) {
			const uint64_t x = q + 512 * (upwards ? i : n - 1 - i);

			disk[(g->shift + x) / 512] = (struct cell){(uint32_t)(x / 512), true};
			law(LAW_MODEL, everything_is_there(disk, g, p), g, p);
		}
		p = q;
		law(LAW_MODEL, everything_is_there(disk, g, p), g, p);
	}
}

static void check_steps(void)
{
	static const uint32_t sectors[] = {512, 4096};
	uint64_t layouts = 0, pointers = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(sectors); i++) {
		for (uint64_t s = 4096; s <= MAX_SHIFT; s += 4096) {
			struct coffer_geometry g = {.shift = s, .sector_size = sectors[i]};

			for (g.length = s; g.length <= 5 * s; g.length += g.sector_size) {
				g.device = g.length + 2 * s;
				check_walk(&g);
				layouts++;
				for (uint64_t p = 512; p <= g.length; p += 512, pointers++)
					if (coffer_pointer_ok(&g, p))
						check_step(&g, p);
			}
		}
	}
	note("%" PRIu64 " layouts, %" PRIu64 " pointers", layouts, pointers);
	for (uint64_t s = 4096; s <= 3 * 4096; s += 4096) {
		for (uint64_t l = s; l <= 4 * s; l += 512) {
			/* Bytes of D that no data need: none, less than S, S, more than L. */
			const uint64_t spares[] = {0, 512, 2560, s - 512, s, s + 512, 5 * s};

			for (size_t i = 0; i < ARRAY_SIZE(spares); i++) {
				const struct coffer_geometry g = {l + 2 * s + spares[i], s, l, 512};

				play(&g, true);
				play(&g, false);
			}
		}
	}
	for (unsigned int l = 0; l < N_LAWS; l++)
		ok(broken[l] == 0, "%s", law_names[l]);
}

/* --- pointers --- */

static void check_pointers(void)
{
	static const struct coffer_geometry g512 = {
		UINT64_C(10) << 20, UINT64_C(1) << 20, UINT64_C(8) << 20, 512};
	static const struct coffer_geometry g4096 = {
		UINT64_C(10) << 20, UINT64_C(1) << 20, UINT64_C(8) << 20, 4096};
	static const struct {
		const char *name;
		uint64_t p;
		bool ok512, ok4096;
	} rows[] = {
		{"0", 0, true, true},
		{"a sector", 512, false, false},
		{"S - 4096", (1 << 20) - 4096, false, false},
		{"S - 1", (1 << 20) - 1, false, false},
		{"S", 1 << 20, true, true},
		{"S + 1", (1 << 20) + 1, false, false},
		{"S + 512", (1 << 20) + 512, true, false},
		{"S + 4096", (1 << 20) + 4096, true, true},
		{"L - 512", (8 << 20) - 512, true, false},
		{"L", 8 << 20, true, true},
		{"L + 512", (8 << 20) + 512, false, false},
		{"L + 4096", (8 << 20) + 4096, false, false},
		{"D", 10 << 20, false, false},
		{"2^63", UINT64_C(1) << 63, false, false},
		{"2^64 - 4096", UINT64_MAX - 4095, false, false},
		{"2^64 - 1", UINT64_MAX, false, false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		ok(coffer_pointer_ok(&g512, rows[i].p) == rows[i].ok512 &&
				coffer_pointer_ok(&g4096, rows[i].p) == rows[i].ok4096,
			"pointer: %s", rows[i].name);
	ok(coffer_segment_copy_offset(&g512) == 9 << 20 && coffer_gap_offset(&g512) == 8 << 20,
		"moved-segment copy and gap");
}

/* --- the check --- */

/* The same law in numbers that cannot wrap. */
static bool possible(const struct coffer_geometry *g)
{
	const __int128 d = g->device, s = g->shift, l = g->length, sector = g->sector_size;
	const __int128 mib = 1 << 20, limit = ((__int128)1 << 63) - 1;

	if (sector != 512 && sector != 4096)
		return false;
	return s >= mib && s <= 1024 * mib && s % 4096 == 0 && d <= limit && d % 512 == 0 &&
	       l % sector == 0 && l >= s && l + 2 * s <= d;
}

static void check_possible(void)
{
	static const uint32_t sectors[] = {0, 1, 511, 512, 1024, 2048, 4096, 8192, UINT32_MAX};
	uint64_t v[1000];
	uint64_t combinations = 0, accepted = 0, wrong = 0;
	size_t n = 0;

	static const uint64_t bases[] = {0, 4096, 1 << 20, (1 << 20) + 4096, 2 << 20, 3 << 20,
		UINT64_C(4) << 20, UINT64_C(1) << 30, UINT64_C(2) << 30, UINT64_C(3) << 30,
		UINT64_C(1) << 32, UINT64_C(1) << 41, UINT64_C(1) << 62, UINT64_C(1) << 63,
		(UINT64_C(1) << 63) + (1 << 20), (UINT64_C(3) << 62)};
	static const int64_t deltas[] = {-4096, -512, -1, 0, 1, 512, 4096};

	/* 0 with the deltas gives the values near 2^64. */
	for (size_t i = 0; i < ARRAY_SIZE(bases); i++)
		for (size_t k = 0; k < ARRAY_SIZE(deltas); k++)
			v[n++] = bases[i] + (uint64_t)deltas[k];
	for (size_t d = 0; d < n; d++) {
		for (size_t s = 0; s < n; s++) {
			for (size_t l = 0; l < n; l++) {
				for (size_t k = 0; k < ARRAY_SIZE(sectors); k++) {
					const struct coffer_geometry g = {
						v[d], v[s], v[l], sectors[k]};
					const int r = coffer_geometry_check(&g, NULL);

					combinations++;
					accepted += r == 0;
					if (r == (possible(&g) ? 0 : -EINVAL))
						continue;
					if (wrong++ == 0)
						note("D %" PRIu64 " S %" PRIu64 " L %" PRIu64
						     " sector %" PRIu32 ": %d",
							v[d], v[s], v[l], sectors[k], r);
				}
			}
		}
	}
	note("%" PRIu64 " combinations, %" PRIu64 " accepted", combinations, accepted);
	ok(wrong == 0 && accepted > 1000, "check: all combinations of interesting values");
}

static void check_words(void)
{
	static const struct {
		const char *name;
		struct coffer_geometry g;
		const char *word;
	} rows[] = {
		{"sector size", {64 << 20, 1 << 20, 32 << 20, 2048}, "sector size"},
		{"shift", {64 << 20, 1 << 19, 32 << 20, 512}, "data shift"},
		{"device", {2 << 20, 1 << 20, 1 << 20, 512}, "too small"},
		{"length", {64 << 20, 1 << 20, 63 << 20, 512}, "do not fit"},
		{"alignment", {64 << 20, 1 << 20, (32 << 20) + 512, 4096}, "not a multiple"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct coffer_err e = {0};

		ok(coffer_geometry_check(&rows[i].g, &e) == -EINVAL && e.code == EINVAL &&
				strstr(e.msg, rows[i].word),
			"check says which: %s", rows[i].name);
	}
}

int main(void)
{
	check_steps();
	check_pointers();
	check_possible();
	check_words();
	return done_testing();
}
