/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fsmap.h - what a filesystem says is free
 *
 * Asked of those that know: of the kernel, through a mount that nobody sees on a read-only loop
 * device, where that is possible (root), and of libext2fs for ext4 elsewhere. Nothing is written,
 * no journal is replayed. Any doubt is an error, and the caller then takes everything for used. */
#pragma once
#include "fs/free_map.h"
#include "fs/superblock.h"
#include "io/dev.h"

/* Read it of the filesystem @fs, as coffer_superblock_read found it at byte 0 of @d, which the
 * caller has for itself. @mount: the kernel may be asked; else only libext2fs, for ext4. -ENOMEM;
 * -EUCLEAN: it was not unmounted cleanly, or has errors; -EOPNOTSUPP: a kind, feature or layout
 * that is not known for certain; -EPERM: this user may not mount, and no library tells; others
 * where looking failed. @e says it in a sentence without the device's name, such as "its journal
 * has not been replayed". */
int coffer_fsmap_read(struct coffer_dev *d, const struct coffer_fs *fs, bool mount,
	struct coffer_fsmap *ret, struct coffer_err *e);
