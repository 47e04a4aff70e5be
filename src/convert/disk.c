/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* disk.c - an open disk and what is known of it; examine reads, decide judges */
#include "convert/disk.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/quote.h"
#include "convert/stage.h"
#include "luks2/copy.h"
#include "luks2/locks.h"

enum {
	PIECE = 1 << 20,
	EMPTY = 17 << 20 /* a header area and the first of the data */
};

bool coffer_geometry_fits_direct(const struct coffer_geometry *g)
{
	return g->device % COFFER_BLOCK == 0 && g->length % COFFER_BLOCK == 0;
}

void coffer_dev_use_direct(struct coffer_dev *d, const struct coffer_geometry *g)
{
	coffer_dev_set_direct(d, coffer_geometry_fits_direct(g));
}

int coffer_dev_hash(struct coffer_dev *d, uint64_t off, uint64_t n, uint8_t ret[COFFER_SHA256_SIZE],
	struct coffer_err *e)
{
	_cleanup_digest_ struct coffer_digest *digest = NULL;
	_cleanup_free_ uint8_t *buf = coffer_dev_buffer(PIECE);
	int r;

	if (!buf || coffer_digest_new("sha256", &digest) < 0)
		return coffer_err_errno(e, ENOMEM, "hash %s", d->name);
	for (uint64_t at = 0; at < n; at += PIECE) {
		const size_t part = min_u64(PIECE, n - at);

		r = coffer_dev_read(d, buf, part, off + at, e);
		if (r < 0)
			return r;
		if (coffer_digest_add(digest, buf, part) < 0)
			return coffer_err_set(e, EIO, "libcrypto failed to hash");
	}
	if (coffer_digest_end(TAKE_PTR(digest), ret, NULL) < 0)
		return coffer_err_set(e, EIO, "libcrypto failed to hash");
	return 0;
}

int coffer_dev_has_unknown_content(
	struct coffer_dev *d, const struct coffer_content *content, bool *ret, struct coffer_err *e)
{
	_cleanup_free_ uint8_t *buf = coffer_dev_buffer(PIECE);
	const uint64_t end = min_u64(d->size, EMPTY);
	int r;

	*ret = false;
	if (!buf)
		return coffer_err_errno(e, ENOMEM, "look at %s", d->name);
	if (content->type[0] || content->partitions[0])
		return 0;
	for (uint64_t at = 0; at < end && !*ret; at += PIECE) {
		const size_t n = min_u64(PIECE, end - at);

		r = coffer_dev_read(d, buf, n, at, e);
		if (r < 0)
			return r;
		*ret = !bytes_are_zero(buf, n);
	}
	return 0;
}

/* Look for a record of @kind where geometry @g says it must be. It counts only with the same UUID
 * and, where a transition block names one, the same id. */
static int read_record(struct coffer_dev *d, const struct coffer_geometry *g,
	enum coffer_placement_kind kind, const char *uuid, const uint8_t *id,
	struct coffer_facts *f, struct coffer_err *e)
{
	_cleanup_free_ uint8_t *block = coffer_dev_buffer(COFFER_BLOCK);
	struct coffer_record rec;
	int r;

	if (!block)
		return coffer_err_errno(e, ENOMEM, "look for a record");
	r = coffer_dev_read(d, block, COFFER_BLOCK, coffer_record_offset(g, kind), e);
	if (r < 0)
		return r;
	r = coffer_record_decode(block, &rec);
	if (r == -ENOMEM || r == -EIO)
		return coffer_err_errno(e, -r, "look for a record");
	if (r < 0 || rec.kind != kind || strcmp(rec.uuid, uuid) != 0 ||
		rec.geometry.device != g->device || rec.geometry.shift != g->shift ||
		(id && memcmp(rec.id, id, COFFER_ID_SIZE) != 0))
		return 0;
	f->has_record[kind] = true;
	f->record[kind] = rec;
	return 0;
}

static int check_segment(struct coffer_dev *d, const struct coffer_record *rec,
	struct coffer_facts *f, struct coffer_err *e)
{
	uint8_t hash[COFFER_SHA256_SIZE];
	int r;

	r = coffer_dev_hash(
		d, coffer_segment_copy_offset(&rec->geometry), rec->geometry.shift, hash, e);
	f->segment_intact = r == 0 && memcmp(hash, rec->segment_hash, sizeof(hash)) == 0;
	return r;
}

