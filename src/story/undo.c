/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* undo.c - a placement backward: the head comes back from its copy */
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/crypto.h"
#include "base/err.h"
#include "os/locks.h"
#include "story/place.h"
#include "story/placeio.h"

enum {
	PIECE = 1 << 20,
};

/* The record of an abort. While a header is whole somebody may have opened the volume and written
 * to its head, which lives in the head copy: then what is there now is the truth. */
static int make_undo_record(
	struct coffer_disk *disk, struct coffer_record *rec, struct coffer_err *e)
{
	const struct coffer_facts *f = &disk->facts;
	const struct coffer_record *older = f->has_record[COFFER_RESTORE]
						    ? &f->record[COFFER_RESTORE]
					    : f->has_record[COFFER_PLACE] ? &f->record[COFFER_PLACE]
									  : NULL;
	int r;

	*rec = (struct coffer_record){.kind = COFFER_RESTORE};
	/* Block 0 may hold a transition block of what was begun before; under the same id a torn
	 * mixture of the two is no riddle. */
	if (older)
		memcpy(rec->id, older->id, sizeof(rec->id));
	else if (coffer_random(rec->id, sizeof(rec->id)) < 0)
		return coffer_err_set(e, EIO, "libcrypto has no random bytes");
	if (disk->header) {
		rec->geometry = f->conversion.geometry;
		rec->seqid = disk->header->seqid;
		rec->copy_size = disk->header->copy_size;
		memcpy(rec->uuid, disk->header->uuid, sizeof(rec->uuid));
	} else if (!older) {
		return coffer_err_set(e, EINVAL, "there is nothing to put back");
	} else {
		rec->geometry = older->geometry;
		rec->seqid = older->seqid;
		rec->copy_size = older->copy_size;
		memcpy(rec->uuid, older->uuid, sizeof(rec->uuid));
	}
	r = coffer_find_veils(disk->dev, coffer_head_copy(&rec->geometry), rec, e);
	if (r < 0)
		return r;
	coffer_use_direct(disk->dev, &rec->geometry);
	r = coffer_dev_hash(disk->dev, coffer_head_copy(&rec->geometry), rec->geometry.shift,
		rec->head_hash, e);
	return r < 0 ? r : coffer_write_record(disk->dev, rec, e);
}

static bool is_veil(const struct coffer_record *rec, uint64_t block)
{
	for (uint32_t i = 0; i < rec->n_veils; i++)
		if (rec->veils[i] == block)
			return true;
	return false;
}

/* The head from its copy, without block 0 and the veiled blocks: no magic comes back yet. */
static int restore_body(struct coffer_dev *d, const struct coffer_record *rec, struct coffer_err *e)
{
	_cleanup_free_ uint8_t *buf = coffer_dev_buffer(PIECE);
	const uint64_t shift = rec->geometry.shift, copy = coffer_head_copy(&rec->geometry);
	uint64_t at = COFFER_BLOCK;
	int r = 0;

	if (!buf)
		return coffer_err_errno(e, ENOMEM, "put the head back");
	while (at < shift && r == 0) {
		uint64_t end = at;

		if (is_veil(rec, at)) {
			at += COFFER_BLOCK;
			continue;
		}
		while (end < shift && end - at < PIECE && !is_veil(rec, end))
			end += COFFER_BLOCK;
		r = coffer_dev_read(d, buf, end - at, copy + at, e);
		if (r == 0)
			r = coffer_dev_write(d, buf, end - at, at, e);
		at = end;
	}
	return r < 0 ? r : coffer_dev_flush(d, e);
}

/* Block 0 gets the transition block, both header copies and all veiled blocks lose their magic. */
static int veil_for_undo(
	struct coffer_dev *d, const struct coffer_record *rec, struct coffer_err *e)
{
	int r;

	/* The head copy is durable, its record too: [0,S) is worth nothing from here on. While the
	 * second copy is still whole, stock would bring the first one back: harmless. */
	r = coffer_write_transition(d, rec, e);
	if (r == 0)
		r = coffer_dev_zero(d, rec->copy_size, COFFER_BLOCK, e);
	for (uint32_t i = 0; i < rec->n_veils && r == 0; i++)
		r = coffer_dev_zero(d, rec->veils[i], COFFER_BLOCK, e);
	return r < 0 ? r : coffer_dev_flush(d, e);
}

/* Zero again what of the reserve was used. Only ever called with the filesystem back in its old
 * place by this very run, alone on the device since: so nothing has grown into the reserve. */
static int erase_reserve(
	struct coffer_dev *d, const struct coffer_record *rec, struct coffer_err *e)
{
	int r;

	r = coffer_dev_zero(d, coffer_gap(&rec->geometry), 2 * rec->geometry.shift, e);
	return r < 0 ? r : coffer_dev_flush(d, e);
}

/* Block 0 says that the body is back, so that no later run writes it again: a filesystem which does
 * not need block 0 (btrfs) lives as soon as its own superblock is back. */
static int mark_body_restored(
	struct coffer_dev *d, const struct coffer_record *rec, struct coffer_err *e)
{
	struct coffer_record mark = *rec;

