/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test_fsmap.c - lists of ranges, and devices that are no file
 *
 * What tests/loop/test_fsmap*.py cannot reach: lists of ranges, and devices that are no file. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/fsmap.h"
#include "fs/fsmap_kinds.h"
#include "tap.h"

struct row {
	const char *name;
	struct coffer_range a[3], b[3], both[4]; /* up to an empty one */
};

static const struct row rows[] = {
	{"nothing", {{0}}, {{0}}, {{0}}},
	{"one side only", {{0, 9}}, {{0}}, {{0}}},
	{"the same", {{3, 9}}, {{3, 9}}, {{3, 9}}},
	{"neighbours", {{3, 9}}, {{9, 12}}, {{0}}},
	{"overlap", {{3, 9}}, {{5, 12}}, {{5, 9}}},
	{"one within", {{3, 9}}, {{5, 6}}, {{5, 6}}},
	{"two within", {{3, 9}}, {{3, 4}, {8, 12}}, {{3, 4}, {8, 9}}},
	{"across a gap", {{1, 4}, {6, 9}}, {{2, 8}}, {{2, 4}, {6, 8}}},
	{"the same end", {{1, 4}, {6, 9}}, {{2, 4}, {5, 9}}, {{2, 4}, {6, 9}}},
};

static size_t count(const struct coffer_range *list)
{
	size_t n = 0;

	while (list[n].end != 0)
		n++;
	return n;
}

static void intersects(const struct row *row)
{
	const struct coffer_ranges with = {(struct coffer_range *)row->b, count(row->b)};
	struct coffer_ranges l = {0};
	bool fine = true;

	for (size_t i = 0; i < count(row->a); i++)
		fine = fine && coffer_ranges_add(&l, row->a[i].start, row->a[i].end, NULL) == 0;
	fine = fine && coffer_ranges_intersect(&l, &with, NULL) == 0;
	fine = fine && l.n == count(row->both);
	fine = fine && (l.n == 0 || memcmp(l.items, row->both, l.n * sizeof(*l.items)) == 0);
	ok(fine, "intersection: %s", row->name);
	free(l.items);
}

/* --- all lists over a few cells, against bits --- */

enum {
	CELLS = 8,
	LISTS = 1 << CELLS
};

/* The list of the cells whose bits are set: runs of them, or each by itself. */
static size_t list_of(unsigned int bits, bool runs, struct coffer_range *ret)
{
	size_t n = 0;

	for (unsigned int i = 0; i < CELLS; i++) {
		if (!(bits >> i & 1))
			continue;
		if (runs && n > 0 && ret[n - 1].end == i)
			ret[n - 1].end = i + 1;
		else
			ret[n++] = (struct coffer_range){i, i + 1};
	}
	return n;
}

static bool is_list(const struct coffer_ranges *l, unsigned int bits)
{
	struct coffer_range want[CELLS];

	return l->n == list_of(bits, true, want) &&
	       (l->n == 0 || memcmp(l->items, want, l->n * sizeof(*want)) == 0);
}

static void all_intersections(bool runs_a, bool runs_b)
{
	unsigned int wrong = 0;

	for (unsigned int a = 0; a < LISTS; a++)
		for (unsigned int b = 0; b < LISTS; b++) {
			struct coffer_range items[CELLS];
			const struct coffer_ranges with = {items, list_of(b, runs_b, items)};
			struct coffer_ranges l = {malloc(CELLS * sizeof(*l.items)), 0};

			if (!l.items)
				abort();
			l.n = list_of(a, runs_a, l.items);
			if (coffer_ranges_intersect(&l, &with, NULL) < 0 || !is_list(&l, a & b))
				wrong++;
			free(l.items);
		}
	ok(wrong == 0, "%d x %d lists, %s and %s: what both have, in runs", LISTS, LISTS,
		runs_a ? "runs" : "cells", runs_b ? "runs" : "cells");
}

/* Each list, made from runs that are cut at each set of places, with empty ranges between. */
static void all_additions(void)
{
	unsigned int wrong = 0;

	for (unsigned int bits = 0; bits < LISTS; bits++)
		for (unsigned int cuts = 0; cuts < LISTS; cuts++) {
			struct coffer_ranges l = {0};
			int r = 0;

			for (unsigned int i = 0, from = 0; i < CELLS && r == 0; i++) {
				if (!(bits >> i & 1)) {
					from = i + 1;
				} else if (i + 1 == CELLS || !(bits >> (i + 1) & 1) ||
					   (cuts >> i & 1)) {
					r = coffer_ranges_add(&l, from, i + 1, NULL);
					from = i + 1;
				}
				if (r == 0)
					r = coffer_ranges_add(&l, i + 1, i + (cuts & 1), NULL);
			}
			wrong += r < 0 || !is_list(&l, bits);
			free(l.items);
		}
	ok(wrong == 0, "%d lists in %d pieces: added, they are runs", LISTS, LISTS);
}

static int read_zeros(struct coffer_dev *d, void *buf, size_t n, uint64_t off, struct coffer_err *e)
{
	(void)d, (void)off, (void)e;
	memset(buf, 0, n);
	return 0;
}

static int read_fails(struct coffer_dev *d, void *buf, size_t n, uint64_t off, struct coffer_err *e)
{
	(void)d, (void)buf, (void)n, (void)off, (void)e;
	return -EIO;
}

/* A superblock that is not there any more, and a disk that breaks: errors, for every kind. */
static void refuses(enum coffer_fs_kind kind, bool broken)
{
	const struct coffer_dev_ops ops = {.read = broken ? read_fails : read_zeros};
	struct coffer_dev d = {.ops = &ops, .size = 64 << 20, .fd = -1};
	const struct coffer_fs fs = {.kind = kind, .end = 64 << 20, .block_size = 4096};
	struct coffer_fsmap m = {0};
	struct coffer_err e = {0};
	const int r = coffer_fsmap_read(&d, &fs, true, &m, &e);

	ok(broken && kind != COFFER_FS_NONE ? r == -EIO : r < 0, "%s on %s: %d",
		coffer_fs_name(kind), broken ? "a broken disk" : "zeros", r);
	ok(!m.free.items && !m.fixed.items && !m.prints.items, "nothing is returned");
	coffer_fsmap_reset(&m);
}

int main(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		intersects(&rows[i]);
	for (unsigned int i = 0; i < 4; i++)
		all_intersections(i & 1, i & 2);
	all_additions();
	for (int kind = 0; kind < COFFER_N_FS_KINDS; kind++) {
		refuses((enum coffer_fs_kind)kind, false);
		refuses((enum coffer_fs_kind)kind, true);
	}
	return done_testing();
}
