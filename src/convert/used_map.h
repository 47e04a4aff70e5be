/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* used_map.h - which bytes of the plain filesystem hold something
 *
 * Used is the complement of positively free: what was not reported as free counts as used, so a
 * superblock's mirror that no tree mentions is never lost. All values are bytes; ranges are in
 * multiples of 4096, but for the last one, which may end with the data. Too large a map is slower,
 * too small a map loses data: every rounding is outwards. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "coffer/err.h"
#include "fs/free_map.h"

/* NULL stands for a map in which everything is used. */
struct coffer_used_map {
	uint64_t length;	   /* L: the map is about [0, L) */
	struct coffer_range *used; /* ascending, none empty, none touches the next */
	size_t n;
	bool fill; /* what is free is overwritten, see coffer_jobs_next */
};

void coffer_used_map_free(struct coffer_used_map *m); /* NULL is fine */
DEFINE_CLEANUP(struct coffer_used_map *, used_map, coffer_used_map_free);
#define _cleanup_used_map_ _cleanup_(cleanup_used_map)

/* All of [0, @length) but what one of the @n ranges at @free calls free. They come in any order and
 * may overlap; they are sorted in place. -ENOMEM. */
int coffer_used_map_new(
	struct coffer_range *free, size_t n, uint64_t length, struct coffer_used_map **ret);

/* The @n ranges at @used are used, too; what lies beyond the length is left out. -ENOMEM. */
int coffer_used_map_add(struct coffer_used_map *m, const struct coffer_range *used, size_t n);

/* Are the ranges as a map has them? For one that was read from a disk. */
bool coffer_used_map_ok(const struct coffer_used_map *m);

/* Take free gaps shorter than @gap for used; then longer ones, the shorter first, until @max ranges
 * (at least 1) are left. */
void coffer_used_map_coarsen(struct coffer_used_map *m, uint64_t gap, size_t max);

/* The first used range that ends after byte @x, from @x on; false: there is none. */
bool coffer_used_map_next(const struct coffer_used_map *m, uint64_t x, struct coffer_range *ret);

/* The end of the last used byte below @x; 0: there is none. */
uint64_t coffer_used_map_end_below(const struct coffer_used_map *m, uint64_t x);

/* Used bytes within [@from, @to). NULL: all of them. */
uint64_t coffer_used_map_bytes(const struct coffer_used_map *m, uint64_t from, uint64_t to);
