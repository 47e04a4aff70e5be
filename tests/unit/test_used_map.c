/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test_used_map.c - which bytes are used, and conversions that follow such a map
 *
 * Which bytes are used, and conversions that follow such a map, played on a disk of a few blocks:
 * every map of many small layouts, cut after every write, with stock taking steps in between. */
#include "convert/used_map.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "convert/geometry.h"
#include "convert/step.h"
#include "lib/prng.h"
#include "tap.h"

enum {
	BLOCKS = 11, /* of data, at most: 2^11 maps each */
	MAX_S = 4,   /* blocks of S */
	CELL = 512,
	PER_BLOCK = COFFER_BLOCK / CELL,
	CELLS = (BLOCKS + 2 * MAX_S + 1) * PER_BLOCK
};

/* The map in which block i is used if bit i of @mask is set. */
static struct coffer_used_map *map_of(uint32_t mask, uint64_t length, bool fill)
{
	struct coffer_used_map *m = NULL;
	struct coffer_range free_ranges[BLOCKS + 1];
	size_t n = 0;

	for (uint64_t at = 0, i = 0; at < length; at += COFFER_BLOCK, i++)
		if (!(mask >> i & 1))
			free_ranges[n++] = (struct coffer_range){at, at + COFFER_BLOCK};
	if (coffer_used_map_new(free_ranges, n, length, &m) < 0)
		abort();
	m->fill = fill;
	return m;
}

/* --- laws --------------------------------------------------------------------------------------
 */

enum law {
	LAW_POINTER,
	LAW_DOWNWARDS,
	LAW_LEGAL,
	LAW_SIZE,
	LAW_JOBS,
	LAW_WHOLE,
	LAW_NO_PLAIN,
	LAW_ENDS,
	LAW_FILLED,
	LAW_COUNT,
	LAW_FREE,
	N_LAWS
};
static const char *const law_names[] = {
	[LAW_POINTER] = "a step ends at 0 or not below S, at a sector",
	[LAW_DOWNWARDS] = "a step goes downwards",
	[LAW_LEGAL] = "no used byte lies in [q+S, p)",
	[LAW_SIZE] = "a step moves S used bytes at most, and fills 4S at most",
	[LAW_JOBS] =
		"jobs ascend, are no longer than asked, stay in their step and on their side of S",
	[LAW_WHOLE] = "after every write each used byte is where the pointer says",
	[LAW_NO_PLAIN] = "before a commit no used plaintext is left in [q+S, D-S)",
	[LAW_ENDS] = "at the end each used byte is encrypted at x + S, and none is plain beyond S",
	[LAW_FILLED] = "with fill nothing of the old content is left",
	[LAW_COUNT] = "the steps are as many as were counted",
	[LAW_FREE] = "what may be discarded after a commit is nothing that is needed",
};
static uint64_t broken[N_LAWS];

enum kind {
	JUNK,	/* old content of no use */
	PLAIN,	/* a used byte */
	CIPHER, /* of what the volume holds there */
	GONE,	/* header, discarded */
};

struct cell {
	enum kind kind;
	uint32_t x; /* number of the volume's cell */
};

struct play {
	const struct coffer_geometry *g;
	const struct coffer_used_map *map;
	uint32_t mask;
	uint64_t p;
	struct cell disk[CELLS];
};

static void law(enum law l, bool holds, const struct play *y)
{
	if (!holds && broken[l]++ == 0)
		note("%s: S %" PRIu64 " L %" PRIu64 " map %x fill %d p %" PRIu64, law_names[l],
			y->g->shift, y->g->length, y->mask, y->map->fill, y->p);
}

static bool is_used(const struct play *y, uint64_t x)
{
	return y->mask >> (x / COFFER_BLOCK) & 1;
}

static bool is_whole(const struct play *y)
{
	for (uint64_t x = 0; x < y->g->length; x += CELL) {
		const bool plain = x < y->p;
		const uint64_t at = plain ? coffer_plain_offset(y->g, x) : y->g->shift + x;
		const struct cell *c = &y->disk[at / CELL];

		if (is_used(y, x) && (c->kind != (plain ? PLAIN : CIPHER) || c->x != x / CELL))
			return false;
	}
	return true;
}

