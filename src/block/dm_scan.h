/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* dm_scan.h - find encrypted block devices and swap, from sysfs */
#pragma once
#include <stddef.h>

enum coffer_swap_kind {
	COFFER_SWAP_MEMORY, /* compressed, in memory */
	COFFER_SWAP_ENCRYPTED,
	COFFER_SWAP_PLAIN,
	COFFER_SWAP_UNKNOWN,
};

struct coffer_swap {
	char name[256];
	enum coffer_swap_kind kind;
};

/* The number of encrypted volumes that are open. */
size_t coffer_dm_scan_count(void);

struct coffer_swap_list {
	struct coffer_swap *items;
	size_t n;
};

/* All swap, and whether it is on an encrypted volume. -ENOMEM. */
int coffer_dm_scan_swaps(struct coffer_swap_list *ret);
