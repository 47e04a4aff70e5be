/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* loops.c - loop devices and their backing files */
#include "block/loops.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/loop.h>
#include <stdio.h>
#include <sys/ioctl.h>

#include "base/array.h"
#include "block/devices.h"
#include "io/sysfs.h"

#define BACKING "loop/backing_file"

/* The file that the kernel holds open. Its path may be stale, or of another mount namespace. */
static bool backing_by_kernel(const char *name, dev_t dev, struct coffer_device_id *ret)
{
	_cleanup_close_ int fd = -1;
	struct loop_info64 info;
	char path[64];
	struct stat st;

	(void)snprintf(path, sizeof(path), "/dev/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISBLK(st.st_mode) || st.st_rdev != dev ||
		ioctl(fd, LOOP_GET_STATUS64, &info) < 0)
		return false;
	*ret = info.lo_rdevice
		       ? coffer_device_id_block(info.lo_rdevice)
		       : (struct coffer_device_id){.dev = info.lo_device, .ino = info.lo_inode};
	return true;
}

static int add_loop(struct coffer_loops *l, DIR *sys, const char *name, dev_t dev, bool *complete)
{
	struct coffer_loop loop = {.dev = dev};
	char path[64], backing[PATH_MAX];
	struct stat st;

	(void)snprintf(loop.name, sizeof(loop.name), "%s", name);
	if (!backing_by_kernel(loop.name, dev, &loop.backing)) {
		(void)snprintf(path, sizeof(path), "%s/" BACKING, loop.name);
		if (!coffer_sysfs_read_line(dirfd(sys), path, backing, sizeof(backing)))
			return 0; /* detached meanwhile */
		if (stat(backing, &st) < 0) {
			*complete = false;
			return 0;
		}
		loop.backing = coffer_device_id_of(&st);
	}
	if (!ARRAY_ROOM(l->items, l->n))
		return -ENOMEM;
	l->items[l->n++] = loop;
	return 0;
}

static int by_number(const void *a, const void *b)
{
	const dev_t x = ((const struct coffer_loop *)a)->dev;
	const dev_t y = ((const struct coffer_loop *)b)->dev;

	return (x > y) - (x < y);
}

int coffer_loops_read(struct coffer_loops *ret, bool *complete)
{
	_cleanup_dir_ DIR *dir = opendir("/sys/block");
	const char *name;
	dev_t dev;

	if (!dir)
		*complete = false;
	while ((name = coffer_device_next(dir, BACKING, &dev)))
		if (add_loop(ret, dir, name, dev, complete) < 0)
			return -ENOMEM;
	if (ret->n > 1)
		qsort(ret->items, ret->n, sizeof(*ret->items), by_number);
	return 0;
}

void coffer_loops_free(struct coffer_loops *l)
{
	free(l->items);
	*l = (struct coffer_loops){0};
}
