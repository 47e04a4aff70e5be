/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* place_undo.c - undo a placement: the moved segment comes back from its copy */
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/crypto.h"
#include "base/err.h"
#include "convert/place.h"
#include "io/read_back.h"
#include "luks2/copy.h"
#include "luks2/locks.h"

enum {
	PIECE = 1 << 20
};

/* The record of an undo, written durably: from here on every run knows that it is under way. While
 * a header is usable the volume may have been opened and written to, and its first S bytes lie in
 * the moved-segment copy: so what is there now is taken.
 * @stock: the layout, where cryptsetup moved the segment and no header copy counts, or only the
 * second. Then the record has that header's UUID, so that the transition block is known for its
 * own. */
static int make_record(struct coffer_disk *disk, const struct coffer_geometry *stock, bool keep,
	struct coffer_record *rec, struct coffer_err *e)
{
	const struct coffer_facts *f = &disk->facts;
	struct coffer_dev *d = disk->dev;
	const struct coffer_record *older =
		stock				     ? NULL
		: f->has_record[COFFER_RECORD_UNDO]  ? &f->record[COFFER_RECORD_UNDO]
		: f->has_record[COFFER_RECORD_PLACE] ? &f->record[COFFER_RECORD_PLACE]
						     : NULL;
	/* Block 0 may hold a transition block of what was begun before. Under the same id a torn
	 * mixture of the two can still be read. */
	const uint8_t *id = older ? older->id : f->transition_error == 0 ? f->transition.id : NULL;
	int r;

	*rec = (struct coffer_record){.kind = COFFER_RECORD_UNDO,
		.copy_size = COFFER_LUKS2_MIN_COPY,
		.uuid = "00000000-0000-0000-0000-000000000000"};
	if (f->header.newest >= 0) {
		rec->geometry = f->conversion.geometry;
		rec->seqid = f->header.copy[f->header.newest].seqid;
		rec->copy_size = f->header.copy_size;
		memcpy(rec->uuid, f->header.uuid, sizeof(rec->uuid));
	} else if (older) {
		rec->geometry = older->geometry;
		rec->seqid = older->seqid;
		rec->copy_size = older->copy_size;
		memcpy(rec->uuid, older->uuid, sizeof(rec->uuid));
	} else if (!stock) {
		return coffer_err_set(e, EINVAL, "there is nothing to undo");
	} else if (id) {
		memcpy(rec->uuid, f->transition.uuid, sizeof(rec->uuid));
	}
	if (stock)
		rec->geometry = *stock;
	/* With its record lost, it is unknown whether the reserve has something to keep, and what
	 * hash the moved-segment copy had: nothing of them is erased. */
	rec->keep = keep || (older ? older->keep : !stock && id);
	if (id)
		memcpy(rec->id, id, sizeof(rec->id));
	else if (coffer_random(rec->id, sizeof(rec->id)) < 0)
		return coffer_err_set(e, EIO, "libcrypto has no random bytes");
	r = coffer_find_masked(d, coffer_segment_copy_offset(&rec->geometry), rec, e);
	if (r < 0)
		return r;
	coffer_dev_set_direct(d, coffer_geometry_fits_direct(&rec->geometry));
	r = coffer_dev_hash(d, coffer_segment_copy_offset(&rec->geometry), rec->geometry.shift,
		rec->segment_hash, e);
	return r < 0 ? r : coffer_write_record(d, rec, e);
}

/* The moved segment from its copy, without block 0 and masked blocks: no magic comes back yet. */
static int undo_body(struct coffer_dev *d, const struct coffer_record *rec, struct coffer_err *e)
{
	_cleanup_free_ uint8_t *buf = coffer_dev_buffer(PIECE);
	const uint64_t shift = rec->geometry.shift,
		       copy = coffer_segment_copy_offset(&rec->geometry);
	uint64_t end;
	int r;

	if (!buf)
		return coffer_err_errno(e, ENOMEM, "write the moved segment");
	for (uint64_t at = COFFER_BLOCK; at < shift; at = end) {
		end = at + COFFER_BLOCK;
		if (coffer_record_masks(rec, at))
			continue;
		while (end < shift && end - at < PIECE && !coffer_record_masks(rec, end))
			end += COFFER_BLOCK;
		r = coffer_dev_read(d, buf, end - at, copy + at, e);
		if (r < 0)
			return r;
		r = coffer_dev_write(d, buf, end - at, at, e);
		if (r < 0)
			return r;
	}
	return coffer_dev_flush(d, e);
}

