/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* crashcut.c - the disks that a power cut within a run can leave */
#include "crashcut.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "prng.h"

enum {
	SECTOR = 512,
	BLOCK = 4096,
	ALL_SECTORS = (1 << (BLOCK / SECTOR)) - 1
};

bool crash_epoch(const struct crash_log *log, uint32_t number, struct crash_epoch *ret)
{
	size_t i = 0;

	for (; number > 0 && i < log->n; i++)
		number -= log->ops[i].flush;
	if (number > 0 || i > log->n)
		return false;
	*ret = (struct crash_epoch){.first = i};
	while (i + ret->n < log->n && !log->ops[i + ret->n].flush)
		ret->n++;
	return i < log->n || ret->n > 0;
}

/* --- which --- */

struct list {
	struct crash_cut *items;
	size_t n, room;
};

static void add(struct list *l, struct crash_cut c)
{
	if (l->n == l->room) {
		l->room = l->room ? 2 * l->room : 64;
		l->items = realloc(l->items, l->room * sizeof(*l->items));
		if (!l->items)
			abort();
	}
	l->items[l->n++] = c;
}

static void add_set(struct list *l, uint32_t epoch, uint64_t writes)
{
	add(l, (struct crash_cut){.kind = CUT_SET, .epoch = epoch, .detail = writes});
}

/* Whole writes: all choices where they are few; else the first ones, the last ones, one, all but
 * one. The bits of a choice stand for the first 64 writes, and the last bit for all after too. */
static void add_sets(struct list *l, uint32_t epoch, size_t n, unsigned int bound)
{
	const size_t bits = n < 64 ? n : 63;
	const uint64_t all = (UINT64_C(1) << bits) - 1;

	if (n <= bound) {
		for (uint64_t set = 0; set <= all; set++)
			add_set(l, epoch, set);
		return;
	}
	add_set(l, epoch, 0);
	add_set(l, epoch, all);
	for (size_t i = 0; i < bits; i++) {
		const uint64_t bit = UINT64_C(1) << i;

		add_set(l, epoch, bit - 1);
		add_set(l, epoch, all & ~(bit - 1));
		add_set(l, epoch, bit);
		add_set(l, epoch, all & ~bit);
	}
}

/* Where a write is torn: after its first sector or block, in its middle, before its last ones. A
 * block is torn at each sector. */
static size_t tear_points(size_t n, size_t points[8])
{
	const size_t classes[] = {SECTOR, BLOCK, n / 2 / SECTOR * SECTOR, n / 2 / BLOCK * BLOCK,
		n - BLOCK, n - SECTOR};
	size_t count = 0;

	if (n <= BLOCK) {
		for (size_t at = SECTOR; at < n; at += SECTOR)
			points[count++] = at;
		return count;
	}
	for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
		bool known = classes[i] == 0 || classes[i] >= n;

		for (size_t k = 0; k < count; k++)
			known = known || points[k] == classes[i];
		if (!known)
			points[count++] = classes[i];
	}
	return count;
}

/* A torn write, alone or with those before it; in all orders: also with those after it. */
static void add_beside(struct list *l, struct crash_cut c, size_t n, bool all_orders)
{
	const int earlier = c.write > 0, later = all_orders && c.write + 1 < n;

	for (int i = 0; i <= earlier; i++)
		for (int k = 0; k <= later; k++) {
			c.earlier = i == 1;
			c.later = k == 1;
			add(l, c);
		}
}

static void add_torn(
	struct list *l, const struct crash_log *log, uint32_t epoch, const struct crash_depth *d)
{
	struct crash_epoch e;

	if (!crash_epoch(log, epoch, &e))
		return;
	for (uint32_t w = 0; w < e.n; w++) {
		const size_t n = log->ops[e.first + w].n;
		struct crash_cut c = {.epoch = epoch, .write = w};
		size_t points[8];
		const size_t count = tear_points(n, points);

		for (size_t i = 0; i < count; i++) {
			c.detail = points[i];
			c.kind = CUT_FRONT;
			add_beside(l, c, e.n, d->all_orders);
			c.kind = CUT_BACK;
			add_beside(l, c, e.n, d->all_orders);
		}
		c.kind = CUT_SECTORS;
		for (uint64_t set = 1; set < ALL_SECTORS && n == BLOCK; set++) {
			const uint64_t rest = ALL_SECTORS & ~set;

			c.detail = set;
			if (d->all_sectors || (set & (set - 1)) == 0 || (rest & (rest - 1)) == 0)
				add_beside(l, c, e.n, false);
		}
	}
}

