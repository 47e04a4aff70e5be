/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fs/fsmap.h"

#include <errno.h>
#include <inttypes.h>

#include "base/array.h"
#include "base/bytes.h"
#include "base/err.h"
#include "convert/stored_map.h"
#include "fs/fsmap_parts.h"

void coffer_fsmap_reset(struct coffer_fsmap *m)
{
	free(m->free);
	free(m->fixed);
	free(m->prints);
	*m = (struct coffer_fsmap){0};
}

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

int coffer_fsmap_add_print(
	struct coffer_fsmap *m, uint64_t start, uint64_t end, struct coffer_err *e)
{
	start = round_down_u64(start, 512);
	end = round_up_u64(end, 512);
	if (m->n_prints == COFFER_STORED_MAP_MAX_PRINTS && m->prints[m->n_prints - 1].end != start)
		return 0;
	return coffer_ranges_add(&m->prints, &m->n_prints, start, end, e);
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

static int read_kind(struct coffer_dev *d, const struct coffer_fs *fs, bool mount,
	struct coffer_fsmap *ret, struct coffer_err *e)
{
	switch (fs->kind) {
	case COFFER_FS_EXT:
		return coffer_fsmap_ext(d, fs, mount, ret, e);
	case COFFER_FS_XFS:
		return coffer_fsmap_xfs(d, fs, mount, ret, e);
	case COFFER_FS_BTRFS:
		return coffer_fsmap_btrfs(d, fs, mount, ret, e);
	default:
		return coffer_err_set(e, EOPNOTSUPP, "it is no filesystem that coffer knows");
	}
}

int coffer_fsmap_read(struct coffer_dev *d, const struct coffer_fs *fs, bool mount,
	struct coffer_fsmap *ret, struct coffer_err *e)
{
	struct coffer_fsmap m = {0};
	int r;

	if (fs->other_part)
		return coffer_err_set(e, EOPNOTSUPP, "%s", fs->other_part);
	if (fs->spare)
		return coffer_err_set(e, EUCLEAN, "its superblock is a backup copy");
	if (fs->end > d->size)
		return coffer_err_set(e, EUCLEAN,
			"it ends at byte %" PRIu64 ", which is behind the device's end", fs->end);
	r = coffer_ranges_add(&m.fixed, &m.n_fixed, 0, COFFER_FS_HEAD, e);
	if (r == 0)
		r = read_kind(d, fs, mount, &m, e);
	if (r < 0) {
		coffer_fsmap_reset(&m);
		return r;
	}
	*ret = m;
	return 0;
}
