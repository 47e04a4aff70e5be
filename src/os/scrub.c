/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "os/scrub.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/btrfs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "base/err.h"
#include "os/fsmap_parts.h"

enum {
	SUPER_AT = 64 << 10,
	AT_DEVICE = 201, /* the number of this device, in the superblock */
};

/* Is the device that the kernel has mounted by the number @id ours? Of two devices with the same
 * filesystem it may have taken the other one. */
static int check_device(const struct coffer_hidden_mount *h, uint64_t id, struct coffer_err *e)
{
	struct btrfs_ioctl_fs_info_args fs = {0};
	struct btrfs_ioctl_dev_info_args dev = {.devid = id};
	struct stat st;

	if (ioctl(h->root, BTRFS_IOC_FS_INFO, &fs) < 0 ||
		ioctl(h->root, BTRFS_IOC_DEV_INFO, &dev) < 0)
		return coffer_err_errno(e, errno, "ask the kernel what it has mounted");
	dev.path[sizeof(dev.path) - 1] = '\0';
	if (fs.num_devices != 1 || stat((const char *)dev.path, &st) < 0 || !S_ISBLK(st.st_mode) ||
		st.st_rdev != h->dev)
		return coffer_err_set(
			e, EOPNOTSUPP, "the kernel knows a second device with the same filesystem");
	return 0;
}

int coffer_scrub_btrfs(struct coffer_dev *d, uint64_t end, struct coffer_err *e)
{
	static const char *const no_options[] = {NULL};
	_cleanup_hidden_mount_ struct coffer_hidden_mount h = COFFER_HIDDEN_MOUNT_NONE;
	struct btrfs_ioctl_scrub_args args = {.end = end, .flags = BTRFS_SCRUB_READONLY};
	const struct btrfs_scrub_progress *p = &args.progress;
	uint8_t id[8] = {0};
	uint64_t bad;
	int r;

	coffer_dev_set_direct(d, false);
	r = coffer_dev_read(d, id, sizeof(id), SUPER_AT + AT_DEVICE, e);
	args.devid = get_le64(id);
	if (r == 0)
		r = coffer_hidden_mount_open(d, "btrfs", no_options, &h, e);
	if (r == 0)
		r = check_device(&h, args.devid, e);
	if (r < 0)
		return r;
	if (ioctl(h.root, BTRFS_IOC_SCRUB, &args) < 0)
		return coffer_err_errno(e, errno, "let btrfs compare its checksums");
	bad = p->csum_errors + p->verify_errors + p->read_errors + p->super_errors;
	if (bad > 0)
		return coffer_err_set(e, EBADMSG,
			"%" PRIu64 " of its blocks below byte %" PRIu64
			" are not those that its checksums were made of",
			bad, end);
	return 0;
}
