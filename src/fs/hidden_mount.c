/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* hidden_mount.c - mount a filesystem read-only, in no namespace */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/btrfs.h>
#include <linux/loop.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/err.h"
#include "block/devices.h"
#include "fs/hidden_mount.h"
#include "io/clock.h"
#include "io/sysfs.h"

enum {
	TRIES = 50,
	END_TRIES = 300
};

#define PAUSE 0.01 /* seconds */

static int cannot(struct coffer_err *e, int code, const char *what)
{
	return coffer_err_set(
		e, EPERM, "a hidden mount is not possible: %s: %s", what, strerror(code));
}

/* -EBUSY: another process has taken the free loop device first, and may be releasing or removing it
 * again. */
static int attach(int control, int backing, struct coffer_hidden_mount *h, struct coffer_err *e)
{
	struct loop_config config = {
		.fd = (__u32)backing,
		/* The smallest, which suits each sector size of the device. */
		.block_size = 512,
		.info = {.lo_flags = LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR},
	};
	const int number = ioctl(control, LOOP_CTL_GET_FREE);
	struct stat st;

	if (number < 0)
		return cannot(e, errno, "get a loop device");
	(void)snprintf(h->path, sizeof(h->path), "/dev/loop%d", number);
	h->loop = coffer_high_fd(open(h->path, O_RDONLY | O_CLOEXEC | O_NOCTTY));
	if (h->loop < 0 && (errno == ENXIO || errno == ENOENT || errno == ENODEV))
		return -EBUSY;
	if (h->loop < 0 || fstat(h->loop, &st) < 0)
		return cannot(e, errno, "open a loop device");
	if (!S_ISBLK(st.st_mode))
		return cannot(e, ENOTBLK, "open a loop device");
	h->dev = st.st_rdev;
	/* Without this lock udev would announce the device to desktops and make btrfs remember it;
	 * a nuisance, but no harm. */
	(void)flock(h->loop, LOCK_EX | LOCK_NB);
	if (ioctl(h->loop, LOOP_CONFIGURE, &config) == 0)
		return 0;
	return errno == EBUSY ? -EBUSY : cannot(e, errno, "set up a loop device");
}

void coffer_mount_last_error(int context, char *ret, size_t size)
{
	char line[256];
	ssize_t n;

	ret[0] = '\0';
	while ((n = read(context, line, sizeof(line) - 1)) > 0) {
		line[n] = '\0';
		line[strcspn(line, "\n")] = '\0';
		if (line[0] == 'e' && line[1] == ' ')
			(void)snprintf(ret, size, ": %s", line + 2);
	}
}

static int configure(int context, const char *source, const char *const *options)
{
	if (fsconfig(context, FSCONFIG_SET_STRING, "source", source, 0) < 0 ||
		fsconfig(context, FSCONFIG_SET_FLAG, "ro", NULL, 0) < 0)
		return -1;
	for (; *options; options++) {
		char name[32];
		const char *value = strchr(*options, '=');
		const size_t n = strcspn(*options, "=");

		(void)snprintf(name, sizeof(name), "%.*s", (int)n, *options);
		if (fsconfig(context, value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG, name,
			    value ? value + 1 : NULL, 0) < 0)
			return -1;
	}
	return fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
}

static int mount_hidden(struct coffer_hidden_mount *h, const char *type, const char *const *options,
	struct coffer_err *e)
{
	_cleanup_close_ int context = coffer_high_fd(fsopen(type, FSOPEN_CLOEXEC));
	_cleanup_close_ int mount = -1;
	char error[300];

	h->is_btrfs = strcmp(type, "btrfs") == 0;
	if (context < 0)
		return cannot(e, errno, "mount a filesystem");
	if (configure(context, h->path, options) < 0) {
		const int code = errno;

		coffer_mount_last_error(context, error, sizeof(error));
		/* Another process that was given the same free loop device has it open for writing
		 * for a moment, and some kernels do not mount such a device. */
		if (code == EBUSY)
			return -EBUSY;
		if (code == EPERM || code == EACCES)
			return cannot(e, code, "mount a filesystem");
		return coffer_err_errno(e, code, "the kernel does not mount it read-only%s", error);
	}
	mount = coffer_high_fd(fsmount(context, FSMOUNT_CLOEXEC,
		MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC));
	if (mount < 0)
		return cannot(e, errno, "mount a filesystem");
	h->root = coffer_high_fd(openat(mount, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	if (h->root < 0)
		return coffer_err_errno(e, errno, "open its root directory");
	return 0;
}

int coffer_hidden_mount_open(const struct coffer_dev *d, const char *type,
	const char *const *options, struct coffer_hidden_mount *ret, struct coffer_err *e)
{
	_cleanup_hidden_mount_ struct coffer_hidden_mount h = COFFER_HIDDEN_MOUNT_NONE;
	_cleanup_close_ int control = -1, backing = -1;
	char own[32];
	int r = -EBUSY;

	if (d->fd < 0)
		return coffer_err_set(e, EPERM, "a hidden mount is not possible");
	(void)snprintf(own, sizeof(own), "/proc/self/fd/%d", d->fd);
	backing = coffer_high_fd(open(own, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
	if (backing < 0)
		return cannot(e, errno, "open it again");
	control = coffer_high_fd(open("/dev/loop-control", O_RDWR | O_CLOEXEC));
	if (control < 0)
		return cannot(e, errno, "open /dev/loop-control");
	/* Nothing is written, so another try is safe. */
	for (int i = 0; i < TRIES && r == -EBUSY; i++) {
		if (i > 0)
			coffer_sleep(PAUSE);
		coffer_hidden_mount_close(&h);
		r = attach(control, backing, &h, e);
		if (r == 0)
			r = mount_hidden(&h, type, options, e);
	}
	if (r == -EBUSY)
		return coffer_err_set(
			e, EBUSY, "the kernel does not mount it: the loop device is busy");
	if (r < 0)
		return r;
	*ret = h;
	h = COFFER_HIDDEN_MOUNT_NONE;
	return 0;
}

/* btrfs remembers a device by its name, even after a mount that failed, and the name is reused. */
static void forget(const struct coffer_hidden_mount *h)
{
	_cleanup_close_ int control = open("/dev/btrfs-control", O_RDWR | O_CLOEXEC);
	struct btrfs_ioctl_vol_args args = {0};

	if (control < 0)
		return;
	(void)snprintf(args.name, sizeof(args.name), "%s", h->path);
	(void)ioctl(control, BTRFS_IOC_FORGET_DEV, &args);
}

void coffer_hidden_mount_close(struct coffer_hidden_mount *h)
{
	const struct coffer_device_path file = coffer_device_path(h->dev, "/loop/backing_file");
	char backing[PATH_MAX] = "", now[PATH_MAX];

	if (h->root >= 0)
		(void)close(h->root); /* and with it the mount */
	if (h->loop >= 0) {
		if (h->is_btrfs)
			forget(h); /* while the name is still ours */
		(void)coffer_sysfs_read_line(AT_FDCWD, file.s, backing, sizeof(backing));
		(void)close(h->loop);
		/* A process that scans loop devices, such as udev, may have it open. Then the
		 * kernel releases the image a moment later; until then it would seem in use. */
		for (int i = 0; i < END_TRIES && backing[0] &&
				coffer_sysfs_read_line(AT_FDCWD, file.s, now, sizeof(now)) &&
				strcmp(now, backing) == 0;
			i++)
			coffer_sleep(PAUSE);
	}
	h->root = h->loop = -1;
	h->is_btrfs = false;
}
