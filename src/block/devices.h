/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* devices.h - the block devices of this machine */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "coffer/err.h"

struct coffer_devices {
	char **items; /* "/dev/vda2", "/dev/mapper/home"; "vda2" comes before "vda10" */
	size_t n;
};

/* All block devices that have a size and a node: those in @root/sys/class/block whose node in
 * @root/dev has the same numbers; names are without @root, which is "" for this machine.
 * Not: disks in memory (ram, zram), whose content does not outlive the power; loop devices over
 * nothing. -errno when sysfs cannot be read. */
int coffer_devices_read(const char *root, struct coffer_devices *ret, struct coffer_err *e);
void coffer_devices_free(struct coffer_devices *b);
#define _cleanup_devices_ _cleanup_(coffer_devices_free)

/* The first name in @folder, say /dev/disk/by-id, of those that lead to the block device @dev; ""
 * when there is none. */
void coffer_device_find_link(const char *folder, dev_t dev, char *ret, size_t size);

/* Is the block device @name ("dm-0") a mapping of the LUKS2 volume @uuid, as cryptsetup names it?
 * The name that it gives is the kernel's as long as the mapping lives. */
bool coffer_device_maps_volume(const char *name, const char *uuid);
