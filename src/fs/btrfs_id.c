/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* btrfs_id.c - which btrfs lies on a device, and whether the kernel has mounted that one */
#include "fs/btrfs_id.h"

#include <errno.h>
#include <linux/btrfs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/err.h"

enum {
	SUPER_AT = 64 << 10,
	SUPER_SIZE = 4096
};

struct coffer_btrfs_id coffer_btrfs_id_of(const uint8_t *s)
{
	struct coffer_btrfs_id id = {.total = get_le64(s + 112), .device = get_le64(s + 201)};

	memcpy(id.fsid, s + 32, sizeof(id.fsid));
	return id;
}

int coffer_btrfs_read_id(struct coffer_dev *d, struct coffer_btrfs_id *ret, struct coffer_err *e)
{
	_cleanup_free_ uint8_t *s = coffer_dev_buffer(SUPER_SIZE);
	int r;

	if (!s)
		return coffer_err_errno(e, ENOMEM, "read its superblock");
	r = coffer_dev_read(d, s, SUPER_SIZE, SUPER_AT, e);
	if (r == 0)
		*ret = coffer_btrfs_id_of(s);
	return r;
}

int coffer_btrfs_check_mount(
	const struct coffer_hidden_mount *h, const struct coffer_btrfs_id *id, struct coffer_err *e)
{
	struct btrfs_ioctl_fs_info_args fs = {0};
	struct btrfs_ioctl_dev_info_args dev = {.devid = id->device};
	struct stat st;

	if (ioctl(h->root, BTRFS_IOC_FS_INFO, &fs) < 0 ||
		ioctl(h->root, BTRFS_IOC_DEV_INFO, &dev) < 0)
		return coffer_err_errno(e, errno, "ask the kernel what it has mounted");
	dev.path[sizeof(dev.path) - 1] = '\0';
	if (fs.num_devices != 1 || memcmp(fs.fsid, id->fsid, sizeof(id->fsid)) != 0 ||
		dev.total_bytes != id->total || stat((const char *)dev.path, &st) < 0 ||
		!S_ISBLK(st.st_mode) || st.st_rdev != h->dev)
		return coffer_err_set(
			e, EOPNOTSUPP, "the kernel knows a second device with the same filesystem");
	return 0;
}
