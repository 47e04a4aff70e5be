/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* recover_copy.c - recover a lost first header copy while the second one is usable
 *
 * Without a magic at byte 0 the second copy may be part of a file in an active filesystem. The
 * remains of the first one decide. */
#include "rescue/recover_copy.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "fs/signatures.h"
#include "luks2/copy.h"
#include "luks2/locks.h"

/* Read the header of the second copy; both copies of it are in memory. */
static int read_second_copy(
	struct coffer_disk *disk, struct coffer_header **ret, struct coffer_err *e)
{
	_cleanup_header_ struct coffer_header *h = NULL;
	struct coffer_copies f;
	int r;

	r = coffer_header_read(disk->dev, &f, &h, e);
	if (r < 0)
		return r;
	if (!h || f.newest != 1 || f.copy[0].usable ||
		strcmp(f.uuid, disk->facts.header.uuid) != 0 ||
		f.copy[1].seqid != disk->facts.header.copy[1].seqid)
		return coffer_err_needs_repair(e, ESTALE,
			"%s: the second header copy is not the one that was examined; nothing was "
			"written",
			disk->dev->name);
	*ret = TAKE_PTR(h);
	return 0;
}

/* Read what is in place of the first copy. The caller holds a lock. */
static int read_place(struct coffer_disk *disk, const struct coffer_header *h,
	struct coffer_lost_copy *ret, struct coffer_err *e)
{
	_cleanup_free_ uint8_t *now = coffer_dev_buffer(h->copy_size);
	struct coffer_lost_copy l = {0};
	struct coffer_content content = {0};
	int r;

	if (!now)
		return coffer_err_errno(e, ENOMEM, "read %s", disk->dev->name);
	r = coffer_dev_read(disk->dev, now, h->copy_size, 0, e);
	if (r == 0)
		r = coffer_signatures_read(disk->dev, 0, disk->dev->size, &content, e);
	if (r < 0)
		return r;
	l.empty = bytes_are_zero(now, h->copy_size);
	l.foreign = content.foreign[0] != 0;
	/* The salts in the metadata belong to no other volume. Those in the binary header differ
	 * between the copies, so it proves nothing. */
	for (uint64_t at = COFFER_LUKS2_BIN; at < h->copy_size; at += COFFER_SECTOR)
		l.same += !bytes_are_zero(now + at, COFFER_SECTOR) &&
			  memcmp(now + at, h->copy[0] + at, COFFER_SECTOR) == 0;
	*ret = l;
	return 0;
}

int coffer_lost_copy_read(
	struct coffer_disk *disk, struct coffer_lost_copy *ret, struct coffer_err *e)
{
	_cleanup_header_ struct coffer_header *h = NULL;
	_cleanup_lock_ struct coffer_lock *lock = NULL;
	int r = 0;

	if (!disk->unlocked)
		r = coffer_lock_metadata(disk->dev, false, &lock, e);
	if (r == 0)
		r = read_second_copy(disk, &h, e);
	return r < 0 ? r : read_place(disk, h, ret, e);
}

/* [0, C) holds remains of the first copy or zeros, as read under this lock. The second copy opens
 * the volume meanwhile, and is not written before the first one is durable. */
static int rewrite_first_copy(struct coffer_disk *disk, bool *ret_changed, struct coffer_err *e)
{
	_cleanup_header_ struct coffer_header *h = NULL;
	_cleanup_lock_ struct coffer_lock *lock = NULL;
	struct coffer_lost_copy l;
	int r;

	r = coffer_lock_header(disk->dev, &lock, e);
	if (r == 0)
		r = read_second_copy(disk, &h, e);
	if (r < 0)
		return r;
	coffer_dev_forget(disk->dev, 0, h->copy_size);
	r = read_place(disk, h, &l, e);
	if (r < 0)
		return r;
	if (!coffer_lost_copy_is_ours(&l))
		return coffer_err_refuse(e, ESTALE,
			"%s: another program changed the disk; nothing was written",
			disk->dev->name);
	*ret_changed = true;
	return coffer_header_rewrite(disk->dev, h, e);
}

int coffer_lost_copy_recover(struct coffer_disk *disk, bool *ret_changed, struct coffer_err *e)
{
	return coffer_err_wrap(
		e, rewrite_first_copy(disk, ret_changed, e), "write the first header copy");
}
