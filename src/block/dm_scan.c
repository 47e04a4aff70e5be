/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* dm_scan.c - which block devices of this machine are encrypted by device-mapper, from sysfs */
#include "block/dm_scan.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "block/mounts.h"
#include "io/sysfs.h"

enum {
	DEEPEST = 8
};

/* libdevmapper's name for the kind begins the UUID of a mapping: "CRYPT-LUKS2-...". */
static bool is_crypt(const char *folder)
{
	char path[PATH_MAX], uuid[160];

	return snprintf(path, sizeof(path), "%s/dm/uuid", folder) < (int)sizeof(path) &&
	       coffer_sysfs_read_line(AT_FDCWD, path, uuid, sizeof(uuid)) &&
	       strncmp(uuid, "CRYPT-", 6) == 0;
}

size_t coffer_dm_scan_count(void)
{
	DIR *dir = opendir("/sys/class/block");
	const struct dirent *d;
	char path[PATH_MAX];
	size_t n = 0;

	while (dir && (d = readdir(dir)))
		if (strncmp(d->d_name, "dm-", 3) == 0 &&
			snprintf(path, sizeof(path), "/sys/class/block/%s", d->d_name) <
				(int)sizeof(path))
			n += is_crypt(path);
	if (dir)
		(void)closedir(dir);
	return n;
}

static enum coffer_swap_kind kind_of(const char *folder, int depth);

/* All that it stands on: as good as the worst of them. */
static enum coffer_swap_kind kind_below(const char *folder, int depth)
{
	enum coffer_swap_kind kind = COFFER_SWAP_PLAIN, k;
	const struct dirent *d;
	char path[PATH_MAX];
	bool any = false;
	DIR *dir;

	if (snprintf(path, sizeof(path), "%s/slaves", folder) >= (int)sizeof(path))
		return COFFER_SWAP_UNKNOWN;
	dir = opendir(path);
	while (dir && (d = readdir(dir))) {
		if (d->d_name[0] == '.')
			continue;
		if (snprintf(path, sizeof(path), "/sys/class/block/%s", d->d_name) >=
			(int)sizeof(path))
			continue;
		k = kind_of(path, depth + 1);
		kind = any && k < kind ? kind : k;
		any = true;
	}
	if (dir)
		(void)closedir(dir);
	return kind;
}

static enum coffer_swap_kind kind_of(const char *folder, int depth)
{
	char path[PATH_MAX], real[PATH_MAX];
	const char *name;

	if (depth > DEEPEST || !realpath(folder, real))
		return COFFER_SWAP_UNKNOWN;
	if (is_crypt(real))
		return COFFER_SWAP_ENCRYPTED;
	name = strrchr(real, '/') + 1;
	if (strncmp(name, "zram", 4) == 0 || strncmp(name, "ram", 3) == 0)
		return COFFER_SWAP_MEMORY;
	if (strncmp(name, "loop", 4) == 0)
		return COFFER_SWAP_UNKNOWN; /* the file may lie anywhere */
	if (snprintf(path, sizeof(path), "%s/partition", real) >= (int)sizeof(path))
		return COFFER_SWAP_UNKNOWN;
	if (access(path, F_OK) < 0)
		return kind_below(real, depth);
	*strrchr(real, '/') = '\0'; /* the disk around it */
	return kind_of(real, depth + 1);
}

/* A file lies on the device of its filesystem; a btrfs has a number that no device has. */
static enum coffer_swap_kind kind_of_id(struct coffer_device_id what)
{
	char path[64];

	(void)snprintf(
		path, sizeof(path), "/sys/dev/block/%u:%u", major(what.dev), minor(what.dev));
	return kind_of(path, 0);
}

int coffer_dm_scan_swaps(struct coffer_swap_list *ret)
{
	_cleanup_mounts_ struct coffer_mounts swaps = {0};
	struct coffer_swap_list list = {0};
	int r;

	r = coffer_swaps_read(&swaps);
	for (size_t i = 0; i < swaps.n && r == 0; i++) {
		if (!ARRAY_ROOM(list.items, list.n)) {
			r = -ENOMEM;
			break;
		}
		list.items[list.n] = (struct coffer_swap){.kind = kind_of_id(swaps.items[i].what)};
		(void)snprintf(list.items[list.n].name, sizeof(list.items->name), "%s",
			swaps.items[i].name);
		list.n++;
	}
	if (r < 0) {
		free(list.items);
		return r;
	}
	*ret = list;
	return 0;
}
