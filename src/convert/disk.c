/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* disk.c - an open disk and what is known of it; examine reads, decide judges */
#include "convert/disk.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/findings.h"
#include "base/quote.h"
#include "luks2/copy.h"
#include "luks2/locks.h"

enum {
	PIECE = 1 << 20,
	EMPTY = 17 << 20 /* a header area and the first of the data */
};

int coffer_dev_hash(struct coffer_dev *d, uint64_t off, uint64_t n, uint8_t ret[COFFER_SHA256_SIZE],
	struct coffer_err *e)
{
	_cleanup_digest_ struct coffer_digest *digest = NULL;
	_cleanup_free_ uint8_t *buf = coffer_dev_buffer(PIECE);

	if (!buf || coffer_digest_new("sha256", &digest) < 0)
		return coffer_err_errno(e, ENOMEM, "hash %s", d->name);
	for (uint64_t at = 0; at < n; at += PIECE) {
		const size_t part = min_u64(PIECE, n - at);
		const int r = coffer_dev_read(d, buf, part, off + at, e);

		if (r < 0)
			return r;
		if (coffer_digest_add(digest, buf, part) < 0)
			return coffer_err_set(e, EIO, "libcrypto failed to hash");
	}
	if (coffer_digest_end(TAKE_PTR(digest), ret, NULL) < 0)
		return coffer_err_set(e, EIO, "libcrypto failed to hash");
	return 0;
}

int coffer_dev_check_hash(struct coffer_dev *d, uint64_t off, uint64_t n,
	const uint8_t want[COFFER_SHA256_SIZE], bool *ret, struct coffer_err *e)
{
	uint8_t hash[COFFER_SHA256_SIZE];
	const int r = coffer_dev_hash(d, off, n, hash, e);

	*ret = r == 0 && memcmp(hash, want, sizeof(hash)) == 0;
	return r;
}

int coffer_record_read(struct coffer_dev *d, uint64_t off, struct coffer_record *ret,
	bool *ret_found, struct coffer_err *e)
{
	_cleanup_free_ uint8_t *block = coffer_dev_buffer(COFFER_BLOCK);
	int r;

	if (!block)
		return coffer_err_errno(e, ENOMEM, "look for a record");
	r = coffer_dev_read(d, block, COFFER_BLOCK, off, e);
	if (r < 0)
		return r;
	r = coffer_record_decode(block, ret);
	if (r == -ENOMEM || r == -EIO)
		return coffer_err_errno(e, -r, "look for a record");
	*ret_found = r == 0;
	return 0;
}

int coffer_segment_read(struct coffer_dev *d, const struct coffer_geometry *g, uint64_t at,
	size_t n, uint8_t *now, uint8_t *copy, struct coffer_err *e)
{
	const int r = coffer_dev_read(d, now, n, at, e);

	return r < 0 ? r : coffer_dev_read(d, copy, n, coffer_segment_copy_offset(g) + at, e);
}

int coffer_dev_has_unknown_content(
	struct coffer_dev *d, const struct coffer_content *content, bool *ret, struct coffer_err *e)
{
	_cleanup_free_ uint8_t *buf = coffer_dev_buffer(PIECE);
	const uint64_t end = min_u64(d->size, EMPTY);

	*ret = false;
	if (!buf)
		return coffer_err_errno(e, ENOMEM, "read %s", d->name);
	if (content->type[0] || content->partitions[0])
		return 0;
	for (uint64_t at = 0; at < end && !*ret; at += PIECE) {
		const size_t n = min_u64(PIECE, end - at);
		const int r = coffer_dev_read(d, buf, n, at, e);

		if (r < 0)
			return r;
		*ret = !bytes_are_zero(buf, n);
	}
	return 0;
}

/* Look for a record of @kind where geometry @g says it must be. It counts only with the same UUID
 * and, where a transition block names one, the same id. */
static int find_record(struct coffer_disk *disk, const struct coffer_geometry *g,
	enum coffer_placement_kind kind, const char *uuid, const uint8_t *id, struct coffer_err *e)
{
	struct coffer_facts *f = &disk->facts;
	struct coffer_record rec;
	bool found;
	int r;

	r = coffer_record_read(disk->dev, coffer_record_offset(g, kind), &rec, &found, e);
	if (r < 0 || !found || rec.kind != kind || strcmp(rec.uuid, uuid) != 0 ||
		!coffer_geometry_same_places(&rec.geometry, g) ||
		(id && memcmp(rec.id, id, COFFER_ID_SIZE) != 0))
		return r;
	f->has_record[kind] = true;
	f->record[kind] = rec;
	return 0;
}

static int read_image(
	struct coffer_disk *disk, const struct coffer_record *rec, struct coffer_err *e)
{
	uint8_t hash[COFFER_SHA256_SIZE];
	int r;

