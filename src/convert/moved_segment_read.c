/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* moved_segment_read.c - collect the facts of the moved-segment check */
#include "convert/moved_segment.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/quote.h"
#include "convert/disk.h"
#include "convert/image.h"
#include "convert/stored_map.h"
#include "fs/signatures.h"
#include "luks2/copy.h"
#include "luks2/keyslots.h"
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
	uint8_t *buf; /* 2 * PIECE */
	bool ours;    /* block 0 has a transition block: coffer's placement */
	struct coffer_moved_segment *v;
};

/* The filesystem that begins at byte @off; false when there is none that makes sense. */
static int read_fs(
	struct search *s, uint64_t off, struct coffer_fs *ret, bool *found, struct coffer_err *e)
{
	int r;

	*found = false;
	if (off + COFFER_SUPERBLOCK_BYTES > s->dev->size || off % COFFER_SECTOR)
		return 0;
	r = coffer_dev_read(s->dev, s->buf, COFFER_SUPERBLOCK_BYTES, off, e);
	if (r < 0)
		return r;
	*found = coffer_superblock_read(s->buf, COFFER_SUPERBLOCK_BYTES, ret, NULL) == 0 &&
		 ret->kind != COFFER_FS_NONE;
	return 0;
}

static bool same_fs(const struct coffer_fs *a, const struct coffer_fs *b)
{
	return a->kind == b->kind && memcmp(a->uuid, b->uuid, sizeof(a->uuid)) == 0;
}

/* --- [0,S) against the copy ------------------------------------------------------------------- */

/* The sector at byte @at, and what the copy has of it. */
typedef void (*visit)(struct search *s, const uint8_t *sector, const uint8_t *in_copy, uint64_t at);

/* Visit the sectors of [@from, @to). */
static int visit_sectors(
	struct search *s, uint64_t from, uint64_t to, visit each, struct coffer_err *e)
{
	uint8_t *now = s->buf, *copy = s->buf + PIECE;

	for (uint64_t at = from; at < to; at += PIECE) {
		const size_t n = min_u64(PIECE, to - at);
		const int r = coffer_segment_read(s->dev, &s->v->geometry, at, n, now, copy, e);

		if (r < 0)
			return r;
		for (size_t k = 0; k < n; k += COFFER_SECTOR)
			each(s, now + k, copy + k, at + k);
	}
	return 0;
}

static bool same_sector(const uint8_t *a, const uint8_t *b)
{
	return memcmp(a, b, COFFER_SECTOR) == 0;
}

static void count_trace(
	struct search *s, const uint8_t *sector, const uint8_t *in_copy, uint64_t at)
{
	if (!same_sector(sector, in_copy))
		s->v->traces += coffer_is_header_trace(sector, at, &s->v->copy_size);
}

/* In the two blocks where a header copy of each size would begin. */
static int find_traces(struct search *s, struct coffer_err *e)
{
	uint64_t at = 0;
	int r;

	s->v->copy_size = COFFER_LUKS2_MIN_COPY;
	do {
		r = visit_sectors(s, at, min_u64(at + 2 * COFFER_LUKS2_BIN, s->v->geometry.shift),
			count_trace, e);
		if (r < 0)
			return r;
	} while (coffer_luks2_next_copy_size(&at));
	return 0;
}

/* Could a header's write have left this sector? The size of its copies is in its first bytes, which
 * may not have arrived. */
static bool may_be_header(const struct search *s, const uint8_t *sector, uint64_t at)
{
	return s->v->traces > 0 ? coffer_looks_like_header(sector, at, s->v->copy_size, s->ours)
				: coffer_may_be_header(sector, at, s->ours);
}

/* The first step writes to the gap, each later one to the S bytes below: before one writes into the
 * filesystem, everything from its first byte after the filesystem's end up to the moved-segment
 * copy is ciphertext. If one sector there cannot be, all of the filesystem from S on is in its
 * place and plain. A plain sector further down proves nothing: the step may have been interrupted
 * before it. */
static int check_unconverted(struct search *s, struct coffer_err *e)
{
	const struct coffer_geometry *g = &s->v->geometry;
	const uint64_t gap = coffer_gap_offset(g), end = coffer_segment_copy_offset(g);
	const uint64_t spare = gap - s->v->fs.end; /* S need not be a power of two */

	for (uint64_t at = round_down_u64(gap - (spare - spare % g->shift), COFFER_SECTOR);
		at < end; at += PIECE) {
		const size_t n = round_down_u64(min_u64(PIECE, end - at), COFFER_SECTOR);
		const int r = coffer_dev_read(s->dev, s->buf, n, at, e);

		if (r < 0)
			return r;
		for (size_t k = 0; k < n; k += COFFER_SECTOR)
			if (!coffer_looks_random(s->buf + k, COFFER_SECTOR)) {
				s->v->unconverted = true;
				return 0;
			}
	}
	return 0;
}

