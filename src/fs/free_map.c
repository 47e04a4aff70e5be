/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* free_map.c - byte ranges, and the map of those that are free in a filesystem */
#include "fs/free_map.h"

#include <errno.h>

#include "base/array.h"
#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/err.h"

int coffer_ranges_add(
	struct coffer_range **items, size_t *n, uint64_t start, uint64_t end, struct coffer_err *e)
{
	struct coffer_range *list = *items;

	if (start >= end)
		return 0;
	if (*n > 0 && list[*n - 1].end == start) {
		list[*n - 1].end = end;
		return 0;
	}
	if (!ARRAY_ROOM(*items, *n))
		return coffer_err_errno(e, ENOMEM, "read the free space");
	(*items)[(*n)++] = (struct coffer_range){start, end};
	return 0;
}

int coffer_ranges_intersect(struct coffer_range **items, size_t *n, const struct coffer_range *with,
	size_t n_with, struct coffer_err *e)
{
	_cleanup_free_ struct coffer_range *both = NULL;
	const struct coffer_range *a = *items;
	size_t i = 0, k = 0, n_both = 0;

	while (i < *n && k < n_with) {
		const uint64_t start = a[i].start > with[k].start ? a[i].start : with[k].start;
		const int r =
			coffer_ranges_add(&both, &n_both, start, min_u64(a[i].end, with[k].end), e);

		if (r < 0)
			return r;
		if (a[i].end < with[k].end)
			i++;
		else
			k++;
	}
	free(*items);
	*items = TAKE_PTR(both);
	*n = n_both;
	return 0;
}

void coffer_fsmap_reset(struct coffer_fsmap *m)
{
	free(m->free);
	free(m->fixed);
	free(m->prints);
	*m = (struct coffer_fsmap){0};
}

int coffer_fsmap_add_fixed(
	struct coffer_fsmap *m, uint64_t start, uint64_t end, struct coffer_err *e)
{
	return coffer_ranges_add(&m->fixed, &m->n_fixed, start, end, e);
}

int coffer_fsmap_add_free(
	struct coffer_fsmap *m, uint64_t start, uint64_t end, struct coffer_err *e)
{
	return coffer_ranges_add(&m->free, &m->n_free, start, end, e);
}

int coffer_fsmap_add_print(
	struct coffer_fsmap *m, uint64_t start, uint64_t end, struct coffer_err *e)
{
	start = round_down_u64(start, COFFER_SECTOR);
	end = round_up_u64(end, COFFER_SECTOR);
	if (m->n_prints == COFFER_FSMAP_MAX_PRINTS && m->prints[m->n_prints - 1].end != start)
		return 0;
	return coffer_ranges_add(&m->prints, &m->n_prints, start, end, e);
}