	disk->image = coffer_dev_buffer(rec->image_size + COFFER_BLOCK);
	if (!disk->image)
		return coffer_err_errno(e, ENOMEM, "read the header's image");
	r = coffer_dev_read(
		disk->dev, disk->image, rec->image_size, coffer_image_offset(&rec->geometry), e);
	if (r < 0)
		return r;
	if (coffer_sha256(disk->image, rec->image_size, hash) < 0)
		return coffer_err_set(e, EIO, "libcrypto failed to hash");
	disk->facts.image_intact = memcmp(hash, rec->image_hash, sizeof(hash)) == 0;
	return 0;
}

/* Can nothing mount what is in [0,S)? Then the filesystem was not used since it was masked. */
static int check_masked(
	struct coffer_disk *disk, const struct coffer_record *rec, struct coffer_err *e)
{
	_cleanup_free_ uint8_t *block = coffer_dev_buffer(2 * COFFER_BLOCK);
	bool complete;
	int r;

	if (!block || coffer_transition_encode(rec, block + COFFER_BLOCK) < 0)
		return coffer_err_errno(e, ENOMEM, "check the masked blocks");
	r = coffer_dev_read(disk->dev, block, COFFER_BLOCK, 0, e);
	if (r < 0)
		return r;
	complete = memcmp(block, block + COFFER_BLOCK, COFFER_BLOCK) == 0;
	for (uint32_t i = 0; i < rec->n_masked; i++) {
		r = coffer_dev_read(disk->dev, block, COFFER_BLOCK, rec->masked[i], e);
		if (r < 0)
			return r;
		complete = complete && bytes_are_zero(block, COFFER_BLOCK);
	}
	disk->facts.masks_complete = complete;
	return 0;
}

/* Compare every sector of [0,S) with what a placement may have left there. */
static int compare_segment(
	struct coffer_disk *disk, const struct coffer_record *rec, struct coffer_err *e)
{
	_cleanup_free_ uint8_t *now = coffer_dev_buffer(3 * PIECE);
	const uint64_t shift = rec->geometry.shift;
	uint8_t *segment, *image;
	int r;

	if (!now)
		return coffer_err_errno(e, ENOMEM, "compare the moved segment");
	segment = now + PIECE;
	image = now + 2 * PIECE;
	for (uint64_t at = 0; at < shift; at += PIECE) {
		const size_t n = min_u64(PIECE, shift - at);

		r = coffer_segment_read(disk->dev, &rec->geometry, at, n, now, segment, e);
		if (r < 0)
			return r;
		coffer_image_expand(rec, disk->image, at, image, n);
		r = coffer_placement_compare(rec, at, now, segment, image, n, &disk->facts.body);
		if (r < 0)
			return coffer_err_errno(e, -r, "compare the moved segment");
	}
	return 0;
}

/* The facts about a placement or an undo that block 0 describes. */
static int examine_transition(struct coffer_disk *disk, struct coffer_err *e)
{
	struct coffer_facts *f = &disk->facts;
	const struct coffer_record *t = &f->transition;
	const struct coffer_record *rec;
	int r;

	if (t->geometry.device > disk->dev->size)
		return 0;
	for (int kind = COFFER_RECORD_PLACE; kind <= COFFER_RECORD_UNDO; kind++) {
		const bool named =
			(kind == COFFER_RECORD_PLACE) == (t->kind == COFFER_RECORD_PLACE);

		r = find_record(disk, &t->geometry, (enum coffer_placement_kind)kind, t->uuid,
			named ? t->id : NULL, e);
		if (r < 0)
			return r;
	}
	if (!f->has_record[COFFER_RECORD_PLACE] && !f->has_record[COFFER_RECORD_UNDO])
		return 0;
	rec = &f->record[f->has_record[COFFER_RECORD_UNDO] ? COFFER_RECORD_UNDO
							   : COFFER_RECORD_PLACE];
	r = coffer_dev_check_hash(disk->dev, coffer_segment_copy_offset(&rec->geometry),
		rec->geometry.shift, rec->segment_hash, &f->segment_intact, e);
	if (r < 0)
		return r;
	r = check_masked(disk, rec, e);
	if (r < 0 || rec->kind == COFFER_RECORD_UNDO)
		return r;
	r = read_image(disk, rec, e);
	if (r < 0 || !f->segment_intact || !f->image_intact)
		return r;
	return compare_segment(disk, rec, e);
}

/* Records count beside a usable header as long as nothing was committed; the gap is the
 * conversion's afterwards, and what looks like a record there is ciphertext. */
