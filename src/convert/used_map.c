/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* used_map.c - which bytes of the plain filesystem hold something */
#include "convert/used_map.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

void coffer_used_map_free(struct coffer_used_map *m)
{
	if (!m)
		return;
	free(m->used);
	free(m);
}

static int by_start(const void *a, const void *b)
{
	const struct coffer_range *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

/* Sort, and join what overlaps or touches. Returns how many are left. */
static size_t normalize(struct coffer_range *r, size_t n)
{
	size_t k = 0;

	if (n == 0)
		return 0;
	qsort(r, n, sizeof(*r), by_start);
	for (size_t i = 1; i < n; i++) {
		if (r[i].start > r[k].end)
			r[++k] = r[i];
		else if (r[i].end > r[k].end)
			r[k].end = r[i].end;
	}
	return k + 1;
}

/* The whole blocks of free ranges, without those that have none. A range that reaches the data's
 * end is free to the end. */
static size_t whole_blocks(struct coffer_range *r, size_t n, uint64_t length)
{
	size_t k = 0;

	for (size_t i = 0; i < n; i++) {
		struct coffer_range f = r[i];

		if (f.start >= length || f.end <= f.start)
			continue;
		f.start = round_up_u64(f.start, COFFER_BLOCK);
		f.end = f.end >= length ? length : round_down_u64(f.end, COFFER_BLOCK);
		if (f.start < f.end)
			r[k++] = f;
	}
	return k;
}

int coffer_used_map_new(
	struct coffer_range *free_ranges, size_t n, uint64_t length, struct coffer_used_map **ret)
{
	_cleanup_used_map_ struct coffer_used_map *m = calloc(1, sizeof(*m));
	uint64_t at = 0;

	if (!m)
		return -ENOMEM;
	/* Joined first, then rounded: a block that two ranges share is free, too. */
	n = normalize(free_ranges, n);
	n = whole_blocks(free_ranges, n, length);
	m->length = length;
	m->used = calloc(n + 1, sizeof(*m->used));
	if (!m->used)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		if (free_ranges[i].start > at)
			m->used[m->n++] = (struct coffer_range){at, free_ranges[i].start};
		at = free_ranges[i].end;
	}
	if (at < length)
		m->used[m->n++] = (struct coffer_range){at, length};
	*ret = TAKE_PTR(m);
	return 0;
}

int coffer_used_map_add(struct coffer_used_map *m, const struct coffer_range *used, size_t n)
{
	struct coffer_range *all = reallocarray(m->used, m->n + n + 1, sizeof(*all));

	if (!all)
		return -ENOMEM;
	m->used = all;
	for (size_t i = 0; i < n; i++) {
		struct coffer_range u = used[i];

		if (u.start >= m->length || u.end <= u.start)
			continue;
		u.start = round_down_u64(u.start, COFFER_BLOCK);
		u.end = min_u64(round_up_u64(min_u64(u.end, m->length), COFFER_BLOCK), m->length);
		all[m->n++] = u;
	}
	m->n = normalize(all, m->n);
	return 0;
}

bool coffer_used_map_ok(const struct coffer_used_map *m)
{
	uint64_t at = 0;

	for (size_t i = 0; i < m->n; i++) {
		const struct coffer_range *u = &m->used[i];

		if (u->start % COFFER_BLOCK || (u->end % COFFER_BLOCK && u->end != m->length) ||
			u->end > m->length || u->start >= u->end || (i > 0 && u->start <= at))
			return false;
		at = u->end;
	}
	return true;
}

/* Close gaps of fewer than @gap bytes, from the first on, until @max ranges are left. */
static void close_gaps(struct coffer_used_map *m, uint64_t gap, size_t max)
{
	size_t k = 0, left = m->n;

	for (size_t i = 1; i < m->n; i++) {
		if (left > max && m->used[i].start - m->used[k].end < gap) {
			m->used[k].end = m->used[i].end;
			left--;
		} else {
			m->used[++k] = m->used[i];
		}
	}
	m->n = m->n ? k + 1 : 0;
}

void coffer_used_map_coarsen(struct coffer_used_map *m, uint64_t gap, size_t max)
{
	close_gaps(m, gap, 0);
	while (m->n > max) {
		gap += gap / 64 > COFFER_BLOCK ? gap / 64 : COFFER_BLOCK;
		close_gaps(m, gap, max);
	}
}

/* Index of the first range that ends after @x. */
static size_t find(const struct coffer_used_map *m, uint64_t x)
{
	size_t low = 0, high = m->n;

	while (low < high) {
		const size_t mid = low + (high - low) / 2;

		if (m->used[mid].end > x)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

bool coffer_used_map_next(const struct coffer_used_map *m, uint64_t x, struct coffer_range *ret)
{
	const size_t i = find(m, x);

	if (i == m->n)
		return false;
	*ret = m->used[i];
	if (ret->start < x)
		ret->start = x;
	return true;
}

uint64_t coffer_used_map_end_below(const struct coffer_used_map *m, uint64_t x)
{
	const size_t i = find(m, x);

	if (i < m->n && m->used[i].start < x)
		return x;
	return i > 0 ? m->used[i - 1].end : 0;
}

uint64_t coffer_used_map_bytes(const struct coffer_used_map *m, uint64_t from, uint64_t to)
{
	uint64_t sum = 0;

	if (from >= to)
		return 0;
	if (!m)
		return to - from;
	for (size_t i = find(m, from); i < m->n && m->used[i].start < to; i++) {
		const struct coffer_range *u = &m->used[i];

		sum += min_u64(u->end, to) - (u->start > from ? u->start : from);
	}
	return sum;
}
