/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* btrfs_id.h - which btrfs lies on a device, and whether the kernel has mounted that one */
#pragma once
#include "fs/hidden_mount.h"

/* Which filesystem and which of its devices a superblock names. */
struct coffer_btrfs_id {
	uint8_t fsid[16];
	uint64_t device; /* number of this device */
	uint64_t total;	 /* bytes of the filesystem */
};
/* From the superblock at @s. */
struct coffer_btrfs_id coffer_btrfs_id_of(const uint8_t *s);
int coffer_btrfs_read_id(struct coffer_dev *d, struct coffer_btrfs_id *ret, struct coffer_err *e);
/* Of two devices with the same filesystem the kernel may give the one for the other: -EOPNOTSUPP.
 */
int coffer_btrfs_check_mount(const struct coffer_hidden_mount *h, const struct coffer_btrfs_id *id,
	struct coffer_err *e);