static bool has_plain(const struct play *y, uint64_t from, uint64_t to)
{
	for (uint64_t at = from; at < to; at += CELL)
		if (y->disk[at / CELL].kind == PLAIN)
			return true;
	return false;
}

static void start(struct play *y)
{
	const struct coffer_geometry *g = y->g;

	for (uint64_t at = 0; at < g->device; at += CELL) {
		struct cell *c = &y->disk[at / CELL];

		*c = (struct cell){JUNK, (uint32_t)(at / CELL)};
		if (at < g->length && is_used(y, at))
			c->kind = PLAIN;
	}
	for (uint64_t at = 0; at < g->shift; at += CELL) {
		y->disk[(coffer_segment_copy_offset(g) + at) / CELL] = y->disk[at / CELL];
		y->disk[at / CELL].kind = GONE;
	}
	y->p = g->length;
}

static void write_cells(struct play *y, uint64_t x, uint64_t n)
{
	for (uint64_t i = 0; i < n; i += CELL)
		y->disk[(x + y->g->shift + i) / CELL] =
			(struct cell){CIPHER, (uint32_t)((x + i) / CELL)};
}

/* The jobs of [q, p): how many bytes are moved, how many filled or scrubbed. */
static void do_jobs(struct play *y, uint64_t q, uint64_t max, uint64_t *moved, uint64_t *written)
{
	struct coffer_jobs jobs = coffer_jobs_of(y->g, y->map, q, y->p);
	struct coffer_job j;
	uint64_t at = q;

	*moved = *written = 0;
	while (coffer_jobs_next(&jobs, max, &j)) {
		const bool move = j.kind == COFFER_JOB_MOVE;
		bool kind_ok = (j.kind == COFFER_JOB_FILL) == (y->map->fill && !move);

		for (uint64_t x = j.x; x < j.x + j.n; x += CELL)
			kind_ok = kind_ok && is_used(y, x) == move;
		law(LAW_JOBS,
			j.n > 0 && j.n <= max && j.x >= at && j.x + j.n <= y->p && kind_ok &&
				(j.x >= y->g->shift || j.x + j.n <= y->g->shift),
			y);
		at = j.x + j.n;
		write_cells(y, j.x, j.n);
		*written += j.n;
		if (move)
			*moved += j.n;
		law(LAW_WHOLE, is_whole(y), y);
	}
	law(LAW_WHOLE, *moved == coffer_used_map_bytes(y->map, q, y->p), y);
}

static void discard(struct play *y, uint64_t q, uint64_t p)
{
	struct coffer_jobs jobs = coffer_jobs_of(y->g, y->map, q, p);
	struct coffer_range r;

	while (coffer_jobs_next_free(&jobs, &r)) {
		law(LAW_FREE, r.start >= q && r.end <= p && r.start < r.end, y);
		for (uint64_t x = r.start; x < r.end; x += CELL)
			y->disk[(x + y->g->shift) / CELL].kind = GONE;
	}
	law(LAW_FREE, is_whole(y), y);
}

/* Returns false when nothing sensible can follow. */
static bool do_step(struct play *y, uint64_t max, bool with_discard)
{
	const struct coffer_geometry *g = y->g;
	const uint64_t q = coffer_next_step(g, y->map, y->p), p = y->p;
	uint64_t moved, written;

	law(LAW_POINTER, coffer_pointer_ok(g, q), y);
	law(LAW_DOWNWARDS, q < p, y);
	if (q >= p || !coffer_pointer_ok(g, q))
		return false;
	law(LAW_LEGAL, coffer_used_map_bytes(y->map, q + g->shift, p) == 0, y);
	do_jobs(y, q, max, &moved, &written);
	law(LAW_SIZE, moved <= g->shift && (!y->map->fill || written <= 4 * g->shift), y);
	law(LAW_NO_PLAIN, !has_plain(y, q + g->shift, coffer_segment_copy_offset(g)), y);
	y->p = q;
	law(LAW_WHOLE, is_whole(y), y);
	if (with_discard)
		discard(y, q, p);
	return true;
}

/* Stock moves everything, used or not. */
static void do_stock_step(struct play *y)
{
	const uint64_t q = coffer_next_step(y->g, NULL, y->p);

	write_cells(y, q, y->p - q);
	y->p = q;
	law(LAW_WHOLE, is_whole(y), y);
}