static int read_image(struct coffer_dev *d, const struct coffer_record *rec,
	struct coffer_disk *disk, struct coffer_err *e)
{
	uint8_t hash[COFFER_SHA256_SIZE];
	int r;

	disk->image = coffer_dev_buffer(rec->image_size + COFFER_BLOCK);
	if (!disk->image)
		return coffer_err_errno(e, ENOMEM, "read the header's image");
	r = coffer_dev_read(
		d, disk->image, rec->image_size, coffer_image_offset(&rec->geometry), e);
	if (r < 0)
		return r;
	if (coffer_sha256(disk->image, rec->image_size, hash) < 0)
		return coffer_err_set(e, EIO, "libcrypto failed to hash");
	disk->facts.image_intact = memcmp(hash, rec->image_hash, sizeof(hash)) == 0;
	return 0;
}

/* Can nothing mount what is in [0,S)? Then the filesystem was not used since it was masked. */
static int check_masked(struct coffer_dev *d, const struct coffer_record *rec,
	struct coffer_facts *f, struct coffer_err *e)
{
	_cleanup_free_ uint8_t *block = coffer_dev_buffer(2 * COFFER_BLOCK);
	int r;

	if (!block || coffer_transition_encode(rec, block + COFFER_BLOCK) < 0)
		return coffer_err_errno(e, ENOMEM, "check the masked blocks");
	r = coffer_dev_read(d, block, COFFER_BLOCK, 0, e);
	if (r < 0)
		return r;
	f->masks_whole = memcmp(block, block + COFFER_BLOCK, COFFER_BLOCK) == 0;
	for (uint32_t i = 0; i < rec->n_masked; i++) {
		r = coffer_dev_read(d, block, COFFER_BLOCK, rec->masked[i], e);
		if (r < 0)
			return r;
		f->masks_whole = f->masks_whole && bytes_are_zero(block, COFFER_BLOCK);
	}
	return 0;
}

/* Compare every sector of [0,S) with what a placement may have left there. */
static int compare_segment(struct coffer_dev *d, const struct coffer_record *rec,
	struct coffer_disk *disk, struct coffer_err *e)
{
	_cleanup_free_ uint8_t *buf = coffer_dev_buffer(3 * PIECE);
	uint8_t *now, *segment, *image;
	const uint64_t copy = coffer_segment_copy_offset(&rec->geometry);
	int r;

	if (!buf)
		return coffer_err_errno(e, ENOMEM, "compare the head");
	now = buf;
	segment = buf + PIECE;
	image = buf + 2 * PIECE;
	for (uint64_t at = 0; at < rec->geometry.shift; at += PIECE) {
		const size_t n = min_u64(PIECE, rec->geometry.shift - at);
		uint64_t unexpected, first = 0;

		r = coffer_dev_read(d, now, n, at, e);
		if (r < 0)
			return r;
		r = coffer_dev_read(d, segment, n, copy + at, e);
		if (r < 0)
			return r;
		coffer_image_expand(rec, disk->image, at, image, n);
		r = coffer_unexpected_sectors(rec, at, now, segment, image, n, &unexpected, &first);
		if (r < 0)
			return coffer_err_errno(e, -r, "compare the head");
		if (unexpected > 0 && disk->facts.unexpected == 0)
			disk->facts.first_unexpected = first;
		disk->facts.unexpected += unexpected;
		disk->facts.placed += coffer_placed_sectors(rec, at, now, segment, image, n);
	}
	return 0;
}

/* The facts about a placement or an undo that block 0 describes. */
static int examine_transition(struct coffer_dev *d, struct coffer_disk *disk, struct coffer_err *e)
{
	struct coffer_facts *f = &disk->facts;
	const struct coffer_transition *t = &f->transition;
	const struct coffer_record *rec;
	int r;

	if (t->geometry.device > d->size)
		return 0;
	r = read_record(d, &t->geometry, COFFER_RECORD_PLACE, t->uuid,
		t->kind == COFFER_RECORD_PLACE ? t->id : NULL, f, e);
	if (r < 0)
		return r;
	r = read_record(d, &t->geometry, COFFER_RECORD_UNDO, t->uuid,
		t->kind != COFFER_RECORD_PLACE ? t->id : NULL, f, e);
	if (r < 0 || (!f->has_record[COFFER_RECORD_PLACE] && !f->has_record[COFFER_RECORD_UNDO]))
		return r;
	rec = &f->record[f->has_record[COFFER_RECORD_UNDO] ? COFFER_RECORD_UNDO
							   : COFFER_RECORD_PLACE];
	r = check_segment(d, rec, f, e);
	if (r < 0)
		return r;
	r = check_masked(d, rec, f, e);
	if (r < 0 || rec->kind == COFFER_RECORD_UNDO)
		return r;
	r = read_image(d, rec, disk, e);
	if (r < 0 || !f->segment_intact || !f->image_intact)
		return r;
	return compare_segment(d, rec, disk, e);
}

