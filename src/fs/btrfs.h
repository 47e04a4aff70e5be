/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* btrfs.h - which btrfs is on a device, and a scrub of the start of it */
#pragma once
#include "fs/hidden_mount.h"

enum {
	COFFER_BTRFS_SUPER_AT = 64 << 10,
	COFFER_BTRFS_SUPER_SIZE = 4096
};

/* The superblock of @d, allocated; the caller frees it. */
int coffer_btrfs_read_super(struct coffer_dev *d, uint8_t **ret, struct coffer_err *e);

/* Of two devices with the same filesystem the kernel may mount one in place of the other.
 * -EOPNOTSUPP: @h is not the filesystem with the superblock @super. */
int coffer_btrfs_check_mount(
	const struct coffer_hidden_mount *h, const uint8_t *super, struct coffer_err *e);

/* Compare everything in [0, end) of @d, which begins with a btrfs, with its checksums. btrfs check
 * reads metadata only, and accepts the other copy where one is bad; the kernel also knows the
 * checksums of file contents. -EBADMSG: there are errors, and @e says how many; -EPERM,
 * -EOPNOTSUPP and others: not possible. */
int coffer_btrfs_scrub(struct coffer_dev *d, uint64_t end, struct coffer_err *e);