/* Both header copies and the first keyslot, which follows them, are written at once. If a sector
 * there is still the moved segment's, this write did not reach it, and nothing was done after it.
 * The first two sectors do not count: a boot loader's. Nor do zeros in a header copy, which has
 * zeros itself. */
static bool is_unreached(const struct coffer_moved_segment *v, const uint8_t *sector, uint64_t at)
{
	const uint64_t end = 2 * v->copy_size + FIRST_KEYSLOT;

	return v->traces > 0 && end <= v->geometry.shift && at >= 1024 && at < end &&
	       (at >= 2 * v->copy_size || !bytes_are_zero(sector, COFFER_SECTOR));
}

static void compare_sector(
	struct search *s, const uint8_t *sector, const uint8_t *in_copy, uint64_t at)
{
	struct coffer_moved_segment *v = s->v;
	bool may_be;

	if (same_sector(sector, in_copy)) {
		v->unconverted = v->unconverted || is_unreached(v, sector, at);
		return;
	}
	v->different++;
	may_be = may_be_header(s, sector, at);
	v->may_be_header += may_be;
	/* A sector that a header's write may have reached does not prove use. */
	if (v->same_fs && at >= v->fs.super && at < v->fs.super + v->fs.super_size && !may_be)
		v->used = true;
	/* With a transition block it is the placement's own: no step began. */
	v->used_map = v->used_map || (!s->ours && coffer_stored_map_trace(sector));
	if (!coffer_looks_like_header(sector, at, v->copy_size, true))
		*(at < v->header_end ? &v->unsaved : &v->unsaved_beyond) += 1;
	v->unlike_header += !coffer_looks_like_header(sector, at, v->copy_size, s->ours);
}

/* Does a record of coffer have the hash of the first S bytes? Then coffer was interrupted while it
 * made the copy, or while it erased it after an abort: they are complete even if the copy is not.
 * A record of an older try has another hash. */
static int check_saved(struct search *s, const struct coffer_geometry *g, struct coffer_err *e)
{
	struct coffer_record rec;
	bool found;
	int r;

	s->v->saved = false;
	r = coffer_record_read(
		s->dev, coffer_record_offset(g, COFFER_RECORD_SAVE), &rec, &found, e);
	if (r < 0 || !found || !coffer_geometry_same_places(&rec.geometry, g) ||
		(rec.kind != COFFER_RECORD_SAVE && rec.kind != COFFER_RECORD_UNDO))
		return r;
	return coffer_dev_check_hash(s->dev, 0, g->shift, rec.segment_hash, &s->v->saved, e);
}

/* Is there a copy at D-S, of a filesystem that ends at D-2S or before? */
static int try_copy(struct search *s, const struct coffer_geometry *g, struct coffer_err *e)
{
	struct coffer_moved_segment v = {.has_copy = true, .geometry = *g};
	struct coffer_fs mirror;
	bool found;
	int r;

	r = check_saved(s, g, e);
	if (r < 0)
		return r;
	r = read_fs(s, coffer_segment_copy_offset(g), &v.fs, &found, e);
	if (r < 0 || !found || v.fs.spare || v.fs.end > coffer_gap_offset(g))
		return r;
	v.has_plain = s->v->has_plain;
	v.plain = s->v->plain;
	v.same_fs = v.has_plain && same_fs(&v.plain, &v.fs);
	v.saved = s->v->saved;
	v.header_end = s->v->header_end;
	r = read_fs(s, v.fs.mirror, &mirror, &found, e);
	if (r < 0)
		return r;
	v.mirror_agrees = found && same_fs(&mirror, &v.fs);
	*s->v = v;
	r = find_traces(s, e);
	if (r < 0)
		return r;
	r = check_unconverted(s, e);
	return r < 0 ? r : visit_sectors(s, 0, g->shift, compare_sector, e);
}

/* --- a disk without a header ------------------------------------------------------------------ */

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
	uint64_t n = 0, complete = 0; /* a record proves that so many bytes are complete */

	for (uint64_t mib = 1; mib <= MAX_MIB; mib = mib < MAX_STEP_MIB ? mib + 1 : mib * 2) {
		const uint64_t shift = mib << 20;
		const struct coffer_geometry g = {.device = s->dev->size,
			.shift = shift,
			.length = s->dev->size - 2 * shift,
			.sector_size = COFFER_SECTOR};
		int r;

		if (s->dev->size / 3 < shift)
			break;
		s->v->has_copy = false;
		r = try_copy(s, &g, e);
		if (r < 0)
			return r;
		if (s->v->saved)
			complete = shift;
		if (s->v->has_copy && (n++ == 0 || weight(s->v) > weight(&best)))
			best = *s->v;
	}
	/* A larger copy may overwrite the record of a smaller one, before its own begins. */
	best.saved = best.has_copy && complete >= best.geometry.shift;
	best.several = n > 1;
	*s->v = best;
	return 0;
}

