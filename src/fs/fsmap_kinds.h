/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fsmap_kinds.h - reading what is free: one function for each filesystem (contract: fs/fsmap.h) */
#pragma once
#include "fs/free_map.h"
#include "fs/superblock.h"
#include "io/dev.h"

int coffer_fsmap_ext(struct coffer_dev *d, const struct coffer_fs *fs, bool mount,
	struct coffer_fsmap *ret, struct coffer_err *e);
int coffer_fsmap_xfs(struct coffer_dev *d, const struct coffer_fs *fs, bool mount,
	struct coffer_fsmap *ret, struct coffer_err *e);
int coffer_fsmap_btrfs(struct coffer_dev *d, const struct coffer_fs *fs, bool mount,
	struct coffer_fsmap *ret, struct coffer_err *e);
