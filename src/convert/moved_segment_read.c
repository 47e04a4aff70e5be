/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* moved_segment_read.c - collect the facts of the moved-segment check */
#include "convert/moved_segment_read.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/json.h"
#include "convert/image.h"
#include "convert/stored_map.h"
#include "fs/signatures.h"
#include "luks2/copy.h"
#include "luks2/locks.h"

enum {
	PIECE = 1 << 20,
	/* cryptsetup takes any S; these are usual: each MiB up to here, powers of two above */
	MAX_STEP_MIB = 64,
	MAX_MIB = 256,
	/* The smallest area of a keyslot: 4000 stripes of a key of 32 bytes, in whole sectors. */
	FIRST_KEYSLOT = 250 * 512
};

struct search {
	struct coffer_dev *dev;
	uint8_t *buf; /* 3 * PIECE */
	bool ours;    /* block 0 has a transition block: coffer's placement */
	struct coffer_moved_segment *v;
};

/* The filesystem that begins at byte @off; false when there is none that makes sense. */
static int read_fs(
	struct search *s, uint64_t off, struct coffer_fs *ret, bool *found, struct coffer_err *e)
{
	int r;

	*found = false;
	if (off + COFFER_FS_HEAD > s->dev->size || off % COFFER_SECTOR)
		return 0;
	r = coffer_dev_read(s->dev, s->buf, COFFER_FS_HEAD, off, e);
	if (r < 0)
		return r;
	*found = coffer_superblock_read(s->buf, COFFER_FS_HEAD, ret, NULL) == 0 &&
		 ret->kind != COFFER_FS_NONE;
	return 0;
}

static bool same_fs(const struct coffer_fs *a, const struct coffer_fs *b)
{
	return a->kind == b->kind && memcmp(a->uuid, b->uuid, sizeof(a->uuid)) == 0;
}

static int check_mirror(struct search *s, struct coffer_err *e)
{
	struct coffer_moved_segment *v = s->v;
	struct coffer_fs fs;
	bool found;
	int r;

	v->mirror_agrees = false;
	/* Below S it is part of what is in question. */
	if (v->fs.mirror == 0 || v->fs.mirror + v->fs.super < v->geometry.shift)
		return 0;
	r = read_fs(s, v->fs.mirror, &fs, &found, e);
	v->mirror_agrees = found && same_fs(&fs, &v->fs);
	return r;
}

/* Is there, in [from, to), a sector that cannot be ciphertext? */
static int find_plain(struct search *s, uint64_t from, uint64_t to, bool *ret, struct coffer_err *e)
{
	from = round_down_u64(from, COFFER_SECTOR);
	for (uint64_t at = from; at < to; at += PIECE) {
		const size_t n = round_down_u64(min_u64(PIECE, to - at), COFFER_SECTOR);
		const int r = coffer_dev_read(s->dev, s->buf, n, at, e);

		if (r < 0)
			return r;
		for (size_t k = 0; k < n; k += COFFER_SECTOR)
			if (!coffer_looks_random(s->buf + k, COFFER_SECTOR)) {
				*ret = true;
				return 0;
			}
	}
	return 0;
}

/* The first step writes to the gap, each later one to the S bytes below: before one writes into the
 * filesystem, everything from its first byte after the filesystem's end up to the moved-segment
 * copy is ciphertext. If one sector there is not, all of the filesystem from S on is in its place
 * and plain. A plain sector further down proves nothing: the step may have been interrupted before
 * it. */
static int check_unconverted(struct search *s, struct coffer_err *e)
{
	const struct coffer_geometry *g = &s->v->geometry;
	const uint64_t room = coffer_gap_offset(g) - s->v->fs.end;

	return find_plain(s, coffer_gap_offset(g) - round_down_u64(room, g->shift),
		coffer_segment_copy_offset(g), &s->v->unconverted, e);
}

/* Both header copies and the first keyslot, which follows them, are written at once. If a sector
 * there is still the moved segment's, this write did not reach it, and nothing was done after it.
 * Zeros in a copy do not count, which has zeros itself, nor do the first two sectors: a boot
 * loader's. */
