/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* devices.c - the block devices of this machine */
#include "block/devices.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

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

/* Does @path, below @root, lead to the block device @dev? */
static bool is_node(const char *root, const char *path, dev_t dev)
{
	char full[PATH_MAX];
	struct stat st;

	return snprintf(full, sizeof(full), "%s%s", root, path) < (int)sizeof(full) &&
	       stat(full, &st) == 0 && S_ISBLK(st.st_mode) && st.st_rdev == dev;
}

/* Its node; false: none. */
static bool find_node(const char *root, int sys, const char *name, char *ret, size_t size)
{
	char path[NAME_MAX + 32], label[256];
	dev_t dev;

	(void)snprintf(path, sizeof(path), "%s/dev", name);
	if (!coffer_sysfs_read_dev(sys, path, &dev))
		return false;
	/* The name in /dev/mapper stays the same after the next boot. */
	(void)snprintf(path, sizeof(path), "%s/dm/name", name);
	if (coffer_sysfs_read_line(sys, path, label, sizeof(label))) {
		(void)snprintf(ret, size, "/dev/mapper/%s", label);
		if (is_node(root, ret, dev))
			return true;
	}
	(void)snprintf(ret, size, "/dev/%s", name);
	for (char *c = ret; *c; c++) /* "cciss!c0d0" is /dev/cciss/c0d0 */
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

int coffer_devices_read(const char *root, struct coffer_devices *ret, struct coffer_err *e)
{
	_cleanup_dir_ DIR *dir = NULL;
	char path[PATH_MAX], node[NAME_MAX + 32];
	const char *name;

	(void)snprintf(path, sizeof(path), "%s/sys/class/block", root);
	dir = opendir(path);
	if (!dir)
		return coffer_err_errno(e, errno, "open %s", path);
	while ((name = coffer_dir_next(dir)))
		if (!is_memory(name) && has_size(dirfd(dir), name) &&
			find_node(root, dirfd(dir), name, node, sizeof(node)) && add(ret, node) < 0)
			return coffer_err_errno(e, ENOMEM, "list the block devices");
	if (ret->n > 1)
		qsort(ret->items, ret->n, sizeof(*ret->items), by_name);
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
	_cleanup_dir_ DIR *dir = opendir(folder);
	const char *name;
	struct stat st;

	memset(ret, 0, size);
	while ((name = coffer_dir_next(dir)))
		if (strlen(name) < size && fstatat(dirfd(dir), name, &st, 0) == 0 &&
			S_ISBLK(st.st_mode) && st.st_rdev == dev &&
			(!ret[0] || strcmp(name, ret) < 0))
			(void)snprintf(ret, size, "%s", name);
}

struct coffer_device_path coffer_device_path(dev_t dev, const char *below)
{
	struct coffer_device_path p;

	(void)snprintf(p.s, sizeof(p.s), "/sys/dev/block/%u:%u%s", major(dev), minor(dev), below);
	return p;
}

void coffer_device_name(dev_t dev, char *ret, size_t size)
{
	char link[PATH_MAX];
	const ssize_t n = readlink(coffer_device_path(dev, "").s, link, sizeof(link) - 1);
	const char *slash;

	link[n < 0 ? 0 : n] = '\0';
	slash = strrchr(link, '/');
	(void)snprintf(ret, size, "%s", slash ? slash + 1 : link);
}

bool coffer_device_whole(dev_t *dev)
{
	return access(coffer_device_path(*dev, "/partition").s, F_OK) < 0 ||
	       coffer_sysfs_read_dev(AT_FDCWD, coffer_device_path(*dev, "/../dev").s, dev);
}

const char *coffer_device_next(DIR *dir, const char *test, dev_t *ret)
{
	char path[NAME_MAX + 32];
	const char *name;

	while ((name = coffer_dir_next(dir))) {
		(void)snprintf(path, sizeof(path), "%s/%s", name, test);
		if (faccessat(dirfd(dir), path, F_OK, 0) < 0)
			continue;
		(void)snprintf(path, sizeof(path), "%s/dev", name);
		if (coffer_sysfs_read_dev(dirfd(dir), path, ret))
			return name;
	}
	return NULL;
}
