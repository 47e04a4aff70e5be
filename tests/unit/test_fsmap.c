/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What tests/loop/test_fsmap*.py cannot reach: lists of ranges, and devices that are no file. */
#include <errno.h>
#include <string.h>

#include "os/fsmap_parts.h"
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
	struct coffer_range *items = NULL;
	size_t n = 0;
	bool fine = true;

	for (size_t i = 0; i < count(row->a); i++)
		fine = fine &&
		       coffer_ranges_add(&items, &n, row->a[i].start, row->a[i].end, NULL) == 0;
	fine = fine && coffer_ranges_intersect(&items, &n, row->b, count(row->b), NULL) == 0;
	fine = fine && n == count(row->both);
	fine = fine && (n == 0 || memcmp(items, row->both, n * sizeof(*items)) == 0);
	ok(fine, "intersection: %s", row->name);
	free(items);
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
	ok(m.free == NULL && m.fixed == NULL && m.prints == NULL, "nothing is returned");
	coffer_fsmap_reset(&m);
}

int main(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		intersects(&rows[i]);
	for (int kind = 0; kind < COFFER_N_FS_KINDS; kind++) {
		refuses((enum coffer_fs_kind)kind, false);
		refuses((enum coffer_fs_kind)kind, true);
	}
	return done_testing();
}