static int check_reached(struct search *s, struct coffer_err *e)
{
	struct coffer_moved_segment *v = s->v;
	const uint64_t keyslot = 2 * v->copy_size, end = keyslot + FIRST_KEYSLOT;
	uint8_t *now = s->buf, *copy = s->buf + PIECE;
	int r = 0;

	if (v->traces == 0 || end > v->geometry.shift)
		return 0;
	for (uint64_t at = 1024; at < end && r == 0 && !v->unconverted; at += PIECE) {
		const size_t n = min_u64(PIECE, end - at);

		r = coffer_dev_read(s->dev, now, n, at, e);
		if (r == 0)
			r = coffer_dev_read(
				s->dev, copy, n, coffer_segment_copy_offset(&v->geometry) + at, e);
		for (size_t k = 0; k < n && r == 0; k += COFFER_SECTOR)
			if (memcmp(now + k, copy + k, COFFER_SECTOR) == 0 &&
				(at + k >= keyslot || !bytes_are_zero(now + k, COFFER_SECTOR)))
				v->unconverted = true;
	}
	return r;
}

/* Does this block differ from the copy's, and can it only be a header's? */
static int check_trace(struct search *s, uint64_t at, struct coffer_err *e)
{
	struct coffer_moved_segment *v = s->v;
	uint8_t *now = s->buf, *copy = s->buf + PIECE;
	int r;

	if (at + COFFER_BLOCK > v->geometry.shift)
		return 0;
	r = coffer_dev_read(s->dev, now, COFFER_BLOCK, at, e);
	if (r == 0)
		r = coffer_dev_read(s->dev, copy, COFFER_BLOCK,
			coffer_segment_copy_offset(&v->geometry) + at, e);
	for (size_t k = 0; k < COFFER_BLOCK && r == 0; k += COFFER_SECTOR)
		if (memcmp(now + k, copy + k, COFFER_SECTOR) != 0)
			v->traces += coffer_is_header_trace(now + k, at + k, &v->copy_size);
	return r;
}

static int find_traces(struct search *s, struct coffer_err *e)
{
	int r;

	s->v->traces = 0;
	s->v->copy_size = COFFER_LUKS2_MIN_COPY;
	r = check_trace(s, 0, e);
	if (r == 0)
		r = check_trace(s, COFFER_LUKS2_BIN, e);
	for (uint64_t c = 0; r == 0 && coffer_luks2_next_copy_size(&c);) {
		r = check_trace(s, c, e);
		if (r == 0)
			r = check_trace(s, c + COFFER_LUKS2_BIN, e);
	}
	return r;
}

/* Could a header's write have left this sector? The size of its copies is in its first bytes, which
 * may not have arrived. */
static bool may_be_header(const struct search *s, const uint8_t *sector, uint64_t at)
{
	return s->v->traces > 0 ? coffer_looks_like_header(sector, at, s->v->copy_size, s->ours)
				: coffer_may_be_header(sector, at, s->ours);
}

/* Compare [0,S) with the copy, sector by sector. */
static int compare_copy(struct search *s, struct coffer_err *e)
{
	struct coffer_moved_segment *v = s->v;
	uint8_t *now = s->buf, *copy = s->buf + PIECE;
	int r = 0;

	v->different = v->unlike_header = v->overwritten = v->unsaved = v->behind = 0;
	v->used_map = false;
	for (uint64_t at = 0; at < v->geometry.shift && r == 0; at += PIECE) {
		const size_t n = min_u64(PIECE, v->geometry.shift - at);

		r = coffer_dev_read(s->dev, now, n, at, e);
		if (r == 0)
			r = coffer_dev_read(
				s->dev, copy, n, coffer_segment_copy_offset(&v->geometry) + at, e);
		for (size_t k = 0; k < n && r == 0; k += COFFER_SECTOR) {
			if (memcmp(now + k, copy + k, COFFER_SECTOR) == 0)
				continue;
			v->different++;
			/* With a transition block it is the placement's own: no step began. */
			v->used_map = v->used_map || (!s->ours && coffer_stored_map_trace(now + k));
			if (!coffer_looks_like_header(now + k, at + k, v->copy_size, true))
				*(at + k < v->header_end ? &v->unsaved : &v->behind) += 1;
			v->overwritten += may_be_header(s, now + k, at + k);
			v->unlike_header +=
				!coffer_looks_like_header(now + k, at + k, v->copy_size, s->ours);
		}
	}
	return r;
}