static void check_end(const struct play *y, bool with_discard)
{
	const struct coffer_geometry *g = y->g;

	law(LAW_ENDS, is_whole(y) && !has_plain(y, g->shift, coffer_segment_copy_offset(g)), y);
	if (!y->map->fill || with_discard)
		return;
	for (uint64_t at = g->shift; at < g->shift + g->length; at += CELL)
		law(LAW_FILLED, y->disk[at / CELL].kind == CIPHER, y);
}

static void play(struct play *y, uint64_t max, bool with_discard, uint64_t *stock)
{
	uint64_t steps = 0, counted;
	bool alone = true;

	start(y);
	counted = coffer_count_steps(y->g, y->map, y->p);
	while (y->p > 0 && steps <= 4 * BLOCKS) {
		if (stock && next_random(stock) % 3 == 0) {
			do_stock_step(y);
			alone = false;
			continue;
		}
		if (!do_step(y, max, with_discard))
			return;
		steps++;
	}
	law(LAW_COUNT, !alone || steps == counted, y);
	check_end(y, with_discard);
}

static uint64_t play_all(const struct coffer_geometry *g)
{
	const unsigned int bits = (unsigned int)((g->length + COFFER_BLOCK - 1) / COFFER_BLOCK);
	uint64_t n = 0, seed = g->length + g->shift;

	for (uint32_t mask = 0; mask < UINT32_C(1) << bits; mask++) {
		for (unsigned int fill = 0; fill < 2; fill++) {
			_cleanup_used_map_ struct coffer_used_map *map =
				map_of(mask, g->length, fill > 0);
			static struct play y;

			y.g = g;
			y.map = map;
			y.mask = mask;
			play(&y, COFFER_BLOCK, false, NULL);
			play(&y, UINT64_C(1) << 20, true, NULL);
			play(&y, 2 * COFFER_BLOCK, false, &seed);
			n += 3;
		}
	}
	return n;
}

static void check_plays(void)
{
	uint64_t n = 0;

	for (uint64_t s = 1; s <= MAX_S; s++) {
		for (uint64_t l = s; l <= BLOCKS; l++) {
			struct coffer_geometry g = {.shift = s * COFFER_BLOCK,
				.length = l * COFFER_BLOCK,
				.sector_size = 4096};

			g.device = g.length + 2 * g.shift;
			n += play_all(&g);
			/* data of odd sectors, and a device that is larger than it needs to be */
			if (l > s && l < BLOCKS) {
				g.sector_size = 512;
				g.length -= 3 * 512;
				g.device = g.length + 2 * g.shift + (l % 2) * 512;
				n += play_all(&g);
			}
		}
	}
	note("%" PRIu64 " conversions played", n);
	for (unsigned int l = 0; l < N_LAWS; l++)
		ok(broken[l] == 0, "%s", law_names[l]);
}

/* --- maps --------------------------------------------------------------------------------------
 */

enum {
	N_CELLS = 100
};

/* A block is free if all of its bytes are; the last one if those that the data has. */
static void expect_used(const bool *is_free, uint64_t cells, bool *used)
{
	for (uint64_t i = 0; i < cells; i += PER_BLOCK) {
		bool all = true;

		for (uint64_t k = i; k < i + PER_BLOCK && k < cells; k++)
			all = all && is_free[k];
		for (uint64_t k = i; k < i + PER_BLOCK && k < cells; k++)
			used[k] = !all;
	}
}

static bool agrees(const struct coffer_used_map *m, const bool *used, uint64_t cells)
{
	uint64_t end = 0, sum = 0;

	for (uint64_t i = 0; i <= cells; i++) {
		struct coffer_range r = {0};
		uint64_t next = i;

		if (coffer_used_map_end_below(m, i * CELL) != end ||
			coffer_used_map_bytes(m, 0, i * CELL) != sum)
			return false;
		while (next < cells && !used[next])
			next++;
		if (coffer_used_map_next(m, i * CELL, &r) != (next < cells) ||
			(next < cells && r.start != next * CELL))
			return false;
		if (i < cells && used[i]) {
			end = (i + 1) * CELL;
			sum += CELL;
		}
	}
	return coffer_used_map_ok(m);
}