/* The record of a placement that was interrupted before its transition block. Only if the
 * filesystem that is there now does not reach into the reserve. */
static int search_record(struct search *s, struct coffer_err *e)
{
	struct coffer_moved_segment *v = s->v;

	for (uint64_t shift = COFFER_MIN_SHIFT; shift <= ((uint64_t)MAX_MIB << 20); shift *= 2) {
		struct coffer_record rec;
		bool found;
		int r;

		if (s->dev->size / 3 < shift)
			break;
		r = coffer_record_read(s->dev, s->dev->size - 2 * shift, &rec, &found, e);
		if (r < 0)
			return r;
		if (found && rec.kind == COFFER_RECORD_PLACE &&
			rec.geometry.device == s->dev->size && rec.geometry.shift == shift &&
			v->has_plain && v->plain.end <= coffer_gap_offset(&rec.geometry)) {
			v->has_stale_record = true;
			v->stale = rec;
		}
	}
	return 0;
}

/* Is there, in [@from, @end), a backup superblock whose place does not depend on a superblock? ext4
 * has one for each block size, btrfs one. */
static int find_spare(
	struct search *s, uint64_t from, uint64_t end, bool *ret, struct coffer_err *e)
{
	static const uint64_t places[] = {UINT64_C(8193) * 1024 - 1024,
		UINT64_C(16384) * 2048 - 1024, UINT64_C(32768) * 4096 - 1024,
		(UINT64_C(64) << 20) - (64 << 10)};

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		struct coffer_fs fs;
		bool found;
		int r;

		if (places[i] < from || places[i] + COFFER_SUPERBLOCK_BYTES > end)
			continue;
		r = read_fs(s, places[i], &fs, &found, e);
		if (r < 0)
			return r;
		if (found && fs.mirror == places[i] && fs.end <= end) {
			*ret = true;
			s->v->fs = fs;
		}
	}
	return 0;
}

/* --- a usable header, and no step committed --------------------------------------------------- */

static void note_torn_keyslot(
	struct search *s, const uint8_t *sector, const uint8_t *in_copy, uint64_t at)
{
	(void)at;
	if (same_sector(sector, in_copy) || !coffer_looks_random(sector, COFFER_SECTOR))
		s->v->keyslot_torn = true;
}

/* A keyslot opens nothing unless all of its bytes are there. They are random, and never equal to
 * the moved segment's: a sector that is equal, or that is not random, is one that cryptsetup's
 * interrupted write did not reach. */
static int check_keyslot(struct search *s, const struct coffer_keyslot *k, struct coffer_err *e)
{
	const uint64_t shift = s->v->geometry.shift, n = round_down_u64(k->material, COFFER_SECTOR);

	if (strcmp(k->type, "luks2") != 0 || k->offset % COFFER_SECTOR || k->offset >= shift ||
		n > shift - k->offset)
		return 0;
	return visit_sectors(s, k->offset, k->offset + n, note_torn_keyslot, e);
}

/* No filesystem that coffer reads lies where the copy must be. Another may: cryptsetup encrypts any
 * content. */
static int check_copy_lost(struct search *s, struct coffer_err *e)
{
	const struct coffer_geometry *g = &s->v->geometry;
	struct coffer_content content = {0};
	int r;

	r = find_spare(s, g->shift, g->length, &s->v->copy_lost, e);
	if (r < 0 || s->v->copy_lost || s->dev->fd < 0) /* libblkid wants a descriptor */
		return r;
	coffer_dev_set_direct(s->dev, false);
	r = coffer_signatures_read(s->dev, coffer_segment_copy_offset(g), g->shift, &content, e);
	s->v->copy_unknown = r == 0 && !content.type[0] && !content.partitions[0];
	return r;
}

