/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* blockdevs.h - the block devices of this machine */
#pragma once
#include <stddef.h>

#include "base/cleanup.h"
#include "coffer/err.h"

struct coffer_blockdevs {
	char **items; /* "/dev/vda2", "/dev/mapper/home"; "vda2" comes before "vda10" */
	size_t n;
};

/* All block devices that have a size and a node: those in @root/sys/class/block whose node in
 * @root/dev has the same numbers; names are without @root, which is "" for this machine.
 * Not: disks in memory (ram, zram), whose content does not outlive the power; loop devices over
 * nothing. -errno when sysfs cannot be read. */
int coffer_blockdevs_read(const char *root, struct coffer_blockdevs *ret, struct coffer_err *e);
void coffer_blockdevs_free(struct coffer_blockdevs *b);
#define _cleanup_blockdevs_ _cleanup_(coffer_blockdevs_free)
