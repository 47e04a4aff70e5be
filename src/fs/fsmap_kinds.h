/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fsmap_kinds.h - read the free space of one kind of filesystem (contract: fs/fsmap.h) */
#pragma once
#include "fs/free_map.h"
#include "fs/hidden_mount.h"
#include "fs/superblock.h"

int coffer_fsmap_ext(struct coffer_dev *d, const struct coffer_fs *fs, bool mount,
	struct coffer_fsmap *ret, struct coffer_err *e);
int coffer_fsmap_xfs(struct coffer_dev *d, const struct coffer_fs *fs, bool mount,
	struct coffer_fsmap *ret, struct coffer_err *e);
int coffer_fsmap_btrfs(struct coffer_dev *d, const struct coffer_fs *fs, bool mount,
	struct coffer_fsmap *ret, struct coffer_err *e);

/* What FS_IOC_GETFSMAP reports as free on a mount, ascending. */
int coffer_fsmap_ask_kernel(const struct coffer_hidden_mount *h, uint64_t end,
	struct coffer_ranges *ret, struct coffer_err *e);

/* -EPERM: this filesystem needs a mount, and may not have one. */
int coffer_fsmap_need_mount(struct coffer_err *e);
