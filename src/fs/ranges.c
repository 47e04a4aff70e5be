/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ranges.c - lists of byte ranges */
#include "fs/ranges.h"

#include <errno.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/bytes.h"
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
		return coffer_err_errno(e, ENOMEM, "read what is free");
	(*items)[(*n)++] = (struct coffer_range){start, end};
	return 0;
}

int coffer_ranges_intersect(struct coffer_range **items, size_t *n, const struct coffer_range *with,
	size_t n_with, struct coffer_err *e)
{
	const struct coffer_range *a = *items;
	struct coffer_range *both = NULL;
	size_t i = 0, k = 0, n_both = 0;
	int r = 0;

	while (r == 0 && i < *n && k < n_with) {
		const uint64_t start = a[i].start > with[k].start ? a[i].start : with[k].start;

		r = coffer_ranges_add(&both, &n_both, start, min_u64(a[i].end, with[k].end), e);
		if (a[i].end < with[k].end)
			i++;
		else
			k++;
	}
	if (r < 0) {
		free(both);
		return r;
	}
	free(*items);
	*items = both;
	*n = n_both;
	return 0;
}
