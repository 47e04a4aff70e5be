/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fsmap_btrfs_trees.h - the free space in the trees of a btrfs */
#pragma once
#include <linux/btrfs.h>
#include <stdbool.h>
#include <stdint.h>

#include "fs/free_map.h"

struct coffer_btrfs {
	uint64_t end;
	uint64_t device; /* its number within the filesystem */
	uint64_t node;	 /* bytes of a tree block */
	bool group_tree;
	/* BTRFS_IOC_TREE_SEARCH_V2, or what a test has instead: 0, or -1 and errno. */
	int (*search)(const struct coffer_btrfs *b, struct btrfs_ioctl_search_args_v2 *args);
	int root;	   /* the filesystem's root directory, for this */
	size_t answer_max; /* bytes of one answer, without its header */
};

#define COFFER_BTRFS_FIRST_MIB (UINT64_C(1) << 20) /* btrfs leaves it to boot loaders */

/* Add the free ranges to @m; @m->fixed already has what no tree mentions. -EUCLEAN: the trees
 * contradict each other; -errno of the search. */
int coffer_btrfs_read_trees(
	const struct coffer_btrfs *b, struct coffer_fsmap *m, struct coffer_err *e);