static void check_maps(void)
{
	uint64_t seed = 1, wrong = 0, wrong_added = 0;

	for (unsigned int round = 0; round < 20000; round++) {
		const uint64_t cells = 1 + next_random(&seed) % N_CELLS;
		bool is_free[N_CELLS + 40] = {false}, used[N_CELLS] = {false};
		struct coffer_range r[8], add = {0};
		struct coffer_used_map *m = NULL;
		const size_t n = next_random(&seed) % 8;

		for (size_t i = 0; i < n; i++) {
			const uint64_t at = next_random(&seed) % (N_CELLS + 10);
			const uint64_t k = next_random(&seed) % 30;

			r[i] = (struct coffer_range){at * CELL, (at + k) * CELL};
			for (uint64_t c = at; c < at + k; c++)
				is_free[c] = true;
		}
		if (coffer_used_map_new(r, n, cells * CELL, &m) < 0)
			abort();
		expect_used(is_free, cells, used);
		wrong += !agrees(m, used, cells);
		add.start = next_random(&seed) % (N_CELLS + 10) * CELL;
		add.end = add.start + next_random(&seed) % 30 * CELL;
		if (coffer_used_map_add(m, &add, 1) < 0)
			abort();
		for (uint64_t c = add.start / CELL / PER_BLOCK * PER_BLOCK;
			add.start < add.end && add.start < cells * CELL &&
			c < round_up_u64(add.end, COFFER_BLOCK) / CELL && c < cells;
			c++)
			used[c] = true;
		wrong_added += !agrees(m, used, cells);
		coffer_used_map_free(m);
	}
	ok(wrong == 0, "a map says of each byte what its free ranges say");
	ok(wrong_added == 0, "what is added is used, in whole blocks");
	ok(coffer_used_map_bytes(NULL, 5, 12) == 7 && coffer_used_map_bytes(NULL, 12, 5) == 0,
		"without a map everything is used");
}

/* --- all additions to small maps --- */

/* The blocks that one of the ranges touches, as bits. */
static uint32_t touched(const struct coffer_range *r, size_t n, uint64_t length)
{
	uint32_t bits = 0;

	for (size_t i = 0; i < n; i++)
		for (uint64_t at = r[i].start; at < r[i].end && at < length; at += CELL)
			bits |= UINT32_C(1) << at / COFFER_BLOCK;
	return bits;
}

/* Runs of the bits, each ending with the data at the latest; and nothing else. */
static bool is_map(const struct coffer_used_map *m, uint32_t bits, uint64_t length)
{
	size_t n = 0;

	for (uint64_t at = 0; at < length;) {
		const uint64_t start = at;

		while (at < length && (bits >> at / COFFER_BLOCK & 1))
			at += COFFER_BLOCK;
		if (at == start) {
			at += COFFER_BLOCK;
			continue;
		}
		if (n >= m->n || m->used[n].start != start || m->used[n].end != min_u64(at, length))
			return false;
		n++;
	}
	return n == m->n && coffer_used_map_ok(m);
}

static bool adds(uint32_t mask, uint64_t length, const struct coffer_range *r, size_t n)
{
	struct coffer_used_map *m = map_of(mask, length, false);
	const bool good = coffer_used_map_add(m, r, n) == 0 &&
			  is_map(m, mask | touched(r, n, length), length);

	coffer_used_map_free(m);
	return good;
}

static void check_additions(void)
{
	enum {
		N = 10,
		FEW = 5
	};
	/* in sectors: a block's first, one within, its last, the next one's first */
	static const uint64_t edges[] = {0, 3, 7};
	uint64_t wrong = 0, wrong_pairs = 0, n = 0, n_pairs = 0;

	for (uint64_t length = (N - 1) * COFFER_BLOCK + 5 * CELL; length <= N * COFFER_BLOCK;
		length += 3 * CELL)
		for (uint32_t mask = 0; mask < UINT32_C(1) << N; mask++)
			for (uint64_t a = 0; a < 3 * (N + 1); a++)
				for (uint64_t b = a; b < 3 * (N + 1); b++, n++) {
					const struct coffer_range r = {
						(a / 3 * PER_BLOCK + edges[a % 3]) * CELL,
						(b / 3 * PER_BLOCK + edges[b % 3]) * CELL};

					wrong += !adds(mask, length, &r, 1);
				}
	/* two at once: apart, touching, overlapping, in either order */
	for (uint32_t mask = 0; mask < UINT32_C(1) << FEW; mask++)
		for (uint32_t k = 0; k < 6 * 6 * 6 * 6; k++, n_pairs++) {
			const struct coffer_range r[2] = {
				{k % 6 * COFFER_BLOCK, k / 6 % 6 * COFFER_BLOCK},
				{k / 36 % 6 * COFFER_BLOCK, k / 216 * COFFER_BLOCK}};

			wrong_pairs += !adds(mask, FEW * COFFER_BLOCK, r, 2);
		}
	note("%" PRIu64 " ranges and %" PRIu64 " pairs added", n, n_pairs);
	ok(wrong == 0, "each range, added to each map of %d blocks", N);
	ok(wrong_pairs == 0, "each two ranges, added to each map of %d blocks", FEW);
}

