/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fsmap_btrfs_trees.h - what btrfs' trees say, for fsmap_btrfs.c and for tests that bring their own
 */
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
	uint8_t fsid[16];
	/* The kernel's answer: as BTRFS_IOC_TREE_SEARCH_V2, 0 or -1 and errno. */
	int (*search)(const struct coffer_btrfs *b, struct btrfs_ioctl_search_args_v2 *args);
	int root;	   /* the filesystem's root folder, for that */
	size_t answer_max; /* bytes of one answer, without its head */
};

#define COFFER_BTRFS_FIRST_MIB (UINT64_C(1) << 20) /* btrfs leaves it to boot loaders */

/* Add to @m what the trees call free. @m->fixed has what no tree mentions already. -EUCLEAN: they
 * contradict each other; -errno of the search. */
int coffer_btrfs_read_trees(
	const struct coffer_btrfs *b, struct coffer_fsmap *m, struct coffer_err *e);
