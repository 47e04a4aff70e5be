/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* free_map.h - byte ranges, and the map of those that are free in a filesystem */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "coffer/err.h"

struct coffer_range {
	uint64_t start, end; /* [start, end) */
};

struct coffer_ranges {
	struct coffer_range *items;
	size_t n;
};

/* Add a range after the others; one that touches the last one extends it, an empty one is left out.
 * -ENOMEM with @e set. */
int coffer_ranges_add(struct coffer_ranges *l, uint64_t start, uint64_t end, struct coffer_err *e);

/* Replace the list by its intersection with @with; both ascend. */
int coffer_ranges_intersect(
	struct coffer_ranges *l, const struct coffer_ranges *with, struct coffer_err *e);

enum {
	COFFER_FSMAP_MAX_PRINTS = 1024
};

struct coffer_fsmap {
	struct coffer_ranges free;  /* positively free; any order */
	struct coffer_ranges fixed; /* always used: superblocks, mirrors, backups */
	/* What any use of the filesystem changes: the superblock first, then journal or log, then
	 * mirrors; multiples of 512, in the order of a fingerprint. At most
	 * COFFER_FSMAP_MAX_PRINTS. */
	struct coffer_ranges prints;
	const char *source; /* "kernel" or "libext2fs" */
};

void coffer_fsmap_reset(struct coffer_fsmap *m); /* frees what it holds */

/* Add a range of the fingerprint, rounded to 512 bytes; it is left out if it does not fit. */
int coffer_fsmap_add_print(
	struct coffer_fsmap *m, uint64_t start, uint64_t end, struct coffer_err *e);