/* Block 0 gets the transition block; second header copy and masked blocks lose their magic. */
static int mask_for_undo(
	struct coffer_dev *d, const struct coffer_record *rec, struct coffer_err *e)
{
	int r;

	/* The moved-segment copy and its record are durable: [0,S) is not needed any more. While
	 * the second header copy is usable, stock would bring the first one back: harmless. */
	r = coffer_write_transition(d, rec, e);
	if (r < 0)
		return r;
	r = coffer_dev_zero(d, rec->copy_size, COFFER_BLOCK, e);
	for (uint32_t i = 0; i < rec->n_masked && r == 0; i++)
		r = coffer_dev_zero(d, rec->masked[i], COFFER_BLOCK, e);
	return r < 0 ? r : coffer_dev_flush(d, e);
}

/* Zero again what of the reserve was used, the record last: as long as a part of the copy is left,
 * it says that the moved segment is complete, and that the copy is not cryptsetup's. Only called by
 * the run that wrote the moved segment, with exclusive access: so the filesystem has not grown into
 * the reserve. */
static int erase_reserve(
	struct coffer_dev *d, const struct coffer_record *rec, struct coffer_err *e)
{
	const struct coffer_geometry *g = &rec->geometry;
	int r = 0;

	if (!rec->keep) {
		r = coffer_dev_zero(d, coffer_gap_offset(g), g->shift - COFFER_BLOCK, e);
		if (r == 0)
			r = coffer_dev_zero(d, coffer_segment_copy_offset(g), g->shift, e);
		if (r == 0)
			r = coffer_dev_flush(d, e);
	}
	if (r == 0)
		r = coffer_dev_zero(d, coffer_record_offset(g, rec->kind), COFFER_BLOCK, e);
	return r < 0 ? r : coffer_dev_flush(d, e);
}

/* Is each sector of a masked block still zero, or back already (a torn write)? Anything else was
 * written by a use of the filesystem after its superblock came back. */
static bool is_still_masked(const uint8_t *now, const uint8_t *segment)
{
	for (size_t at = 0; at < COFFER_BLOCK; at += COFFER_SECTOR)
		if (!bytes_are_zero(now + at, COFFER_SECTOR) &&
			memcmp(now + at, segment + at, COFFER_SECTOR) != 0)
			return false;
	return true;
}

/* Only sectors of block 0 that still hold a transition block are written: what is back already may
 * have been changed since, by a filesystem that does not need the other sectors. */
static int undo_block_0(struct coffer_dev *d, const struct coffer_record *rec, struct coffer_err *e)
{
	_cleanup_free_ uint8_t *now = coffer_dev_buffer(2 * COFFER_BLOCK);
	uint8_t begun[COFFER_BLOCK], undone[COFFER_BLOCK];
	struct coffer_record end = *rec;
	uint8_t *segment;
	int r;

	if (!now)
		return coffer_err_errno(e, ENOMEM, "undo block 0");
	segment = now + COFFER_BLOCK;
	end.kind = COFFER_RECORD_UNDONE;
	if (coffer_transition_encode(rec, begun) < 0 || coffer_transition_encode(&end, undone) < 0)
		return coffer_err_set(e, EIO, "libcrypto failed to hash");
	r = coffer_segment_read(d, &rec->geometry, 0, COFFER_BLOCK, now, segment, e);
	if (r < 0)
		return r;
	for (size_t at = 0; at < COFFER_BLOCK; at += COFFER_SECTOR)
		if (memcmp(now + at, begun + at, COFFER_SECTOR) == 0 ||
			memcmp(now + at, undone + at, COFFER_SECTOR) == 0)
			memcpy(now + at, segment + at, COFFER_SECTOR);
	r = coffer_dev_write(d, now, COFFER_BLOCK, 0, e);
	return r < 0 ? r : coffer_dev_flush(d, e);
}