	mark.kind = COFFER_RESTORED;
	return coffer_write_transition(d, &mark, e);
}

/* Is each sector of a veiled block still zero, or the head's already (a torn restore)? Anything
 * else was written by somebody who has used the filesystem since its superblock came back. */
static bool still_ours(const uint8_t *now, const uint8_t *head)
{
	for (size_t at = 0; at < COFFER_BLOCK; at += COFFER_SECTOR)
		if (!bytes_are_zero(now + at, COFFER_SECTOR) &&
			memcmp(now + at, head + at, COFFER_SECTOR) != 0)
			return false;
	return true;
}

static int unveil_block(
	struct coffer_dev *d, const struct coffer_record *rec, uint64_t block, struct coffer_err *e)
{
	_cleanup_free_ uint8_t *now = coffer_dev_buffer(COFFER_BLOCK);
	_cleanup_free_ uint8_t *head = coffer_dev_buffer(COFFER_BLOCK);
	int r;

	if (!now || !head)
		return coffer_err_errno(e, ENOMEM, "put the head back");
	r = coffer_dev_read(d, now, COFFER_BLOCK, block, e);
	if (r == 0)
		r = coffer_dev_read(
			d, head, COFFER_BLOCK, coffer_head_copy(&rec->geometry) + block, e);
	if (r < 0 || !still_ours(now, head))
		return r;
	return coffer_dev_write(d, head, COFFER_BLOCK, block, e);
}

/* The sectors of block 0 that are still coffer's mark become the head's; what is back already may
 * have been used since, by a filesystem that does not need the sectors that are not. */
static int restore_block_0(
	struct coffer_dev *d, const struct coffer_record *rec, struct coffer_err *e)
{
	struct coffer_record mark = *rec;
	_cleanup_free_ uint8_t *buf = coffer_dev_buffer(4 * COFFER_BLOCK);
	uint8_t *now = buf, *head, *begun, *restored;
	int r;

	if (!buf)
		return coffer_err_errno(e, ENOMEM, "put block 0 back");
	head = buf + COFFER_BLOCK;
	begun = buf + 2 * COFFER_BLOCK;
	restored = buf + 3 * COFFER_BLOCK;
	mark.kind = COFFER_RESTORED;
	if (coffer_transition_encode(rec, begun) < 0 ||
		coffer_transition_encode(&mark, restored) < 0)
		return coffer_err_set(e, EIO, "libcrypto failed to hash");
	r = coffer_dev_read(d, now, COFFER_BLOCK, 0, e);
	if (r == 0)
		r = coffer_dev_read(d, head, COFFER_BLOCK, coffer_head_copy(&rec->geometry), e);
	if (r < 0)
		return r;
	for (size_t at = 0; at < COFFER_BLOCK; at += COFFER_SECTOR)
		if (memcmp(now + at, begun + at, COFFER_SECTOR) == 0 ||
			memcmp(now + at, restored + at, COFFER_SECTOR) == 0)
			memcpy(now + at, head + at, COFFER_SECTOR);
	r = coffer_dev_write(d, now, COFFER_BLOCK, 0, e);
	return r < 0 ? r : coffer_dev_flush(d, e);
}

/* The last of an undo: the magics come back, those in block 0 at the very end. */
static int unveil(struct coffer_dev *d, const struct coffer_record *rec, struct coffer_err *e)
{
	int r = 0;

	for (uint32_t i = 0; i < rec->n_veils && r == 0; i++)
		r = unveil_block(d, rec, rec->veils[i], e);
	if (r == 0)
		r = coffer_dev_flush(d, e);
	return r < 0 ? r : restore_block_0(d, rec, e);
}

static int undo_locked(struct coffer_disk *disk, struct coffer_err *e)
{
	const struct coffer_facts *f = &disk->facts;
	struct coffer_dev *d = disk->dev;
	struct coffer_record rec = f->record[COFFER_RESTORE];
	int r = 0;

	if (!disk->header && f->transition.kind == COFFER_RESTORED) {
		/* Cut between the mark and block 0. The filesystem may have been used and even
		 * have grown since, so of the reserve only the record is erased. */
		r = unveil(d, &rec, e);
		if (r == 0)
			r = coffer_dev_zero(
				d, coffer_record_offset(&rec.geometry, rec.kind), COFFER_BLOCK, e);
		return r < 0 ? r : coffer_dev_flush(d, e);
	}
	if (disk->header || !f->has_record[COFFER_RESTORE])
		r = make_undo_record(disk, &rec, e);
	if (r == 0)
		r = veil_for_undo(d, &rec, e);
	if (r == 0)
		r = restore_body(d, &rec, e);
	if (r == 0)
		r = mark_body_restored(d, &rec, e);
	if (r == 0)
		r = unveil(d, &rec, e);
	return r < 0 ? r : erase_reserve(d, &rec, e);
}

int coffer_place_undo(struct coffer_disk *disk, struct coffer_err *e)
{
	_cleanup_lock_ struct coffer_lock *lock = NULL;
	int r;

	r = coffer_lock_metadata(disk->dev, true, &lock, e);
	if (r == 0)
		r = undo_locked(disk, e);
	return coffer_err_wrap(e, r, "put the filesystem's head back");
}
