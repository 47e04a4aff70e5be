/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* dm_scan.c - find encrypted block devices and swap, from sysfs */
#include "block/dm_scan.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "block/devices.h"
#include "block/mounts.h"
#include "io/sysfs.h"

enum {
	DEEPEST = 8
};

/* The UUID of a dm-crypt mapping begins with "CRYPT-". */
static bool is_crypt(dev_t dev)
{
	char uuid[160];

	return coffer_sysfs_read_line(
		       AT_FDCWD, coffer_device_path(dev, "/dm/uuid").s, uuid, sizeof(uuid)) &&
	       strncmp(uuid, "CRYPT-", 6) == 0;
}

size_t coffer_dm_scan_count(void)
{
	_cleanup_dir_ DIR *dir = opendir("/sys/class/block");
	size_t n = 0;
	dev_t dev;

	while (coffer_device_next(dir, "dm/uuid", &dev))
		n += is_crypt(dev);
	return n;
}

static enum coffer_swap_kind kind_of(dev_t dev, int depth)
{
	enum coffer_swap_kind kind = COFFER_SWAP_PLAIN, k;
	_cleanup_dir_ DIR *dir = NULL;
	char name[32], path[NAME_MAX + 32];
	dev_t whole = dev;
	const char *below;
	bool any = false;

	coffer_device_name(dev, name, sizeof(name));
	if (depth > DEEPEST || !name[0])
		return COFFER_SWAP_UNKNOWN;
	if (is_crypt(dev))
		return COFFER_SWAP_ENCRYPTED;
	if (strncmp(name, "zram", 4) == 0 || strncmp(name, "ram", 3) == 0)
		return COFFER_SWAP_MEMORY;
	/* The file of a loop device may be anywhere. */
	if (strncmp(name, "loop", 4) == 0 || !coffer_device_whole(&whole))
		return COFFER_SWAP_UNKNOWN;
	if (whole != dev)
		return kind_of(whole, depth + 1);
	/* Of the devices that it is stacked on, the worst one counts. */
	dir = opendir(coffer_device_path(dev, "/slaves").s);
	while ((below = coffer_dir_next(dir))) {
		(void)snprintf(path, sizeof(path), "%s/dev", below);
		k = coffer_sysfs_read_dev(dirfd(dir), path, &dev) ? kind_of(dev, depth + 1)
								  : COFFER_SWAP_UNKNOWN;
		kind = any && k < kind ? kind : k;
		any = true;
	}
	return kind;
}

int coffer_dm_scan_swaps(struct coffer_swap_list *ret)
{
	_cleanup_mounts_ struct coffer_mounts swaps = {0};
	struct coffer_swap_list list = {0};
	int r;

	r = coffer_swaps_read(&swaps);
	if (r < 0)
		return r;
	list.items = calloc(swaps.n + 1, sizeof(*list.items));
	if (!list.items)
		return -ENOMEM;
	for (; list.n < swaps.n; list.n++) {
		struct coffer_swap *s = &list.items[list.n];

		/* A file is on its filesystem's device; a btrfs has a number that no device has. */
		s->kind = kind_of(swaps.items[list.n].id.dev, 0);
		(void)snprintf(s->name, sizeof(s->name), "%s", swaps.items[list.n].name);
	}
	*ret = list;
	return 0;
}
