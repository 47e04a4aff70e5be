/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* dm_scan.h - which block devices of this machine are encrypted by device-mapper, from sysfs */
#pragma once
#include <stddef.h>

#include "report/judge_kernel.h"

/* How many encrypted volumes are open now. */
size_t coffer_crypts_open(void);

struct coffer_swap_list {
	struct coffer_swap *items;
	size_t n;
};

/* What is swapped on, and whether that lies on an encrypted volume. -ENOMEM. */
int coffer_crypts_swaps(struct coffer_swap_list *ret);