static int check_used(struct search *s, struct coffer_err *e)
{
	struct coffer_moved_segment *v = s->v;
	uint8_t *now = s->buf, *copy = s->buf + PIECE;
	const uint64_t at = round_down_u64(v->fs.super, COFFER_BLOCK);
	int r;

	v->living = v->has_head && same_fs(&v->head, &v->fs);
	if (!v->living)
		return 0;
	r = coffer_dev_read(s->dev, now, COFFER_BLOCK, at, e);
	if (r == 0)
		r = coffer_dev_read(s->dev, copy, COFFER_BLOCK,
			coffer_segment_copy_offset(&v->geometry) + at, e);
	now += v->fs.super - at;
	copy += v->fs.super - at;
	/* A sector that a header's write may have reached does not prove use. */
	for (uint32_t k = 0; k < v->fs.super_size && r == 0; k += COFFER_SECTOR)
		if (memcmp(now + k, copy + k, COFFER_SECTOR) != 0 &&
			!may_be_header(s, now + k, v->fs.super + k))
			v->used = true;
	return r;
}

/* Does a record of coffer have the hash of the first S bytes? Then coffer was interrupted while it
 * made the copy, or while it erased it after an abort: whatever the copy lacks, they are whole. A
 * record of an older try has another hash. */
static int check_saved(
	struct search *s, const struct coffer_geometry *g, bool *ret, struct coffer_err *e)
{
	uint8_t hash[COFFER_SHA256_SIZE];
	struct coffer_record rec;
	int r;

	*ret = false;
	r = coffer_dev_read(
		s->dev, s->buf, COFFER_BLOCK, coffer_record_offset(g, COFFER_RECORD_SAVE), e);
	if (r < 0)
		return r;
	r = coffer_record_decode(s->buf, &rec);
	if (r == -ENOMEM || r == -EIO)
		return coffer_err_errno(e, -r, "look for a record");
	if (r < 0 || (rec.kind != COFFER_RECORD_SAVE && rec.kind != COFFER_RECORD_UNDO) ||
		rec.geometry.device != g->device || rec.geometry.shift != g->shift)
		return 0;
	r = coffer_dev_hash(s->dev, 0, g->shift, hash, e);
	*ret = r == 0 && memcmp(hash, rec.segment_hash, sizeof(hash)) == 0;
	return r;
}

/* Is there a copy at D-S, of a filesystem that ends at D-2S or before? */
static int try_copy(struct search *s, const struct coffer_geometry *g, struct coffer_err *e)
{
	struct coffer_fs fs = {0};
	bool found;
	int r;

	r = read_fs(s, coffer_segment_copy_offset(g), &fs, &found, e);
	if (r < 0 || !found || fs.spare || fs.end > coffer_gap_offset(g))
		return r;
	s->v->has_copy = true;
	s->v->geometry = *g;
	s->v->fs = fs;
	s->v->unconverted = s->v->used = false;
	r = check_mirror(s, e);
	if (r == 0)
		r = check_saved(s, g, &s->v->saved, e);
	if (r == 0)
		r = find_traces(s, e);
	if (r == 0)
		r = check_used(s, e);
	if (r == 0)
		r = check_unconverted(s, e);
	if (r == 0 && !s->v->unconverted)
		r = check_reached(s, e);
	return r < 0 ? r : compare_copy(s, e);
}

/* How much a copy proves: of several the first that proves the most counts. */
static int weight(const struct coffer_moved_segment *v)
{
	char why[512];

	if (v->saved)
		return 3;
	if (coffer_moved_segment_is_torn(v, why, sizeof(why)))
		return 2;
	return coffer_moved_segment_is_ambiguous(v, why, sizeof(why)) ? 1 : 0;
}

/* S is unknown: look where usual choices would have put the copy. What lies there may be a part of
 * the real copy, which begins elsewhere: a disk image in a file, with content that any user may
 * have chosen. So it counts only if it is the only one, or if a record with the hash of the first
 * bytes lies beside it, which the writer of a file cannot have known. */
static int search_copy(struct search *s, struct coffer_err *e)
{
	struct coffer_moved_segment best = *s->v;
	uint64_t n = 0, whole = 0; /* a record proves that so many bytes are whole */

	for (uint64_t mib = 1; mib <= MAX_MIB; mib = mib < MAX_STEP_MIB ? mib + 1 : mib * 2) {
		const uint64_t shift = mib << 20;
		const struct coffer_geometry g = {.device = s->dev->size,
			.shift = shift,
			.length = s->dev->size - 2 * shift,
			.sector_size = COFFER_SECTOR};
		bool saved;
		int r;

		if (s->dev->size / 3 < shift)
			break;
		s->v->has_copy = false;
		r = check_saved(s, &g, &saved, e);
		if (r == 0)
			r = try_copy(s, &g, e);
		if (r < 0)
			return r;
		if (saved)
			whole = shift;
		if (s->v->has_copy && (n++ == 0 || weight(s->v) > weight(&best)))
			best = *s->v;
	}
	/* A larger copy may overwrite the record of a smaller one, before its own begins. */
	best.saved = best.has_copy && whole >= best.geometry.shift;
	best.ambiguous = n > 1;
	*s->v = best;
	return 0;
}