/* The last of an undo: the magics come back, those in block 0 at the very end. */
static int unmask(struct coffer_dev *d, const struct coffer_record *rec, struct coffer_err *e)
{
	_cleanup_free_ uint8_t *now = coffer_dev_buffer(2 * COFFER_BLOCK);
	uint8_t *segment;
	int r;

	if (!now)
		return coffer_err_errno(e, ENOMEM, "write the masked blocks");
	segment = now + COFFER_BLOCK;
	for (uint32_t i = 0; i < rec->n_masked; i++) {
		r = coffer_segment_read(
			d, &rec->geometry, rec->masked[i], COFFER_BLOCK, now, segment, e);
		if (r == 0 && is_still_masked(now, segment))
			r = coffer_dev_write(d, segment, COFFER_BLOCK, rec->masked[i], e);
		if (r < 0)
			return r;
	}
	r = coffer_dev_flush(d, e);
	return r < 0 ? r : undo_block_0(d, rec, e);
}

/* In this order the disk is at every instant one that the record explains. */
static int put_back(struct coffer_dev *d, const struct coffer_record *rec, struct coffer_err *e)
{
	struct coffer_record undone = *rec;
	int r;

	r = mask_for_undo(d, rec, e);
	if (r < 0)
		return r;
	r = undo_body(d, rec, e);
	if (r < 0)
		return r;
	/* Block 0 says that the body is back, so that no later run writes it again: a filesystem
	 * that does not need block 0 (btrfs) can be used once its own superblock is back. */
	undone.kind = COFFER_RECORD_UNDONE;
	r = coffer_write_transition(d, &undone, e);
	if (r < 0)
		return r;
	r = unmask(d, rec, e);
	return r < 0 ? r : erase_reserve(d, rec, e);
}

/* The blocks of the records that were found: a filesystem that has grown into the reserve since has
 * not taken these, or there would be no record in them. */
static int erase_records(struct coffer_disk *disk, struct coffer_err *e)
{
	const struct coffer_record *rec = disk->facts.record;
	int r;

	for (int k = COFFER_RECORD_PLACE; k <= COFFER_RECORD_UNDO; k++) {
		if (!disk->facts.has_record[k])
			continue;
		r = coffer_dev_zero(disk->dev, coffer_record_offset(&rec[k].geometry, rec[k].kind),
			COFFER_BLOCK, e);
		if (r < 0)
			return r;
	}
	return coffer_dev_flush(disk->dev, e);
}

static int undo_locked(struct coffer_disk *disk, struct coffer_err *e)
{
	const struct coffer_facts *f = &disk->facts;
	struct coffer_record rec = f->record[COFFER_RECORD_UNDO];
	int r;

	if (!disk->header && f->transition.kind == COFFER_RECORD_UNDONE) {
		/* Interrupted between that transition block and block 0. The filesystem may have
		 * been used and even have grown since, so of the reserve only the records go. */
		r = unmask(disk->dev, &rec, e);
		return r < 0 ? r : erase_records(disk, e);
	}
	if (disk->header || !f->has_record[COFFER_RECORD_UNDO]) {
		r = make_record(disk, NULL, false, &rec, e);
		if (r < 0)
			return r;
	}
	return put_back(disk->dev, &rec, e);
}

/* Work under the locks that keep stock tools from a header. */
static int with_lock(struct coffer_disk *disk,
	int (*work)(struct coffer_disk *disk, struct coffer_err *e), const char *what,
	struct coffer_err *e)
{
	_cleanup_lock_ struct coffer_lock *lock = NULL;
	int r;

	r = coffer_lock_header(disk->dev, &lock, e);
	if (r == 0)
		r = work(disk, e);
	return coffer_err_wrap(e, r, "%s", what);
}

int coffer_place_undo(struct coffer_disk *disk, struct coffer_err *e)
{
	return with_lock(disk, undo_locked, "undo the placement", e);
}

