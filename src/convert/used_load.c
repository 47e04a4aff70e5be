/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* used_load.c - the used map on the disk: follow it, make it void, erase it */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "convert/used.h"
#include "convert/volume.h"
#include "luks2/locks.h"

enum {
	PIECE = 1 << 20
};

static int read_converting(void *arg, uint64_t x, uint8_t *buf, size_t n, struct coffer_err *e)
{
	return coffer_volume_read(arg, x, buf, n, e);
}

/* The fingerprint, taken through the volume: some bytes moved, some in place, some decrypted. */
static int is_unused_since(const struct coffer_session *s, const struct coffer_stored_map *m,
	bool *ret, struct coffer_err *e)
{
	_cleanup_volume_ struct coffer_volume v = {0};
	uint8_t now[COFFER_SHA256_SIZE];
	struct coffer_mapping map;
	int r;

	coffer_mapping_converting(&s->disk.facts.conversion, s->dev->size, &map);
	/* A mapping of the volume writes to the disk below this device's cache. */
	coffer_dev_forget(s->dev, 0, s->dev->size);
	r = coffer_volume_open(s->dev, &map, s->own.key, &v, e);
	if (r < 0)
		return r;
	r = coffer_fingerprint(m, read_converting, &v, now, e);
	*ret = r == 0 && memcmp(now, m->fingerprint, sizeof(now)) == 0;
	return r;
}

/* Is it the very map that this run has put there? */
static bool is_own(const struct coffer_stored_map *own, const struct coffer_map_on_disk *f)
{
	const uint64_t size = coffer_stored_map_size(own->n_prints, own->map->n);
	_cleanup_free_ uint8_t *buf = malloc(size);

	return buf && size == f->size && coffer_stored_map_encode(own, buf) == 0 &&
	       memcmp(buf, f->bytes, size) == 0;
}

/* *ret_why: the first reason against the map; NULL: it may be followed. */
static int judge_map(const struct coffer_session *s, const struct coffer_map_on_disk *f,
	const char **ret_why, struct coffer_err *e)
{
	bool unused;
	int r;

	*ret_why = coffer_map_on_disk_objection(f, &s->disk);
	if (*ret_why)
		return 0;
	if (s->own.stored) {
		if (!is_own(s->own.stored, f))
			*ret_why = "the used map is not the one that was written";
		return 0;
	}
	r = is_unused_since(s, f->map, &unused, e);
	if (r == 0 && !unused)
		*ret_why = "the filesystem was used after the used map was made";
	return r;
}

/* How earlier runs have handled the unused blocks that they passed: DEFAULT as long as no step is
 * committed, and KEEP for a map that cannot be read. */
static enum coffer_free_space passed_with(
	const struct coffer_disk *disk, const struct coffer_map_on_disk *f)
{
	const struct coffer_conversion *c = &disk->facts.conversion;

	if (!f->trace || c->pointer == c->geometry.length)
		return COFFER_FREE_DEFAULT;
	if (!f->whole || f->map->free_space >= COFFER_N_FREE_SPACE)
		return COFFER_FREE_KEEP;
	return (enum coffer_free_space)f->map->free_space;
}

/* What this run may claim of that, if it does not discard them itself. A discard comes after the
 * commit: an interrupted run may owe its last one, which may be most of the disk, or the device may
 * have taken none. */
static enum coffer_free_space may_claim(enum coffer_free_space passed)
{
	return passed == COFFER_FREE_DISCARD ? COFFER_FREE_KEEP : passed;
}

/* Write @block over the first one of the map, durably. No other program writes between keyslots
 * area and S; the lock keeps stock tools from the header meanwhile. */
static int write_first_block(struct coffer_session *s, const struct coffer_map_on_disk *f,
	const uint8_t *block, struct coffer_err *e)
{
	_cleanup_lock_ struct coffer_lock *lock = NULL;
	int r;

	r = coffer_lock_metadata(s->dev, true, &lock, e);
	if (r < 0)
		return r;
	s->changed = true;
	r = coffer_dev_write(s->dev, block, COFFER_BLOCK, f->at, e);
	if (r == 0)
		r = coffer_dev_flush(s->dev, e);
	return coffer_err_wrap(e, r, "change the used map");
}

static int make_void(
	struct coffer_session *s, const struct coffer_map_on_disk *f, struct coffer_err *e)
{
	_cleanup_free_ uint8_t *block = coffer_dev_buffer(COFFER_BLOCK);

	if (!f->trace || (f->whole && f->map->void_))
		return 0;
	if (!block || coffer_stored_map_encode_void(
			      s->disk.header->uuid, passed_with(&s->disk, f), f->size, block) < 0)
		return coffer_err_errno(e, ENOMEM, "change the used map");
	return write_first_block(s, f, block, e);
}