/* A keyslot opens nothing unless all of its bytes are there. They are random, and never equal to
 * the moved segment's: a sector that is equal, or that is not random, is one that cryptsetup's
 * interrupted write did not reach. */
static int check_keyslot(const char *name, struct json_object *keyslot, void *arg)
{
	struct search *s = arg;
	struct json_object *area = coffer_json_object(keyslot, "area");
	const char *type = coffer_json_string(keyslot, "type");
	uint32_t key_size, stripes;
	uint64_t offset, size, n;

	(void)name;
	if (!type || strcmp(type, "luks2") != 0 || coffer_json_u64s(area, "offset", &offset) < 0 ||
		coffer_json_u64s(area, "size", &size) < 0 ||
		coffer_json_u32(keyslot, "key_size", &key_size) < 0 ||
		coffer_json_u32(coffer_json_object(keyslot, "af"), "stripes", &stripes) < 0)
		return 0;
	n = round_down_u64(min_u64((uint64_t)key_size * stripes, size), COFFER_SECTOR);
	if (offset % COFFER_SECTOR || offset >= s->v->geometry.shift ||
		n > s->v->geometry.shift - offset)
		return 0;
	for (uint64_t at = offset; at < offset + n; at += COFFER_SECTOR) {
		uint8_t *now = s->buf, *copy = s->buf + PIECE;
		int r;

		r = coffer_dev_read(s->dev, now, COFFER_SECTOR, at, NULL);
		if (r == 0)
			r = coffer_dev_read(s->dev, copy, COFFER_SECTOR,
				coffer_segment_copy_offset(&s->v->geometry) + at, NULL);
		if (r < 0)
			return r;
		if (memcmp(now, copy, COFFER_SECTOR) == 0 ||
			!coffer_looks_random(now, COFFER_SECTOR))
			s->v->keyslot_torn = true;
	}
	return 0;
}

/* Is there, between @from and @end, a spare superblock whose place does not depend on a superblock?
 * ext4 has one for each block size, btrfs one. */
static int find_orphan(
	struct search *s, uint64_t from, uint64_t end, bool *ret, struct coffer_err *e)
{
	static const uint64_t places[] = {UINT64_C(8193) * 1024 - 1024,
		UINT64_C(16384) * 2048 - 1024, UINT64_C(32768) * 4096 - 1024,
		(UINT64_C(64) << 20) - (64 << 10)};
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(places) && r == 0; i++) {
		struct coffer_fs fs;
		bool found;

		if (places[i] < from || places[i] + COFFER_FS_HEAD > end)
			continue;
		r = read_fs(s, places[i], &fs, &found, e);
		if (r == 0 && found && fs.mirror == places[i] && fs.end <= end) {
			*ret = true;
			s->v->fs = fs;
		}
	}
	return r;
}

/* No filesystem that coffer reads lies where the copy must be. Another may: cryptsetup encrypts any
 * content. */
static int check_copy_lost(struct search *s, struct coffer_err *e)
{
	const struct coffer_geometry *g = &s->v->geometry;
	struct coffer_content content = {0};
	int r;

	r = find_orphan(s, g->shift, g->length, &s->v->copy_lost, e);
	if (r < 0 || s->v->copy_lost || s->dev->fd < 0) /* libblkid wants a descriptor */
		return r;
	coffer_dev_set_direct(s->dev, false);
	r = coffer_signatures_read(s->dev, coffer_segment_copy_offset(g), g->shift, &content, e);
	s->v->copy_unknown = r == 0 && !content.type[0] && !content.partitions[0];
	return r;
}

/* A whole header, and no step committed: is what it stands for all there? */
static int check_placed(struct search *s, const struct coffer_disk *disk, struct coffer_err *e)
{
	const struct coffer_geometry g = disk->facts.conversion.geometry;
	int r;

	if (coffer_used_map_place(
		    disk->header->json, disk->header->copy_size, g.shift, &s->v->header_end) < 0)
		s->v->header_end = g.shift;
	r = try_copy(s, &g, e);
	if (r < 0)
		return r;
	s->v->unconverted = true; /* the header says so */
	s->v->geometry = g;
	/* coffer itself saves whatever is there, and makes sure of it. */
	r = coffer_image_is_placed(s->dev, disk->header, &g, &s->v->own, e);
	if (r < 0 || (s->v->own && !s->v->has_copy))
		return r;
	if (!s->v->has_copy)
		return check_copy_lost(s, e);
	/* Where cryptsetup's write did not arrive, the moved segment is in its place, and the copy
	 * must have it as well: what it lacks there it may lack elsewhere. */
	r = coffer_json_foreach(
		coffer_json_object(disk->header->json, "keyslots"), check_keyslot, s);
	return r < 0 ? coffer_err_errno(e, -r, "read the keyslots of %s", s->dev->name) : 0;
}