/* --- made coarser ------------------------------------------------------------------------------
 */

static void gaps_of(const struct coffer_used_map *m, uint64_t *shortest)
{
	*shortest = UINT64_MAX;
	for (size_t i = 1; i < m->n; i++)
		*shortest = min_u64(*shortest, m->used[i].start - m->used[i - 1].end);
}

/* The longest gap of @was that is used in @m. */
static uint64_t longest_closed(const struct coffer_used_map *was, const struct coffer_used_map *m)
{
	uint64_t longest = 0;

	for (size_t i = 1; i < was->n; i++) {
		const uint64_t from = was->used[i - 1].end, to = was->used[i].start;

		if (coffer_used_map_bytes(m, from, to) > 0 && to - from > longest)
			longest = to - from;
	}
	return longest;
}

static void check_coarsen(void)
{
	enum {
		BITS = 14
	};
	uint64_t wrong_size = 0, wrong_less = 0, wrong_choice = 0, n = 0;

	for (uint32_t mask = 0; mask < UINT32_C(1) << BITS; mask++) {
		for (size_t max = 1; max < 6; max += 2) {
			const uint64_t gap = mask % 3 * COFFER_BLOCK;
			struct coffer_range free_ranges[BITS];
			struct coffer_used_map *was = NULL, *m = NULL;
			uint64_t shortest;
			size_t k = 0, k2;

			for (uint64_t i = 0; i < BITS; i++)
				if (!(mask >> i & 1))
					free_ranges[k++] = (struct coffer_range){
						i * COFFER_BLOCK, (i + 1) * COFFER_BLOCK};
			k2 = k;
			if (coffer_used_map_new(free_ranges, k, BITS * COFFER_BLOCK, &was) < 0)
				abort();
			for (uint64_t i = 0, j = 0; i < BITS; i++)
				if (!(mask >> i & 1))
					free_ranges[j++] = (struct coffer_range){
						i * COFFER_BLOCK, (i + 1) * COFFER_BLOCK};
			if (coffer_used_map_new(free_ranges, k2, BITS * COFFER_BLOCK, &m) < 0)
				abort();
			coffer_used_map_coarsen(m, gap, max);
			gaps_of(m, &shortest);
			wrong_size += m->n > max || shortest < gap || !coffer_used_map_ok(m) ||
				      (was->n > 0) != (m->n > 0);
			for (size_t i = 0; i < was->n; i++)
				wrong_less += coffer_used_map_bytes(
						      m, was->used[i].start, was->used[i].end) !=
					      was->used[i].end - was->used[i].start;
			if (m->n > 0)
				wrong_less += m->used[0].start != was->used[0].start ||
					      m->used[m->n - 1].end != was->used[was->n - 1].end;
			/* none that is left is shorter than one that was closed; and no more are
			 * closed than needed */
			wrong_choice +=
				longest_closed(was, m) > shortest ||
				(m->n < max && m->n < was->n && longest_closed(was, m) >= gap);
			coffer_used_map_free(was);
			coffer_used_map_free(m);
			n++;
		}
	}
	note("%" PRIu64 " maps made coarser", n);
	ok(wrong_size == 0, "a coarser map has no short gap and no more ranges than asked");
	ok(wrong_less == 0, "a coarser map says no less, and nothing outside");
	ok(wrong_choice == 0, "the shortest gaps are closed, and no more than needed");
}

int main(void)
{
	check_plays();
	check_maps();
	check_additions();
	check_coarsen();
	return done_testing();
}