static int check_placed(struct search *s, const struct coffer_disk *disk, struct coffer_err *e)
{
	const struct coffer_geometry *g = &disk->facts.conversion.geometry;
	struct coffer_keys keys;
	int r;

	if (coffer_used_map_place(
		    disk->header->json, disk->header->copy_size, g->shift, &s->v->header_end) < 0)
		s->v->header_end = g->shift;
	r = try_copy(s, g, e);
	if (r < 0)
		return r;
	s->v->unconverted = true; /* the header says so */
	s->v->geometry = *g;
	/* coffer saves any content, and verifies the copy. */
	r = coffer_image_is_placed(s->dev, disk->header, g, &s->v->own, e);
	if (r < 0 || (s->v->own && !s->v->has_copy))
		return r;
	if (!s->v->has_copy)
		return check_copy_lost(s, e);
	/* Where cryptsetup's write did not arrive, the moved segment is in its place, and the copy
	 * must have it as well: what it lacks there it may lack elsewhere. */
	coffer_keys_read(disk->header->json, &keys);
	for (size_t i = 0; i < keys.n_slots; i++) {
		r = check_keyslot(s, &keys.slots[i], e);
		if (r < 0)
			return r;
	}
	return 0;
}

/* --- all of it -------------------------------------------------------------------------------- */

static int collect(struct search *s, const struct coffer_disk *disk, struct coffer_err *e)
{
	const struct coffer_facts *f = &disk->facts;
	const struct coffer_conversion *c = &f->conversion;
	const bool start = disk->operation == COFFER_OP_START;
	const bool damaged = disk->operation == COFFER_OP_DAMAGED && f->header.newest < 0;
	const bool converting =
		f->header.newest >= 0 && f->kind_error == 0 && f->kind == COFFER_LUKS2_CONVERTING;
	int r;

	r = read_fs(s, 0, &s->v->plain, &s->v->has_plain, e);
	if (r < 0)
		return r;
	if (disk->operation == COFFER_OP_CONVERT && c->pointer == c->geometry.length)
		return check_placed(s, disk, e);
	if (damaged && f->transition_error == 0 && f->transition.geometry.device <= s->dev->size)
		return try_copy(s, &f->transition.geometry, e);
	if (!start && !damaged)
		return 0;
	r = converting && c->geometry.device <= s->dev->size ? try_copy(s, &c->geometry, e)
							     : search_copy(s, e);
	if (r < 0 || !start)
		return r;
	/* A late copy is late by one commit, and each step waits for both copies. */
	if (f->header.newest >= 0)
		s->v->unconverted = converting && c->pointer == c->geometry.length;
	r = search_record(s, e);
	if (r < 0 || s->v->has_plain || s->v->has_copy)
		return r;
	return find_spare(s, 0, s->dev->size, &s->v->start_lost, e);
}

int coffer_moved_segment_read(
	const struct coffer_disk *disk, struct coffer_moved_segment *ret, struct coffer_err *e)
{
	_cleanup_free_ uint8_t *buf = coffer_dev_buffer(2 * PIECE);
	_cleanup_lock_ struct coffer_lock *lock = NULL;
	struct coffer_moved_segment v = {0};
	struct search s = {
		.dev = disk->dev, .buf = buf, .ours = disk->facts.transition_error == 0, .v = &v};
	int r = 0;

	if (!buf)
		return coffer_err_errno(e, ENOMEM, "read %s", disk->dev->name);
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
		return coffer_err_wrap(e, r, "look for a moved-segment copy");
	*ret = v;
	return 0;
}

int coffer_moved_segment_refuse(
	const struct coffer_disk *disk, const struct coffer_moved_segment *v, struct coffer_err *e)
{
	const char *name = disk->dev->name;
	const bool start = disk->operation == COFFER_OP_START;
	struct coffer_moved_segment torn = *v;
	enum coffer_finding_id id;
	char why[512];
	int r;

	/* What is too little to undo the placement is enough not to write over the copy. */
	torn.several = false;
	torn.unconverted = true;
	if (start && !v->used_map && coffer_moved_segment_is_torn(&torn, why, sizeof(why))) {
		id = COFFER_FINDING_MOVED_SEGMENT_TORN;
	} else if (start && coffer_moved_segment_is_ambiguous(v, why, sizeof(why))) {
		id = COFFER_FINDING_MOVED_SEGMENT_AMBIGUOUS;
	} else if (v->keyslot_torn) {
		id = COFFER_FINDING_KEYSLOT;
		(void)snprintf(
			why, sizeof(why), "a keyslot of its header is torn: no key opens it");
	} else if (disk->operation == COFFER_OP_CONVERT &&
		   coffer_moved_segment_copy_is_incomplete(v, why, sizeof(why))) {
		id = COFFER_FINDING_MOVED_SEGMENT_COPY;
	} else {
		return 0;
	}
	r = coffer_err_needs_repair(e, EUCLEAN, "%s: %s; nothing was changed", name, why);
	(void)coffer_err_advise(e, r, "run %s", coffer_command("coffer repair --dry-run", name).s);
	return coffer_err_id(e, r, id);
}
