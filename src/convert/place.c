/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* place.c - placement, forward */
#include "convert/place.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/bytes.h"
#include "base/crypto.h"
#include "base/err.h"
#include "base/quote.h"
#include "fs/signatures.h"
#include "io/read_back.h"
#include "luks2/locks.h"

enum {
	PIECE = 1 << 20,
	BTRFS_SUPERBLOCK = 65536
};

/* --- what placement and undo share ------------------------------------------------------------ */

int coffer_write_record(struct coffer_dev *d, const struct coffer_record *rec, struct coffer_err *e)
{
	_cleanup_free_ uint8_t *block = coffer_dev_buffer(COFFER_BLOCK);

	if (!block || coffer_record_encode(rec, block) < 0)
		return coffer_err_errno(e, ENOMEM, "write the placement record");
	return coffer_dev_write_verified(
		d, block, COFFER_BLOCK, coffer_record_offset(&rec->geometry, rec->kind), e);
}

int coffer_write_transition(
	struct coffer_dev *d, const struct coffer_record *rec, struct coffer_err *e)
{
	_cleanup_free_ uint8_t *block = coffer_dev_buffer(COFFER_BLOCK);
	int r;

	if (!block || coffer_transition_encode(rec, block) < 0)
		return coffer_err_errno(e, ENOMEM, "write the transition block");
	r = coffer_dev_write(d, block, COFFER_BLOCK, 0, e);
	return r < 0 ? r : coffer_dev_flush(d, e);
}

static int too_many_signatures(const struct coffer_dev *d, struct coffer_err *e)
{
	const int r =
		coffer_err_refuse(e, E2BIG, "%s: too many signatures in its first bytes", d->name);

	return coffer_err_advise(e, r, "%s lists them; erase those of former content",
		coffer_command("wipefs", d->name).s);
}

/* Every block, except block 0, in which libblkid finds a signature: until the body is complete
 * nothing may take the disk for a filesystem. The place of btrfs is always among them. */
int coffer_find_masked(
	struct coffer_dev *d, uint64_t at, struct coffer_record *rec, struct coffer_err *e)
{
	struct coffer_content c = {0};
	int r;

	r = coffer_signatures_read(d, at, rec->geometry.shift, &c, e);
	if (r < 0)
		return r;
	if (c.n_magics == COFFER_MAX_MAGICS)
		return too_many_signatures(d, e);
	rec->masked[rec->n_masked++] = BTRFS_SUPERBLOCK;
	for (uint32_t i = 0; i < c.n_magics; i++) {
		const uint64_t block = round_down_u64(c.magics[i], COFFER_BLOCK);

		if (block == 0 || block >= rec->geometry.shift || coffer_record_masks(rec, block))
			continue;
		if (rec->n_masked == COFFER_MAX_MASKED)
			return too_many_signatures(d, e);
		rec->masked[rec->n_masked++] = block;
	}
	return 0;
}

/* --- placement -------------------------------------------------------------------------------- */

/* Write [from, to) of the header area as the image has it, and flush. */
static int write_and_flush(struct coffer_dev *d, const struct coffer_record *rec,
	const uint8_t *image, uint64_t from, uint64_t to, struct coffer_err *e)
{
	_cleanup_free_ uint8_t *buf = coffer_dev_buffer(PIECE);
	int r;

	if (!buf)
		return coffer_err_errno(e, ENOMEM, "place the header");
	for (uint64_t at = from; at < to; at += PIECE) {
		const size_t n = min_u64(PIECE, to - at);

		coffer_image_expand(rec, image, at, buf, n);
		r = coffer_dev_write(d, buf, n, at, e);
		if (r < 0)
			return r;
	}
	return coffer_dev_flush(d, e);
}

/* Records and image must be gone for good before the first step: the image would open the disk
 * with today's passphrase forever, and the gap belongs to ciphertext from then on. The SAVE record
 * means nothing beside a header; it goes because it holds a hash of what is encrypted now. */
int coffer_place_erase(struct coffer_dev *d, const struct coffer_record *rec, struct coffer_err *e)
{
	const struct coffer_geometry *g = &rec->geometry;
	int r;

	r = coffer_dev_zero(d, coffer_record_offset(g, COFFER_RECORD_SAVE), COFFER_BLOCK, e);
	if (r < 0)
		return r;
	r = coffer_dev_zero(d, coffer_gap_offset(g), COFFER_BLOCK + rec->image_size, e);
	return r < 0 ? r : coffer_dev_flush(d, e);
}

/* Zeros over the blocks with a signature, so that no tool finds one. */
static int mask(struct coffer_dev *d, const struct coffer_record *rec, struct coffer_err *e)
{
	int r;

	for (uint32_t i = 0; i < rec->n_masked; i++) {
		r = coffer_dev_zero(d, rec->masked[i], COFFER_BLOCK, e);
		if (r < 0)
			return r;
	}
	return coffer_dev_flush(d, e);
}

static int place_locked(struct coffer_dev *d, const struct coffer_record *rec, const uint8_t *image,
	struct coffer_err *e)
{
	const uint64_t copy = rec->copy_size;
	int r;

