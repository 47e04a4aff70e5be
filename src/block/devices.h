/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* devices.h - the block devices of this machine */
#pragma once
#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "coffer/err.h"

struct coffer_devices {
	char **items; /* "/dev/vda2", "/dev/mapper/home"; "vda2" comes before "vda10" */
	size_t n;
};

/* All block devices with a size and a node: those in @root/sys/class/block whose node in @root/dev
 * has the same numbers. Names are without @root, which is "" for this machine. Disks in memory
 * (ram, zram) are left out; a loop device over nothing has no size. -errno: sysfs cannot be read.
 */
int coffer_devices_read(const char *root, struct coffer_devices *ret, struct coffer_err *e);
void coffer_devices_free(struct coffer_devices *b);
#define _cleanup_devices_ _cleanup_(coffer_devices_free)

/* The first name in @folder, say /dev/disk/by-id, that leads to the block device @dev; "": none. */
void coffer_device_find_link(const char *folder, dev_t dev, char *ret, size_t size);

/* Where sysfs has the block device @dev, and what is @below it: coffer_device_path(dev, "/dm").s */
struct coffer_device_path {
	char s[64];
};
struct coffer_device_path coffer_device_path(dev_t dev, const char *below);

/* The kernel's name of @dev, "vda2"; "": not known. */
void coffer_device_name(dev_t dev, char *ret, size_t size);

/* A partition becomes the disk around it. false: that is not known. */
bool coffer_device_whole(dev_t *dev);

/* The next block device in the folder @dir of sysfs that has a file @test, and its name; NULL: none
 * is left, or @dir is NULL. */
const char *coffer_device_next(DIR *dir, const char *test, dev_t *ret);
