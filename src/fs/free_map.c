/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* free_map.c - byte ranges, and the map of those that are free in a filesystem */
#include "fs/free_map.h"

#include <errno.h>

#include "base/array.h"
#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/err.h"

int coffer_ranges_add(struct coffer_ranges *l, uint64_t start, uint64_t end, struct coffer_err *e)
{
	if (start >= end)
		return 0;
	if (l->n > 0 && l->items[l->n - 1].end == start) {
		l->items[l->n - 1].end = end;
		return 0;
	}
	if (!ARRAY_ROOM(l->items, l->n))
		return coffer_err_errno(e, ENOMEM, "read the free space");
	l->items[l->n++] = (struct coffer_range){start, end};
	return 0;
}

int coffer_ranges_intersect(
	struct coffer_ranges *l, const struct coffer_ranges *with, struct coffer_err *e)
{
	struct coffer_ranges both = {0};
	size_t i = 0, k = 0;
	int r = 0;

	while (i < l->n && k < with->n && r == 0) {
		const struct coffer_range a = l->items[i], b = with->items[k];

		r = coffer_ranges_add(
			&both, a.start > b.start ? a.start : b.start, min_u64(a.end, b.end), e);
		if (a.end < b.end)
			i++;
		else
			k++;
	}
	free(l->items);
	*l = both;
	return r;
}

void coffer_fsmap_reset(struct coffer_fsmap *m)
{
	free(m->free.items);
	free(m->fixed.items);
	free(m->prints.items);
	*m = (struct coffer_fsmap){0};
}

int coffer_fsmap_add_print(
	struct coffer_fsmap *m, uint64_t start, uint64_t end, struct coffer_err *e)
{
	struct coffer_ranges *l = &m->prints;

	start = round_down_u64(start, COFFER_SECTOR);
	if (l->n == COFFER_FSMAP_MAX_PRINTS && l->items[l->n - 1].end != start)
		return 0;
	return coffer_ranges_add(l, start, round_up_u64(end, COFFER_SECTOR), e);
}