/* Records count beside a whole header as long as nothing was committed; the gap is the
 * conversion's afterwards, and what looks like a record there is ciphertext. */
static int examine_records(struct coffer_dev *d, struct coffer_disk *disk, struct coffer_err *e)
{
	struct coffer_facts *f = &disk->facts;
	const struct coffer_geometry *g = &f->conversion.geometry;
	int r;

	if (f->kind_error < 0 || f->kind != COFFER_LUKS2_CONVERTING || g->device > d->size ||
		f->conversion.pointer != g->length || g->length != coffer_gap_offset(g))
		return 0;
	r = read_record(d, g, COFFER_RECORD_PLACE, disk->header->uuid, NULL, f, e);
	if (r < 0)
		return r;
	return read_record(d, g, COFFER_RECORD_UNDO, disk->header->uuid, NULL, f, e);
}

/* A LUKS magic, or a transition block of the very header that was found. */
static bool block_0_is_ours(const uint8_t *block, const struct coffer_disk *disk)
{
	const struct coffer_facts *f = &disk->facts;
	const struct coffer_geometry *g = &f->conversion.geometry;

	if (coffer_luks2_magic(block, false))
		return true;
	return disk->header && f->transition_error == 0 &&
	       strcmp(f->transition.uuid, disk->header->uuid) == 0 &&
	       f->kind == COFFER_LUKS2_CONVERTING && f->transition.geometry.device == g->device &&
	       f->transition.geometry.shift == g->shift;
}

/* The copy that does not count may describe a conversion all the same. */
static void read_other(struct coffer_facts *f, const struct coffer_header *h)
{
	enum coffer_luks2_kind kind;

	f->other_converting =
		h->other_json &&
		coffer_conversion_read(h->other_json, &kind, &f->conversion, NULL) == 0 &&
		kind == COFFER_LUKS2_CONVERTING;
}

int coffer_facts_read_header(struct coffer_dev *d, struct coffer_facts *f,
	struct coffer_header **ret, struct coffer_err *e)
{
	const int r = coffer_header_read(d, &f->header, ret, e);

	if (r < 0 || !*ret)
		return r;
	read_other(f, *ret);
	f->kind_error =
		coffer_conversion_read((*ret)->json, &f->kind, &f->conversion, &f->kind_reason);
	return 0;
}

static int examine_locked(struct coffer_dev *d, struct coffer_disk *disk, struct coffer_err *e)
{
	_cleanup_free_ uint8_t *block = coffer_dev_buffer(COFFER_BLOCK);
	int r;

	if (!block)
		return coffer_err_errno(e, ENOMEM, "examine %s", d->name);
	disk->facts.device_size = d->size;
	disk->facts.transition_error = -ENODATA;
	if (d->size < COFFER_BLOCK) {
		disk->facts.header.newest = -1;
		return 0;
	}
	/* What a killed run has left in a cache must not be taken for what is on the disk: it is
	 * made durable first, then read from the disk. A read-only caller builds nothing on it. */
	if (!d->read_only) {
		r = coffer_dev_flush(d, e);
		if (r < 0)
			return r;
		coffer_dev_forget(d, 0, d->size);
	}
	r = coffer_facts_read_header(d, &disk->facts, &disk->header, e);
	if (r < 0)
		return r;
	r = coffer_dev_read(d, block, COFFER_BLOCK, 0, e);
	if (r < 0)
		return r;
	r = coffer_transition_find(block, &disk->facts.transition);
	if (r == -ENOMEM || r == -EIO) /* unknown, which is not the same as none */
		return coffer_err_errno(e, -r, "look for what an earlier run began");
	disk->facts.transition_error = r;
	disk->facts.block_0_is_ours = block_0_is_ours(block, disk);
	disk->facts.block_0_is_empty = bytes_are_zero(block, COFFER_BLOCK);
	if (disk->header && disk->facts.header.newest == 1 && !disk->facts.block_0_is_ours) {
		coffer_header_free(TAKE_PTR(disk->header));
		return 0;
	}
	if (disk->header)
		return examine_records(d, disk, e);
	return disk->facts.transition_error == 0 ? examine_transition(d, disk, e) : 0;
}

