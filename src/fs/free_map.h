/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* free_map.h - what is free in a filesystem, and which bytes any use of it changes */
#pragma once
#include "fs/ranges.h"

enum {
	COFFER_FSMAP_MAX_PRINTS = 1024
};

struct coffer_fsmap {
	struct coffer_range *free; /* positively free; any order */
	size_t n_free;
	struct coffer_range *fixed; /* used, whatever else says: superblocks, mirrors, backups */
	size_t n_fixed;
	/* What any use of the filesystem changes: the superblock first, then journal or log, then
	 * mirrors; multiples of 512, in the order of a fingerprint. At most
	 * COFFER_FSMAP_MAX_PRINTS. */
	struct coffer_range *prints;
	size_t n_prints;
	const char *source; /* "kernel", "libext2fs": who told */
};

void coffer_fsmap_reset(struct coffer_fsmap *m); /* frees what it holds */

/* A range of the fingerprint, rounded to 512 bytes; what does not fit any more is left out. */
int coffer_fsmap_add_print(
	struct coffer_fsmap *m, uint64_t start, uint64_t end, struct coffer_err *e);
