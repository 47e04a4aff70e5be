/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "os/inuse.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/loop.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

#include <libmount.h>

#include "base/cleanup.h"
#include "base/err.h"

/* Find the first mount whose filesystem lies on @dev; false, and "", when there is none. */
static bool find_mount(dev_t dev, char *ret, size_t size)
{
	struct libmnt_table *table = mnt_new_table_from_file("/proc/self/mountinfo");
	struct libmnt_fs *fs;

	ret[0] = '\0';
	if (!table)
		return false;
	fs = mnt_table_find_devno(table, dev, MNT_ITER_FORWARD);
	if (fs)
		(void)snprintf(ret, size, "%s", mnt_fs_get_target(fs));
	mnt_unref_table(table);
	return fs != NULL;
}

/* The first entry of a folder; false, and "", when there is none. */
static bool first_entry(const char *path, char *ret, size_t size)
{
	DIR *dir = opendir(path);
	const struct dirent *d;

	ret[0] = '\0';
	if (!dir)
		return false;
	while ((d = readdir(dir)) && !ret[0])
		if (d->d_name[0] != '.')
			(void)snprintf(ret, size, "%s", d->d_name);
	(void)closedir(dir);
	return ret[0] != '\0';
}

int coffer_explain_busy(const char *name, dev_t dev, struct coffer_err *e)
{
	char path[PATH_MAX], found[PATH_MAX];

	if (find_mount(dev, found, sizeof(found)))
		return coffer_err_refuse(
			e, EBUSY, "%s is mounted on %s; unmount it first", name, found);
	(void)snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/holders", major(dev), minor(dev));
	if (first_entry(path, found, sizeof(found)))
		return coffer_err_refuse(e, EBUSY,
			"%s is held by the block device %s on top of it; take that down first",
			name, found);
	return coffer_err_refuse(e, EBUSY,
		"%s is in use: as swap, by another coffer or cryptsetup, or mounted elsewhere",
		name);
}

/* Do both name the same block device, or the same file? */
static bool same_thing(const struct stat *a, const struct stat *b)
{
	if (S_ISBLK(a->st_mode) || S_ISBLK(b->st_mode))
		return S_ISBLK(a->st_mode) && S_ISBLK(b->st_mode) && a->st_rdev == b->st_rdev;
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* Is @loop a loop device over the file or device of @st? */
static bool backs_loop(const char *loop, const struct stat *st)
{
	char path[PATH_MAX], backing[PATH_MAX];
	_cleanup_close_ int fd = -1;
	struct loop_info64 info;
	struct stat other;
	ssize_t n;

	/* The kernel's own numbers, since a path may be stale or of another mount namespace; and
	 * the path, since the numbers of a btrfs are not those that stat tells. */
	(void)snprintf(path, sizeof(path), "/dev/%s", loop);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd >= 0 && ioctl(fd, LOOP_GET_STATUS64, &info) == 0 &&
		(S_ISBLK(st->st_mode)
				? info.lo_rdevice == st->st_rdev
				: info.lo_device == st->st_dev && info.lo_inode == st->st_ino))
		return true;
	if (fd >= 0)
		(void)close(TAKE_FD(fd));
	(void)snprintf(path, sizeof(path), "/sys/block/%s/loop/backing_file", loop);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, backing, sizeof(backing) - 1);
	if (n <= 0)
		return false;
	backing[n] = '\0';
	backing[strcspn(backing, "\n")] = '\0';
	return stat(backing, &other) == 0 && same_thing(&other, st);
}

static bool is_loop_over(const char *loop, const struct stat *st, char *ret_mount, size_t size)
{
	char path[PATH_MAX];
	unsigned int maj, min;
	FILE *f;

	if (!backs_loop(loop, st))
		return false;
	ret_mount[0] = '\0';
	(void)snprintf(path, sizeof(path), "/sys/block/%s/dev", loop);
	f = fopen(path, "re");
	if (f) {
		if (fscanf(f, "%u:%u", &maj, &min) == 2)
			(void)find_mount(makedev(maj, min), ret_mount, size);
		(void)fclose(f);
	}
	return true;
}

int coffer_refuse_attached(const char *name, const struct stat *st, struct coffer_err *e)
{
	DIR *dir = opendir("/sys/block");
	char mount[PATH_MAX];
	const struct dirent *d;
	int r = 0;

	if (!dir)
		return 0; /* no sysfs: a container; O_EXCL guards block devices all the same */
	while ((d = readdir(dir)) && r == 0) {
		if (strncmp(d->d_name, "loop", 4) != 0 ||
			!is_loop_over(d->d_name, st, mount, sizeof(mount)))
			continue;
		r = coffer_err_refuse(e, EBUSY,
			"%s is attached to /dev/%s%s%s; detach it first (losetup -d /dev/%s)", name,
			d->d_name, mount[0] ? ", mounted on " : "", mount, d->d_name);
	}
	(void)closedir(dir);
	return r;
}
