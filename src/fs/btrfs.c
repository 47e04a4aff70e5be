/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* btrfs.c - which btrfs is on a device, and a scrub of the start of it */
#include "fs/btrfs.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/btrfs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/err.h"

int coffer_btrfs_read_super(struct coffer_dev *d, uint8_t **ret, struct coffer_err *e)
{
	_cleanup_free_ uint8_t *s = coffer_dev_buffer(COFFER_BTRFS_SUPER_SIZE);
	int r;

	if (!s)
		return coffer_err_errno(e, ENOMEM, "read its superblock");
	r = coffer_dev_read(d, s, COFFER_BTRFS_SUPER_SIZE, COFFER_BTRFS_SUPER_AT, e);
	if (r == 0)
		*ret = TAKE_PTR(s);
	return r;
}

int coffer_btrfs_check_mount(
	const struct coffer_hidden_mount *h, const uint8_t *s, struct coffer_err *e)
{
	struct btrfs_ioctl_fs_info_args fs = {0};
	struct btrfs_ioctl_dev_info_args dev = {.devid = get_le64(s + 201)};
	struct stat st;

	if (ioctl(h->root, BTRFS_IOC_FS_INFO, &fs) < 0 ||
		ioctl(h->root, BTRFS_IOC_DEV_INFO, &dev) < 0)
		return coffer_err_errno(e, errno, "ask the kernel which btrfs it has mounted");
	dev.path[sizeof(dev.path) - 1] = '\0';
	if (fs.num_devices != 1 || memcmp(fs.fsid, s + 32, sizeof(fs.fsid)) != 0 ||
		dev.total_bytes != get_le64(s + 112) || stat((const char *)dev.path, &st) < 0 ||
		!S_ISBLK(st.st_mode) || st.st_rdev != h->dev)
		return coffer_err_set(
			e, EOPNOTSUPP, "the kernel knows a second device with the same filesystem");
	return 0;
}

int coffer_btrfs_scrub(struct coffer_dev *d, uint64_t end, struct coffer_err *e)
{
	static const char *const no_options[] = {NULL};
	_cleanup_hidden_mount_ struct coffer_hidden_mount h = COFFER_HIDDEN_MOUNT_NONE;
	struct btrfs_ioctl_scrub_args args = {.end = end, .flags = BTRFS_SCRUB_READONLY};
	const struct btrfs_scrub_progress *p = &args.progress;
	_cleanup_free_ uint8_t *super = NULL;
	uint64_t bad;
	int r;

	r = coffer_btrfs_read_super(d, &super, e);
	if (r == 0)
		r = coffer_hidden_mount_open(d, "btrfs", no_options, &h, e);
	if (r == 0)
		r = coffer_btrfs_check_mount(&h, super, e);
	if (r < 0)
		return r;
	args.devid = get_le64(super + 201);
	if (ioctl(h.root, BTRFS_IOC_SCRUB, &args) < 0)
		return coffer_err_errno(e, errno, "scrub the btrfs");
	bad = p->csum_errors + p->verify_errors + p->read_errors + p->super_errors;
	if (bad > 0)
		return coffer_err_set(e, EBADMSG,
			"%" PRIu64 " blocks before byte %" PRIu64 " do not match their checksums",
			bad, end);
	return 0;
}