	/* Moved-segment copy, record and image are durable and were read back: from here on every
	 * state of [0,S) can be made into the wanted one again, or into the old one. The transition
	 * block goes first and alone: with the masked blocks in the same flush a power cut could
	 * leave a filesystem without superblock, and nothing that says why. */
	r = coffer_write_transition(d, rec, e);
	if (r < 0)
		return r;
	r = mask(d, rec, e);
	if (r < 0)
		return r;
	/* Nothing mounts or repairs the disk now, so the body may be torn at any sector. */
	r = write_and_flush(d, rec, image, 2 * copy, rec->geometry.shift, e);
	if (r < 0)
		return r;
	/* The keyslots are durable before the first copy that names them; the copies one after the
	 * other, so that from the first flush on one of them is usable. Block 0 is in the last. */
	r = write_and_flush(d, rec, image, copy, 2 * copy, e);
	if (r < 0)
		return r;
	r = write_and_flush(d, rec, image, 0, copy, e);
	return r < 0 ? r : coffer_place_erase(d, rec, e);
}

int coffer_place_redo(struct coffer_dev *d, const struct coffer_record *rec, const uint8_t *image,
	struct coffer_err *e)
{
	_cleanup_lock_ struct coffer_lock *lock = NULL;
	int r;

	/* Stock tools must not read, still less repair, a header that is partly written. */
	r = coffer_lock_header(d, &lock, e);
	if (r == 0)
		r = place_locked(d, rec, image, e);
	return coffer_err_wrap(e, r, "place the header");
}

/* Copy the first S bytes to the end of the disk. A SAVE record goes first: it says that coffer
 * makes this copy, and of what. Without it, an interruption here looks like one where cryptsetup
 * had written a part of its header over the moved segment, with the complete copy at the end, and
 * then nothing may be overwritten. It takes the place of an UNDO record, which would be read later.
 */
static int save_segment(struct coffer_dev *d, struct coffer_record *rec, struct coffer_err *e)
{
	const uint64_t shift = rec->geometry.shift,
		       copy = coffer_segment_copy_offset(&rec->geometry);
	struct coffer_record saving = *rec;
	int r;

	/* Like an UNDO record it lies in the first sector alone: where it takes the place of one,
	 * or of an older SAVE record, there is always a valid one. */
	saving.kind = COFFER_RECORD_SAVE;
	saving.image_size = saving.n_extents = 0;
	memset(saving.image_hash, 0, sizeof(saving.image_hash));
	r = coffer_dev_hash(d, 0, shift, saving.segment_hash, e);
	if (r < 0)
		return r;
	r = coffer_write_record(d, &saving, e);
	if (r < 0)
		return r;
	r = coffer_dev_copy_verified(d, 0, copy, shift, e);
	if (r < 0)
		return r;
	r = coffer_dev_hash(d, copy, shift, rec->segment_hash, e);
	if (r < 0)
		return r;
	if (memcmp(rec->segment_hash, saving.segment_hash, COFFER_SHA256_SIZE) != 0)
		return coffer_err_set(e, EIO, "%s changed while it was copied", d->name);
	return 0;
}

/* Everything that makes the placement redoable. All of it lies in the reserve, where preflight
 * found no filesystem: interrupted here, the filesystem is as it was. */
static int save(
	struct coffer_dev *d, struct coffer_record *rec, const uint8_t *image, struct coffer_err *e)
{
	int r;

	r = save_segment(d, rec, e);
	if (r < 0)
		return r;
	r = coffer_dev_write_verified(
		d, image, rec->image_size, coffer_image_offset(&rec->geometry), e);
	return r < 0 ? r : coffer_write_record(d, rec, e);
}

int coffer_place_begin(
	struct coffer_dev *d, struct coffer_record *rec, const uint8_t *image, struct coffer_err *e)
{
	const struct coffer_geometry *g = &rec->geometry;
	int r;

	r = coffer_find_masked(d, 0, rec, e);
	if (r < 0)
		return r;
	if (coffer_random(rec->id, sizeof(rec->id)) < 0)
		return coffer_err_set(e, EIO, "libcrypto has no random bytes");
	/* What is read back to be compared must come from the disk, not from a cache. */
	coffer_dev_set_direct(d, coffer_geometry_fits_direct(g));
	r = save(d, rec, image, e);
	if (r < 0)
		return coffer_err_wrap(e, r, "save the first %" PRIu64 " bytes", g->shift);
	return coffer_place_redo(d, rec, image, e);
}

int coffer_place_finish(struct coffer_disk *disk, struct coffer_err *e)
{
	_cleanup_lock_ struct coffer_lock *lock = NULL;
	int r;

	r = coffer_lock_header(disk->dev, &lock, e);
	/* The body was durable before the first copy was written, so a usable copy proves it. */
	if (r == 0)
		r = coffer_header_rewrite(disk->dev, disk->header, e);
	if (r == 0)
		r = coffer_place_erase(disk->dev, &disk->facts.record[COFFER_RECORD_PLACE], e);
	return coffer_err_wrap(e, r, "finish placing the header");
}
