/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fsmap.h - read the free space of a filesystem
 *
 * The kernel reports it, through a hidden mount on a read-only loop device (root only), and for
 * ext4 libext2fs. Nothing is written and no journal is replayed. Anything unexpected is an error;
 * the caller then takes all blocks for used. */
#pragma once
#include "fs/free_map.h"
#include "fs/superblock.h"
#include "io/dev.h"

/* Read it from the filesystem @fs, as coffer_superblock_read found it at byte 0 of @d, which the
 * caller has open exclusively. Without @mount the kernel is not asked.
 * -ENOMEM; -EUCLEAN: it was not unmounted cleanly, or has errors; -EOPNOTSUPP: an unknown kind,
 * feature or layout; -EPERM: this user may not mount, and no library reads it; others of the reads.
 * @e has a sentence without the name of the device: "its journal has not been replayed". */
int coffer_fsmap_read(struct coffer_dev *d, const struct coffer_fs *fs, bool mount,
	struct coffer_fsmap *ret, struct coffer_err *e);
