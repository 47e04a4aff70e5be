/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* recover_copy.c - a first header copy that is gone, while the second one is whole */
#include "rescue/recover_copy.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "fs/signatures.h"
#include "luks2/copy.h"
#include "luks2/locks.h"

/* The header that the second copy tells of; both copies of it, in memory. */
static int read_header(struct coffer_disk *disk, struct coffer_header **ret, struct coffer_err *e)
{
	_cleanup_header_ struct coffer_header *h = NULL;
	struct coffer_copies f;
	int r;

	r = coffer_header_read(disk->dev, &f, &h, e);
	if (r < 0)
		return r;
	if (!h || f.newest != 1 || f.copy[0].whole ||
		strcmp(f.uuid, disk->facts.header.uuid) != 0 ||
		f.copy[1].seqid != disk->facts.header.copy[1].seqid)
		return coffer_err_needs_repair(e, ESTALE,
			"the second header copy of %s is not the one that was examined; nothing "
			"was written",
			disk->dev->name);
	*ret = TAKE_PTR(h);
	return 0;
}

/* Sectors of the metadata that are where the first copy had them: nobody else has these salts. Its
 * binary block has a salt of its own, and so proves nothing. */
static void compare(const struct coffer_header *h, const uint8_t *now, struct coffer_lost_copy *l)
{
	l->empty = bytes_are_zero(now, h->copy_size);
	for (uint64_t at = COFFER_LUKS2_BIN; at < h->copy_size; at += COFFER_SECTOR)
		l->same += !bytes_are_zero(now + at, COFFER_SECTOR) &&
			   memcmp(now + at, h->copy[0] + at, COFFER_SECTOR) == 0;
}

/* What lies in the place of the first copy, under a lock of the caller's. */
static int look_locked(struct coffer_disk *disk, const struct coffer_header *h,
	struct coffer_lost_copy *ret, struct coffer_err *e)
{
	_cleanup_free_ uint8_t *now = coffer_dev_buffer(h->copy_size);
	struct coffer_lost_copy l = {.checked = true};
	struct coffer_content content = {0};
	int r;

	if (!now)
		return coffer_err_errno(e, ENOMEM, "look at %s", disk->dev->name);
	r = coffer_dev_read(disk->dev, now, h->copy_size, 0, e);
	if (r == 0)
		r = coffer_signatures_read(disk->dev, 0, disk->dev->size, &content, e);
	if (r < 0)
		return r;
	compare(h, now, &l);
	l.foreign = content.foreign[0] != 0;
	*ret = l;
	return 0;
}

int coffer_recover_copy_read(
	struct coffer_disk *disk, struct coffer_lost_copy *ret, struct coffer_err *e)
{
	_cleanup_header_ struct coffer_header *h = NULL;
	_cleanup_lock_ struct coffer_lock *lock = NULL;
	int r = 0;

	if (!disk->unlocked)
		r = coffer_lock_metadata(disk->dev, false, &lock, e);
	if (r == 0)
		r = read_header(disk, &h, e);
	return r < 0 ? r : look_locked(disk, h, ret, e);
}

/* Somebody may have put something there while the lock was waited for. */
static int look_again(struct coffer_disk *disk, const struct coffer_header *h, struct coffer_err *e)
{
	struct coffer_lost_copy l;
	int r;

	coffer_dev_forget(disk->dev, 0, h->copy_size);
	r = look_locked(disk, h, &l, e);
	if (r < 0 || coffer_lost_copy_is_ours(&l))
		return r;
	return coffer_err_refuse(e, ESTALE,
		"%s was changed by another program in between; nothing was written",
		disk->dev->name);
}

int coffer_recover_first_copy(struct coffer_disk *disk, bool *ret_changed, struct coffer_err *e)
{
	_cleanup_header_ struct coffer_header *h = NULL;
	_cleanup_lock_ struct coffer_lock *lock = NULL;
	int r;

	/* [0, C) is the first copy's remains or zeros, seen under this lock, and the second copy,
	 * which opens the volume meanwhile, is not touched before the first one is durable. */
	r = coffer_lock_header(disk->dev, &lock, e);
	if (r == 0)
		r = read_header(disk, &h, e);
	if (r == 0)
		r = look_again(disk, h, e);
	if (r == 0) {
		*ret_changed = true;
		r = coffer_header_rewrite(disk->dev, h, e);
	}
	return coffer_err_wrap(e, r, "write the first header copy");
}
