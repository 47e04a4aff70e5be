/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* scrub.c - let btrfs compare what lies at the start of a device with its checksums */
#include "fs/scrub.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/btrfs.h>
#include <sys/ioctl.h>

#include "base/err.h"
#include "fs/btrfs_id.h"

int coffer_scrub_btrfs(struct coffer_dev *d, uint64_t end, struct coffer_err *e)
{
	static const char *const no_options[] = {NULL};
	_cleanup_hidden_mount_ struct coffer_hidden_mount h = COFFER_HIDDEN_MOUNT_NONE;
	struct btrfs_ioctl_scrub_args args = {.end = end, .flags = BTRFS_SCRUB_READONLY};
	const struct btrfs_scrub_progress *p = &args.progress;
	struct coffer_btrfs_id id;
	uint64_t bad;
	int r;

	r = coffer_btrfs_read_id(d, &id, e);
	if (r == 0)
		r = coffer_hidden_mount_open(d, "btrfs", no_options, &h, e);
	if (r == 0)
		r = coffer_btrfs_check_mount(&h, &id, e);
	if (r < 0)
		return r;
	args.devid = id.device;
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