static int examine_records(struct coffer_disk *disk, struct coffer_err *e)
{
	struct coffer_facts *f = &disk->facts;
	const struct coffer_geometry *g = &f->conversion.geometry;
	int r;

	if (f->kind_error < 0 || f->kind != COFFER_LUKS2_CONVERTING ||
		g->device > disk->dev->size || f->conversion.pointer != g->length ||
		g->length != coffer_gap_offset(g))
		return 0;
	r = find_record(disk, g, COFFER_RECORD_PLACE, disk->header->uuid, NULL, e);
	if (r < 0)
		return r;
	return find_record(disk, g, COFFER_RECORD_UNDO, disk->header->uuid, NULL, e);
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
	       f->kind == COFFER_LUKS2_CONVERTING &&
	       coffer_geometry_same_places(&f->transition.geometry, g);
}

int coffer_facts_read_header(struct coffer_dev *d, struct coffer_facts *f,
	struct coffer_header **ret, struct coffer_err *e)
{
	enum coffer_luks2_kind other;
	int r = coffer_header_read(d, &f->header, ret, e);

	if (r < 0 || !*ret)
		return r;
	/* The copy that does not count may describe a conversion all the same. */
	f->other_converting =
		(*ret)->other_json &&
		coffer_conversion_read((*ret)->other_json, &other, &f->conversion, NULL) == 0 &&
		other == COFFER_LUKS2_CONVERTING;
	f->kind_error =
		coffer_conversion_read((*ret)->json, &f->kind, &f->conversion, &f->kind_reason);
	return 0;
}

static int examine_locked(struct coffer_dev *d, struct coffer_disk *disk, struct coffer_err *e)
{
	_cleanup_free_ uint8_t *block = coffer_dev_buffer(COFFER_BLOCK);
	struct coffer_facts *f = &disk->facts;
	int r;

	if (!block)
		return coffer_err_errno(e, ENOMEM, "examine %s", d->name);
	f->device_size = d->size;
	f->is_file = !d->is_block;
	f->transition_error = -ENODATA;
	f->header.newest = -1;
	if (d->size < COFFER_BLOCK)
		return 0;
	/* What a killed run has left in a cache must not be taken for what is on the disk: it is
	 * made durable first, then read from the disk. A read-only caller builds nothing on it. */
	if (!d->read_only) {
		r = coffer_dev_flush(d, e);
		if (r < 0)
			return r;
		coffer_dev_forget(d, 0, d->size);
	}
	r = coffer_facts_read_header(d, f, &disk->header, e);
	if (r < 0)
		return r;
	r = coffer_dev_read(d, block, COFFER_BLOCK, 0, e);
	if (r < 0)
		return r;
	f->transition_error = coffer_transition_find(block, &f->transition);
	if (f->transition_error == -ENOMEM || f->transition_error == -EIO) /* unknown, not none */
		return coffer_err_errno(e, -f->transition_error, "look for a transition block");
	f->block_0_is_ours = block_0_is_ours(block, disk);
	f->block_0_is_empty = bytes_are_zero(block, COFFER_BLOCK);
	if (disk->header && f->header.newest == 1 && !f->block_0_is_ours) {
		coffer_header_free(TAKE_PTR(disk->header));
		return 0;
	}
	if (disk->header)
		return examine_records(disk, e);
	return f->transition_error == 0 ? examine_transition(disk, e) : 0;
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

int coffer_disk_refuse(const struct coffer_disk *disk, struct coffer_err *e)
{
	_cleanup_finding_ struct coffer_finding f = {0};
	const char *name = disk->dev->name;
	int r;

	switch (disk->operation) {
	case COFFER_OP_SHRUNK:
	case COFFER_OP_OTHER:
	case COFFER_OP_DAMAGED:
		r = coffer_operation_finding(disk->operation, &disk->facts, name, disk->why, &f);
		return r < 0 ? coffer_err_errno(e, -r, "examine %s", name)
			     : coffer_err_from_finding(e, name, &f);
	case COFFER_OP_CONVERT:
	case COFFER_OP_FINALIZE:
		if (disk->header->seqid <= COFFER_LAST_SEQID)
			return 0;
		r = coffer_err_refuse(e, EOVERFLOW,
			"%s: the sequence number of its LUKS2 header, %" PRIu64
			", is too high for a conversion; nothing was changed",
			name, disk->header->seqid);
		return coffer_err_id(e, r, COFFER_FINDING_SEQUENCE_NUMBER);
	default:
		return 0;
	}
}

int coffer_disk_refuse_encrypted(const struct coffer_dev *d, struct coffer_err *e)
{
	const int r = coffer_err_refuse(
		e, EEXIST, "%s is already a LUKS volume: nothing to encrypt", d->name);

	(void)coffer_err_advise(e, r, "see %s", coffer_command("coffer status", d->name).s);
	return coffer_err_id(e, r, COFFER_FINDING_CONTENT);
}
