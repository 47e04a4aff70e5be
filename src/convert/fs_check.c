/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fs_check.c - run a filesystem's own checker on the plain filesystem of a disk */
#include "convert/operations.h"

#include <errno.h>
#include <inttypes.h>

#include "base/bytes.h"
#include "base/err.h"
#include "block/open.h"
#include "convert/moved_segment.h"
#include "convert/place.h"
#include "fs/btrfs.h"
#include "fs/fsck.h"

#define MAX_SEGMENT (UINT64_C(256) << 20) /* the largest moved segment in use */

int coffer_fs_check(struct coffer_dev *d, const struct coffer_fs *fs,
	const struct coffer_stop *stop, struct coffer_err *e)
{
	int r;

	if (d->fd < 0)
		return -ENODATA;
	r = coffer_fsck(coffer_fs_name(fs->kind), d->name, stop, e);
	if (r == 0 && fs->kind == COFFER_FS_BTRFS)
		r = coffer_btrfs_scrub(d, MAX_SEGMENT, e);
	return r;
}

/* The filesystem at byte 0, if one is there and nothing of a conversion. */
static int examine(struct coffer_session *s, struct coffer_moved_segment *ret, bool *ret_plain,
	struct coffer_err *e)
{
	int r;

	coffer_dev_set_direct(s->dev, false);
	r = coffer_disk_examine(s->dev, &s->disk, e);
	if (r < 0)
		return r;
	r = coffer_moved_segment_read(&s->disk, ret, e);
	*ret_plain = r == 0 && s->disk.operation == COFFER_OP_START && ret->has_plain;
	return r;
}

/* Erase the copy's superblock, so that no run takes it for a copy. The moved segment is in its
 * place, durable and sound. A checker may take hours, and an image can be attached, used and grown
 * meanwhile: so only if it has no holders and the filesystem still ends before the gap. */
static int forget_copy(
	struct coffer_session *s, const struct coffer_geometry *g, struct coffer_err *e)
{
	struct coffer_moved_segment v = {0};
	bool plain;
	int r;

	r = examine(s, &v, &plain, e);
	if (r < 0 || !plain || v.plain.end > coffer_gap_offset(g) ||
		(!s->dev->is_block && coffer_dev_check_exclusive(s->dev, NULL) < 0))
		return r;
	r = coffer_dev_zero(s->dev,
		coffer_segment_copy_offset(g) + round_down_u64(v.plain.super, COFFER_BLOCK),
		COFFER_BLOCK, e);
	return r < 0 ? r : coffer_dev_flush(s->dev, e);
}

int coffer_fs_undo_stock(
	struct coffer_session *s, const struct coffer_geometry *layout, struct coffer_err *e)
{
	const struct coffer_geometry g = *layout; /* @layout may be of the disk as it is now */
	const bool kept = s->disk.facts.transition_error != 0;
	const struct coffer_stop stop = coffer_session_stop(s);
	struct coffer_moved_segment v = {0};
	struct coffer_err why = {0};
	bool plain;
	int r;

	r = coffer_place_undo_stock(&s->disk, &g, e);
	if (r < 0)
		return r;
	r = examine(s, &v, &plain, e);
	if (r < 0 || !plain)
		return r;
	r = coffer_fs_check(s->dev, &v.plain, &stop, &why);
	if (r == 0)
		return forget_copy(s, &g, e);
	if (r != -EBADMSG)
		return 0;
	r = coffer_err_needs_repair(e, EUCLEAN,
		"%s: the moved-segment copy was not complete: the filesystem's checker finds "
		"damage: %s",
		s->dev->name, why.msg);
	if (kept)
		coffer_err_append(e, "; what was overwritten is kept from byte %" PRIu64 " on",
			coffer_gap_offset(&g));
	return coffer_err_advise(e, r, "copy the disk before a checker repairs it");
}
