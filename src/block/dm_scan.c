/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* dm_scan.c - find encrypted block devices and swap, from sysfs */
#include "block/dm_scan.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "block/mounts.h"
#include "io/sysfs.h"

enum {
	DEEPEST = 8
};

/* The UUID of a dm-crypt mapping begins with "CRYPT-". */
static bool is_crypt(const char *folder)
{
	char path[PATH_MAX], uuid[160];

	return snprintf(path, sizeof(path), "%s/dm/uuid", folder) < (int)sizeof(path) &&
	       coffer_sysfs_read_line(AT_FDCWD, path, uuid, sizeof(uuid)) &&
	       strncmp(uuid, "CRYPT-", 6) == 0;
}

size_t coffer_dm_scan_count(void)
{
	_cleanup_dir_ DIR *dir = opendir("/sys/class/block");
	char path[NAME_MAX + 32];
	const char *name;
	size_t n = 0;

	while ((name = coffer_dir_next(dir))) {
		(void)snprintf(path, sizeof(path), "/sys/class/block/%s", name);
		n += strncmp(name, "dm-", 3) == 0 && is_crypt(path);
	}
	return n;
}

static enum coffer_swap_kind kind_of(const char *folder, int depth);

/* The devices that it is stacked on: the worst of them counts. */
static enum coffer_swap_kind kind_below(const char *folder, int depth)
{
	enum coffer_swap_kind kind = COFFER_SWAP_PLAIN, k;
	_cleanup_dir_ DIR *dir = NULL;
	char path[PATH_MAX];
	const char *name;
	bool any = false;

	if (snprintf(path, sizeof(path), "%s/slaves", folder) >= (int)sizeof(path))
		return COFFER_SWAP_UNKNOWN;
	dir = opendir(path);
	while ((name = coffer_dir_next(dir))) {
		(void)snprintf(path, sizeof(path), "/sys/class/block/%s", name);
		k = kind_of(path, depth + 1);
		kind = any && k < kind ? kind : k;
		any = true;
	}
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
		return COFFER_SWAP_UNKNOWN; /* the file may be anywhere */
	if (snprintf(path, sizeof(path), "%s/partition", real) >= (int)sizeof(path))
		return COFFER_SWAP_UNKNOWN;
	if (access(path, F_OK) < 0)
		return kind_below(real, depth);
	*strrchr(real, '/') = '\0'; /* the disk around the partition */
	return kind_of(real, depth + 1);
}

/* A file is on the device of its filesystem; a btrfs has a number that no device has. */
static enum coffer_swap_kind kind_of_id(struct coffer_device_id id)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/sys/dev/block/%u:%u", major(id.dev), minor(id.dev));
	return kind_of(path, 0);
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

		s->kind = kind_of_id(swaps.items[list.n].id);
		(void)snprintf(s->name, sizeof(s->name), "%s", swaps.items[list.n].name);
	}
	*ret = list;
	return 0;
}