struct crash_cut *crash_cuts(const struct crash_log *log, const struct crash_depth *d, size_t *ret)
{
	struct list l = {0};
	struct crash_epoch e;

	for (uint32_t epoch = 0; crash_epoch(log, epoch, &e); epoch++) {
		if (e.n == 0)
			continue;
		if (d->systematic) {
			add_sets(&l, epoch, e.n, d->subsets);
			add_torn(&l, log, epoch, d);
		}
		for (uint64_t seed = 0; seed < d->seeds; seed++)
			add(&l, (struct crash_cut){.kind = CUT_RANDOM,
					.epoch = epoch,
					.detail = d->seed + seed});
	}
	*ret = l.n;
	return l.items;
}

/* --- what it leaves --- */

/* Some disks tear at 512 bytes, some at 4096, and some lose larger pieces of a large write. */
static void apply_units(const struct crash_op *op, uint64_t *rng, struct layer *l)
{
	static const size_t units[] = {SECTOR, BLOCK, 16 * BLOCK};
	static const unsigned int percent[] = {4, 50, 96};
	const size_t unit = units[next_random(rng) % 3];
	const unsigned int share = percent[next_random(rng) % 3];

	for (size_t at = 0; at < op->n; at += unit)
		if (next_random(rng) % 100 < share)
			layer_write(l, op->off + at, op->data + at,
				op->n - at < unit ? op->n - at : unit);
}

static void apply_random(const struct crash_op *op, size_t n, uint64_t seed, struct layer *l)
{
	uint64_t rng = seed;
	/* Half of them: a cut before the last write was given to the disk. */
	const size_t given = next_random(&rng) % 2 ? n : 1 + next_random(&rng) % n;

	for (size_t i = 0; i < given; i++) {
		const unsigned int how = (unsigned int)(next_random(&rng) % 4);

		if (how == 1)
			layer_write(l, op[i].off, op[i].data, op[i].n);
		else if (how > 1)
			apply_units(&op[i], &rng, l);
	}
}

static void apply_torn(const struct crash_op *op, const struct crash_cut *c, struct layer *l)
{
	if (c->kind == CUT_FRONT)
		layer_write(l, op->off, op->data, c->detail);
	else if (c->kind == CUT_BACK)
		layer_write(l, op->off + c->detail, op->data + c->detail, op->n - c->detail);
	else
		for (unsigned int k = 0; k * SECTOR < op->n; k++)
			if (c->detail >> k & 1)
				layer_write(l, op->off + k * SECTOR, op->data + k * SECTOR, SECTOR);
}

void crash_cut_apply(const struct crash_log *log, const struct crash_cut *c, struct layer *l)
{
	struct crash_epoch e;

	if (!crash_epoch(log, c->epoch, &e))
		abort();
	if (c->kind == CUT_RANDOM) {
		apply_random(&log->ops[e.first], e.n, c->detail * 1000003 + c->epoch, l);
		return;
	}
	for (size_t i = 0; i < e.n; i++) {
		const struct crash_op *op = &log->ops[e.first + i];

		if (c->kind == CUT_SET ? c->detail >> (i < 63 ? i : 62) & 1
			: i < c->write ? c->earlier
				       : i > c->write && c->later)
			layer_write(l, op->off, op->data, op->n);
		else if (c->kind != CUT_SET && i == c->write)
			apply_torn(op, c, l);
	}
}

void crash_cut_name(const struct crash_log *log, const struct crash_cut *c, char ret[160])
{
	static const char *const kinds[] = {[CUT_SET] = "writes (by bits)",
		[CUT_FRONT] = "the first bytes",
		[CUT_BACK] = "all after the first bytes",
		[CUT_SECTORS] = "sectors (by bits)",
		[CUT_RANDOM] = "random, seed"};
	struct crash_epoch e = {0};

	(void)crash_epoch(log, c->epoch, &e);
	if (c->kind == CUT_SET || c->kind == CUT_RANDOM)
		(void)snprintf(ret, 160, "after %u flushes, %zu writes: %s %#" PRIx64, c->epoch,
			e.n, kinds[c->kind], c->detail);
	else
		(void)snprintf(ret, 160,
			"after %u flushes, write %u of %zu (%zu bytes at %" PRIu64 "): %s %" PRIu64
			"%s%s",
			c->epoch, c->write + 1, e.n, log->ops[e.first + c->write].n,
			log->ops[e.first + c->write].off, kinds[c->kind], c->detail,
			c->earlier ? ", those before it" : "", c->later ? ", those after it" : "");
}