/* Follow the map. A handling of unused blocks that is weaker than the one on the disk is written
 * there before any block is passed with it: a later run must not claim more than was done. */
static int follow(struct coffer_session *s, struct coffer_map_on_disk *f, struct coffer_err *e)
{
	const enum coffer_free_space passed = passed_with(&s->disk, f);
	struct coffer_stored_map *m = f->map;
	enum coffer_free_space now = s->o->free_space, weakest;
	int r;

	if (now == COFFER_FREE_DEFAULT)
		now = (enum coffer_free_space)m->free_space;
	if (now <= COFFER_FREE_DEFAULT || now >= COFFER_N_FREE_SPACE)
		now = COFFER_FREE_KEEP;
	/* The enum is in the order of what they protect. */
	weakest = passed != COFFER_FREE_DEFAULT && passed < now ? passed : now;
	if (weakest != (enum coffer_free_space)m->free_space) {
		m->free_space = weakest;
		if (coffer_stored_map_encode(m, f->bytes) < 0)
			return coffer_err_set(e, EIO, "libcrypto failed to hash");
		/* Only the first sector differs from what is there. If a power cut tears it, the
		 * map is damaged, and everything counts as used. */
		r = write_first_block(s, f, f->bytes, e);
		if (r < 0)
			return r;
	}
	m->free_space = now;
	m->map->fill = now == COFFER_FREE_FILL;
	coffer_stored_map_free(s->own.stored);
	s->own.stored = TAKE_PTR(f->map);
	coffer_used_report(s->own.stored, s->result);
	/* A run that discards begins with what earlier runs have passed, so it holds for all. */
	s->result->free_space = now == COFFER_FREE_DISCARD ? now : may_claim(weakest);
	return 0;
}

/* A placement that was interrupted while it erased its record may have left a part of the image,
 * whose keyslots would open the disk for ever. Without a map the first steps overwrite the gap;
 * with one they may pass it. Before the first commit it holds nothing that counts: the filesystem
 * ends below it, and no ciphertext is valid yet. */
static int clear_gap(struct coffer_session *s, struct coffer_err *e)
{
	const struct coffer_geometry *g = &s->disk.facts.conversion.geometry;
	_cleanup_free_ uint8_t *buf = coffer_dev_buffer(PIECE);
	int r = 0;

	if (!buf)
		return coffer_err_errno(e, ENOMEM, "clear the gap");
	for (uint64_t at = 0; at < g->shift && r == 0; at += PIECE) {
		const size_t n = min_u64(PIECE, g->shift - at);

		r = coffer_dev_read(s->dev, buf, n, coffer_gap_offset(g) + at, e);
		if (r < 0 || bytes_are_zero(buf, n))
			continue;
		s->changed = true;
		/* Durable with the commit that every run begins with. */
		r = coffer_dev_zero(s->dev, coffer_gap_offset(g) + at, n, e);
	}
	return coffer_err_wrap(e, r, "clear the gap");
}

int coffer_used_load(struct coffer_session *s, struct coffer_err *e)
{
	const struct coffer_conversion *c = &s->disk.facts.conversion;
	const bool wanted = s->o->used_only != COFFER_USED_NO, own = s->own.stored != NULL;
	_cleanup_map_on_disk_ struct coffer_map_on_disk f = {0};
	enum coffer_free_space passed;
	const char *why = NULL;
	int r;

	r = coffer_stored_map_read(&s->disk, &f, e);
	if (r < 0)
		return r;
	r = wanted ? judge_map(s, &f, &why, e) : 0;
	if (r < 0)
		return r;
	if (wanted && !why) {
		r = follow(s, &f, e);
		if (r < 0 || own || c->pointer < c->geometry.length)
			return r;
		return clear_gap(s, e);
	}
	passed = passed_with(&s->disk, &f);
	r = coffer_used_give_up(s, why, e);
	if (r < 0)
		return r;
	s->result->free_space = may_claim(passed);
	return make_void(s, &f, e);
}

int coffer_used_erase(struct coffer_session *s, struct coffer_err *e)
{
	_cleanup_map_on_disk_ struct coffer_map_on_disk f = {0};
	int r;

	r = coffer_stored_map_read(&s->disk, &f, e);
	if (r < 0 || !f.trace)
		return r;
	if (s->result->free_space == COFFER_FREE_DEFAULT)
		s->result->free_space = may_claim(passed_with(&s->disk, &f));
	/* Between keyslots area and S nothing else lies, and no byte is left to be moved. */
	return coffer_dev_zero(s->dev, f.at, f.size, e);
}