/* cryptsetup's copy may have holes: it does not flush it before it overwrites the moved segment.
 * Where the copy has one and the bytes are still in their place, they would be lost. Block 0 is
 * left out, for the record needs as much space: if a sector of it is overwritten, it is a header's.
 * So are both header copies where they are usable. */
static int keep_torn_segment(
	const struct coffer_disk *disk, const struct coffer_geometry *g, struct coffer_err *e)
{
	const struct coffer_facts *f = &disk->facts;
	const bool usable = f->header.copy[0].usable && f->header.copy[1].usable;
	const uint64_t from = usable ? 2 * f->header.copy_size : COFFER_BLOCK;

	return coffer_dev_copy_verified(
		disk->dev, from, coffer_gap_offset(g) + from - COFFER_BLOCK, g->shift - from, e);
}

/* The copy at D-S was made durable when the disk was examined, and the moved-segment check has read
 * it. The record, and what is kept, go to the gap, which holds nothing that is needed: while all
 * data is in its place, it is free, or has a step's ciphertext of what is there too. */
static int undo_stock_locked(
	struct coffer_disk *disk, const struct coffer_geometry *g, struct coffer_err *e)
{
	/* coffer verifies its copy before it writes a transition block. */
	const bool keep = disk->facts.transition_error != 0;
	struct coffer_record rec;
	int r;

	if (keep) {
		r = keep_torn_segment(disk, g, e);
		if (r < 0)
			return r;
	}
	r = make_record(disk, disk->header ? NULL : g, keep, &rec, e);
	return r < 0 ? r : put_back(disk->dev, &rec, e);
}

int coffer_place_undo_stock(
	struct coffer_disk *disk, const struct coffer_geometry *g, struct coffer_err *e)
{
	_cleanup_lock_ struct coffer_lock *lock = NULL;
	int r;

	r = coffer_lock_header(disk->dev, &lock, e);
	if (r == 0)
		r = undo_stock_locked(disk, g, e);
	return coffer_err_wrap(e, r, "undo the placement");
}

/* Of [0,S) only block 0 and masked blocks were ever changed, and only sectors are written that are
 * a transition block or masked still. No block was masked before all of the transition block was
 * durable: zeros in one's place are the filesystem's own then. The record goes last: while it is
 * there, the same finding leads here again. */
static int undo_transition_locked(struct coffer_disk *disk, struct coffer_err *e)
{
	const struct coffer_record *rec = &disk->facts.record[COFFER_RECORD_PLACE];
	const bool complete = disk->facts.transition.sectors == 0xff;
	const int r = complete ? unmask(disk->dev, rec, e) : undo_block_0(disk->dev, rec, e);

	return r < 0 ? r : erase_records(disk, e);
}

int coffer_place_undo_transition(struct coffer_disk *disk, struct coffer_err *e)
{
	return with_lock(disk, undo_transition_locked, "undo block 0", e);
}

static int erase_transition_locked(struct coffer_disk *disk, struct coffer_err *e)
{
	_cleanup_free_ uint8_t *block = coffer_dev_buffer(COFFER_BLOCK);
	struct coffer_dev *d = disk->dev;
	int r;

	if (!block)
		return coffer_err_errno(e, ENOMEM, "erase the transition block");
	r = coffer_dev_read(d, block, COFFER_BLOCK, 0, e);
	if (r < 0)
		return r;
	for (uint32_t i = 0; i < COFFER_BLOCK / COFFER_SECTOR; i++)
		if (disk->facts.transition.sectors & (UINT32_C(1) << i))
			memset(block + i * COFFER_SECTOR, 0, COFFER_SECTOR);
	r = coffer_dev_write(d, block, COFFER_BLOCK, 0, e);
	if (r < 0)
		return r;
	r = coffer_dev_flush(d, e);
	return r < 0 ? r : erase_records(disk, e);
}

int coffer_place_erase_transition(struct coffer_disk *disk, struct coffer_err *e)
{
	return with_lock(disk, erase_transition_locked, "erase the transition block", e);
}
