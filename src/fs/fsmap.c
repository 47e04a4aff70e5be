/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fsmap.c - read the free space of a filesystem */
#include "fs/fsmap.h"

#include <errno.h>
#include <inttypes.h>

#include "base/err.h"
#include "fs/fsmap_kinds.h"

static int (*const readers[COFFER_N_FS_KINDS])(struct coffer_dev *d, const struct coffer_fs *fs,
	bool mount, struct coffer_fsmap *ret, struct coffer_err *e) = {
	[COFFER_FS_EXT] = coffer_fsmap_ext,
	[COFFER_FS_XFS] = coffer_fsmap_xfs,
	[COFFER_FS_BTRFS] = coffer_fsmap_btrfs,
};

int coffer_fsmap_read(struct coffer_dev *d, const struct coffer_fs *fs, bool mount,
	struct coffer_fsmap *ret, struct coffer_err *e)
{
	int r;

	*ret = (struct coffer_fsmap){0};
	if (!readers[fs->kind])
		return coffer_err_set(e, EOPNOTSUPP, "it is not a filesystem that coffer knows");
	if (fs->other_part)
		return coffer_err_set(e, EOPNOTSUPP, "%s", fs->other_part);
	if (fs->spare)
		return coffer_err_set(e, EUCLEAN, "its superblock is a backup copy");
	if (fs->end > d->size)
		return coffer_err_set(e, EUCLEAN,
			"it ends at byte %" PRIu64 ", after the end of the device", fs->end);
	r = coffer_ranges_add(&ret->fixed, 0, COFFER_SUPERBLOCK_BYTES, e);
	if (r == 0)
		r = readers[fs->kind](d, fs, mount, ret, e);
	if (r < 0)
		coffer_fsmap_reset(ret);
	return r;
}