/* The record of a placement that was cut before its transition block. */
static int search_record(struct search *s, struct coffer_err *e)
{
	for (uint64_t shift = COFFER_MIN_SHIFT; shift <= ((uint64_t)MAX_MIB << 20); shift *= 2) {
		struct coffer_record rec;
		int r;

		if (s->dev->size / 3 < shift)
			break;
		r = coffer_dev_read(s->dev, s->buf, COFFER_BLOCK, s->dev->size - 2 * shift, e);
		if (r < 0)
			return r;
		r = coffer_record_decode(s->buf, &rec);
		if (r == -ENOMEM || r == -EIO)
			return coffer_err_errno(e, -r, "look for a record");
		if (r < 0 || rec.kind != COFFER_RECORD_PLACE ||
			rec.geometry.device != s->dev->size || rec.geometry.shift != shift)
			continue;
		/* Only if the filesystem that is there now does not reach into the reserve. */
		if (s->v->has_head && s->v->head.end <= coffer_gap_offset(&rec.geometry)) {
			s->v->has_stale_record = true;
			s->v->stale = rec;
		}
	}
	return 0;
}

static int collect(struct search *s, const struct coffer_disk *disk, struct coffer_err *e)
{
	const struct coffer_facts *f = &disk->facts;
	int r;

	r = read_fs(s, 0, &s->v->head, &s->v->has_head, e);
	if (r < 0)
		return r;
	if (disk->operation == COFFER_OP_CONVERT &&
		f->conversion.pointer == f->conversion.geometry.length)
		return check_placed(s, disk, e);
	if (disk->operation == COFFER_OP_DAMAGED && f->header.newest < 0 &&
		f->transition_error == 0 && f->transition.geometry.device <= s->dev->size)
		return try_copy(s, &f->transition.geometry, e);
	if (disk->operation != COFFER_OP_START &&
		!(disk->operation == COFFER_OP_DAMAGED && f->header.newest < 0))
		return 0;
	if (f->header.newest >= 0 && f->kind_error == 0 && f->kind == COFFER_LUKS2_CONVERTING &&
		f->conversion.geometry.device <= s->dev->size)
		r = try_copy(s, &f->conversion.geometry, e);
	else
		r = search_copy(s, e);
	/* A late copy is late by one commit, and each step waits for both copies. */
	if (f->header.newest >= 0)
		s->v->unconverted = f->kind_error == 0 && f->kind == COFFER_LUKS2_CONVERTING &&
				    f->conversion.pointer == f->conversion.geometry.length;
	if (r == 0 && disk->operation == COFFER_OP_START)
		r = search_record(s, e);
	if (r == 0 && disk->operation == COFFER_OP_START && !s->v->has_head && !s->v->has_copy)
		r = find_orphan(s, 0, s->dev->size, &s->v->head_lost, e);
	return r;
}

int coffer_moved_segment_read(
	const struct coffer_disk *disk, struct coffer_moved_segment *ret, struct coffer_err *e)
{
	_cleanup_free_ uint8_t *buf = coffer_dev_buffer(3 * PIECE);
	_cleanup_lock_ struct coffer_lock *lock = NULL;
	struct coffer_moved_segment v = {0};
	struct search s = {
		.dev = disk->dev, .buf = buf, .ours = disk->facts.transition_error == 0, .v = &v};
	int r = 0;

	if (!buf)
		return coffer_err_errno(e, ENOMEM, "look at %s", disk->dev->name);
	/* A size that is not a multiple of a sector never held a conversion. */
	if (disk->dev->size % COFFER_SECTOR || disk->dev->size < 3 * COFFER_MIN_SHIFT) {
		*ret = v;
		return 0;
	}
	/* A header that is just being written looks like a torn one. */
	if (!disk->unlocked)
		r = coffer_lock_metadata(disk->dev, false, &lock, e);
	if (r == 0)
		r = collect(&s, disk, e);
	if (r < 0)
		return coffer_err_wrap(e, r, "look for what an interruption has left");
	*ret = v;
	return 0;
}
