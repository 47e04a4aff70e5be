/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* devices.c - the block devices of this machine */
#include "block/devices.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/array.h"
#include "base/err.h"
#include "io/sysfs.h"

/* "ram0", "zram12" */
static bool is_memory(const char *name)
{
	if (*name == 'z')
		name++;
	return strncmp(name, "ram", 3) == 0 && isdigit((unsigned char)name[3]);
}

static bool has_size(int sys, const char *name)
{
	char path[NAME_MAX + 32], text[32];

	(void)snprintf(path, sizeof(path), "%s/size", name);
	return coffer_sysfs_read_line(sys, path, text, sizeof(text)) &&
	       strtoull(text, NULL, 10) > 0;
}

static bool is_free_loop(int sys, const char *name)
{
	char path[NAME_MAX + 32];

	if (strncmp(name, "loop", 4) != 0)
		return false;
	(void)snprintf(path, sizeof(path), "%s/loop/backing_file", name);
	if (faccessat(sys, path, F_OK, 0) == 0)
		return false;
	(void)snprintf(path, sizeof(path), "%s/partition", name);
	return faccessat(sys, path, F_OK, 0) < 0;
}

/* Does @path, below @root, lead to the block device @dev? */
static bool is_node(const char *root, const char *path, dev_t dev)
{
	char full[PATH_MAX];
	struct stat st;

	return snprintf(full, sizeof(full), "%s%s", root, path) < (int)sizeof(full) &&
	       stat(full, &st) == 0 && S_ISBLK(st.st_mode) && st.st_rdev == dev;
}

/* The name of its node; false when it has none. */
static bool find_node(const char *root, int sys, const char *name, char *ret, size_t size)
{
	char path[NAME_MAX + 32], label[256];
	dev_t dev;

	(void)snprintf(path, sizeof(path), "%s/dev", name);
	if (!coffer_sysfs_read_dev(sys, path, &dev))
		return false;
	/* A name that means something, and stays the same after the next boot. */
	(void)snprintf(path, sizeof(path), "%s/dm/name", name);
	if (coffer_sysfs_read_line(sys, path, label, sizeof(label))) {
		(void)snprintf(ret, size, "/dev/mapper/%s", label);
		if (is_node(root, ret, dev))
			return true;
	}
	(void)snprintf(ret, size, "/dev/%s", name);
	for (char *c = ret; *c; c++) /* sysfs has no folders here: "cciss!c0d0" */
		if (*c == '!')
			*c = '/';
	return is_node(root, ret, dev);
}

static int add(struct coffer_devices *b, const char *name)
{
	char *copy = strdup(name);

	if (!copy || !ARRAY_ROOM(b->items, b->n)) {
		free(copy);
		return -ENOMEM;
	}
	b->items[b->n++] = copy;
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strverscmp(*(char *const *)a, *(char *const *)b);
}

static int read_all(const char *root, DIR *dir, struct coffer_devices *b)
{
	const struct dirent *d;
	char node[NAME_MAX + 32];
	int r = 0;

	while (r == 0 && (d = readdir(dir)))
		if (d->d_name[0] != '.' && !is_memory(d->d_name) &&
			has_size(dirfd(dir), d->d_name) && !is_free_loop(dirfd(dir), d->d_name) &&
			find_node(root, dirfd(dir), d->d_name, node, sizeof(node)))
			r = add(b, node);
	if (b->n > 1)
		qsort(b->items, b->n, sizeof(*b->items), by_name);
	return r;
}

int coffer_devices_read(const char *root, struct coffer_devices *ret, struct coffer_err *e)
{
	_cleanup_devices_ struct coffer_devices b = {0};
	char path[PATH_MAX];
	DIR *dir;
	int r;

	(void)snprintf(path, sizeof(path), "%s/sys/class/block", root);
	dir = opendir(path);
	if (!dir)
		return coffer_err_errno(e, errno, "look for block devices in %s", path);
	r = read_all(root, dir, &b);
	(void)closedir(dir);
	if (r < 0)
		return coffer_err_errno(e, -r, "list the block devices");
	*ret = b;
	b = (struct coffer_devices){0};
	return 0;
}

void coffer_devices_free(struct coffer_devices *b)
{
	for (size_t i = 0; i < b->n; i++)
		free(b->items[i]);
	free(b->items);
	*b = (struct coffer_devices){0};
}

void coffer_device_find_link(const char *folder, dev_t dev, char *ret, size_t size)
{
	const struct dirent *d;
	struct stat st;
	DIR *dir = opendir(folder);

	memset(ret, 0, size);
	if (!dir)
		return;
	while ((d = readdir(dir))) {
		if (d->d_name[0] == '.' || strlen(d->d_name) >= size ||
			fstatat(dirfd(dir), d->d_name, &st, 0) < 0 || !S_ISBLK(st.st_mode) ||
			st.st_rdev != dev)
			continue;
		if (!ret[0] || strcmp(d->d_name, ret) < 0)
			(void)snprintf(ret, size, "%s", d->d_name);
	}
	(void)closedir(dir);
}

bool coffer_device_maps_volume(const char *name, const char *uuid)
{
	char path[NAME_MAX + 64], found[256], want[64] = "CRYPT-LUKS2-";
	size_t n = strlen(want);

	for (const char *c = uuid; *c && n < sizeof(want) - 2; c++)
		if (*c != '-')
			want[n++] = *c;
	want[n++] = '-';
	want[n] = '\0';
	(void)snprintf(path, sizeof(path), "/sys/class/block/%s/dm/uuid", name);
	return coffer_sysfs_read_line(AT_FDCWD, path, found, sizeof(found)) &&
	       strncmp(found, want, n) == 0;
}