int coffer_disk_examine(struct coffer_dev *d, struct coffer_disk *ret, struct coffer_err *e)
{
	_cleanup_lock_ struct coffer_lock *lock = NULL;
	struct coffer_err why = {0};
	int r;

	coffer_disk_reset(ret);
	ret->dev = d;
	r = coffer_lock_metadata(d, false, &lock, &why);
	/* Read access is enough to examine: without access to the locks it is done without them. */
	ret->unlocked = d->no_locks || (d->read_only && coffer_err_is_no_access(r));
	r = r < 0 && !ret->unlocked ? coffer_err_pass(e, r, &why) : examine_locked(d, ret, e);
	if (r < 0) {
		coffer_disk_reset(ret);
		return coffer_err_wrap(e, r, "examine %s", d->name);
	}
	ret->operation = coffer_decide(&ret->facts, ret->why, sizeof(ret->why));
	return 0;
}

void coffer_disk_reset(struct coffer_disk *disk)
{
	coffer_header_free(disk->header);
	free(disk->image);
	memset(disk, 0, sizeof(*disk));
}

static uint64_t wanted_size(const struct coffer_facts *f)
{
	return f->header.newest >= 0 ? f->conversion.geometry.device
				     : f->transition.geometry.device;
}

static int refuse(const struct coffer_disk *disk, struct coffer_err *e)
{
	const char *name = disk->dev->name;

	switch (disk->operation) {
	case COFFER_OP_SHRUNK:
		return coffer_err_refuse(e, ENOSPC,
			"%s has %" PRIu64 " bytes now, but holds a conversion of %" PRIu64
			" bytes; give it its size back, then run the same command again",
			name, disk->facts.device_size, wanted_size(&disk->facts));
	case COFFER_OP_OTHER:
		return coffer_err_refuse(e, EOPNOTSUPP, "%s: %s; finish it with %s", name,
			disk->facts.kind_reason.msg,
			coffer_command(coffer_next_command(
					       coffer_next_of(COFFER_STAGE_OTHER, &disk->facts)),
				name)
				.s);
	case COFFER_OP_DAMAGED:
		return coffer_err_needs_repair(e, EUCLEAN, "%s: %s; nothing was changed; see %s",
			name, disk->why, coffer_command("coffer repair --dry-run", name).s);
	case COFFER_OP_CONVERT:
	case COFFER_OP_FINALIZE:
		if (disk->header->seqid <= COFFER_LAST_SEQID)
			return 0;
		return coffer_err_refuse(e, EOVERFLOW,
			"%s: its LUKS2 header has the sequence number %" PRIu64
			", to which nobody counts; too few are left above it for the rest of the "
			"conversion; nothing was changed",
			name, disk->header->seqid);
	default:
		return 0;
	}
}

static enum coffer_finding_id reason_of(enum coffer_operation o)
{
	if (o == COFFER_OP_SHRUNK)
		return COFFER_FINDING_SIZE;
	if (o == COFFER_OP_OTHER)
		return COFFER_FINDING_CONVERSION;
	return o == COFFER_OP_DAMAGED ? COFFER_FINDING_DAMAGE : COFFER_FINDING_SEQUENCE_NUMBER;
}

int coffer_disk_refuse(const struct coffer_disk *disk, struct coffer_err *e)
{
	return coffer_err_id(e, refuse(disk, e), reason_of(disk->operation));
}

int coffer_disk_refuse_encrypted(const struct coffer_dev *d, struct coffer_err *e)
{
	const int r =
		coffer_err_refuse(e, EEXIST, "%s is LUKS already: nothing to encrypt; look with %s",
			d->name, coffer_command("coffer status", d->name).s);

	return coffer_err_id(e, r, COFFER_FINDING_CONTENT);
}
