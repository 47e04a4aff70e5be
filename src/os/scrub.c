/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "os/scrub.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/btrfs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "base/err.h"
#include "os/fsmap_parts.h"

/* The number that btrfs gives our loop device. Of two devices with the same filesystem the kernel
 * may have taken the other one. */
static int find_device(const struct coffer_hidden_mount *h, uint64_t *ret_id, struct coffer_err *e)
{
	struct btrfs_ioctl_fs_info_args fs = {0};

	if (ioctl(h->root, BTRFS_IOC_FS_INFO, &fs) < 0)
		return coffer_err_errno(e, errno, "ask the kernel what it has mounted");
	for (uint64_t id = 1; id <= fs.max_id && fs.num_devices == 1; id++) {
		struct btrfs_ioctl_dev_info_args dev = {.devid = id};
		struct stat st;

		if (ioctl(h->root, BTRFS_IOC_DEV_INFO, &dev) < 0)
			continue;
		dev.path[sizeof(dev.path) - 1] = '\0';
		if (stat((const char *)dev.path, &st) == 0 && S_ISBLK(st.st_mode) &&
			st.st_rdev == h->dev) {
			*ret_id = id;
			return 0;
		}
	}
	return coffer_err_set(
		e, EOPNOTSUPP, "the kernel knows a second device with the same filesystem");
}

int coffer_scrub_btrfs(struct coffer_dev *d, uint64_t end, struct coffer_err *e)
{
	static const char *const no_options[] = {NULL};
	_cleanup_hidden_mount_ struct coffer_hidden_mount h = COFFER_HIDDEN_MOUNT_NONE;
	struct btrfs_ioctl_scrub_args args = {.end = end, .flags = BTRFS_SCRUB_READONLY};
	const struct btrfs_scrub_progress *p = &args.progress;
	uint64_t id = 0, bad;
	int r;

	r = coffer_hidden_mount_open(d, "btrfs", no_options, &h, e);
	if (r == 0)
		r = find_device(&h, &id, e);
	if (r < 0)
		return r;
	args.devid = id;
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
