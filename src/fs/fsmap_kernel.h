/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fsmap_kernel.h - what the kernel calls free, on a mount */
#pragma once
#include "fs/hidden_mount.h"
#include "fs/ranges.h"

/* What FS_IOC_GETFSMAP calls free, ascending. */
int coffer_fsmap_ask_kernel(const struct coffer_hidden_mount *h, uint64_t end,
	struct coffer_range **ret, size_t *ret_n, struct coffer_err *e);
