/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* used_load.c - the used map that lies on the disk: believe it, make it void, erase it */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "convert/fingerprint.h"
#include "convert/image.h"
#include "convert/used.h"
#include "convert/volume.h"
#include "luks2/locks.h"

enum {
	PIECE = 1 << 20
};

/* What lies in the room behind the keyslots area. */
struct found {
	uint64_t at, room; /* where, and the bytes up to S; room 0: there is none */
	bool trace;	   /* something with the map's magic lies there */
	bool whole;	   /* and it can be read; it may say of itself that it is void */
	uint64_t size;	   /* bytes of it, as far as it tells, else all of the room */
	struct coffer_stored_map *map; /* if whole */
	uint8_t *bytes;		       /* likewise: @size of them */
};

static void found_free(struct found *f)
{
	coffer_stored_map_free(f->map);
	free(f->bytes);
}
#define _cleanup_found_ _cleanup_(found_free)

/* All of it, of which the first block told the size. */
static int read_map(struct coffer_session *s, struct found *f, struct coffer_err *e)
{
	int r;

	f->bytes = coffer_dev_buffer(f->size);
	f->map = calloc(1, sizeof(*f->map));
	if (!f->bytes || !f->map)
		return coffer_err_errno(e, ENOMEM, "read the map of what is used");
	for (uint64_t at = 0; at < f->size; at += PIECE) {
		r = coffer_dev_read(
			s->dev, f->bytes + at, min_u64(PIECE, f->size - at), f->at + at, e);
		if (r < 0)
			return r;
	}
	r = coffer_stored_map_decode(f->bytes, f->size, f->map);
	f->whole = r == 0;
	if (r == 0 || r == -EBADMSG)
		return 0;
	return coffer_err_errno(e, -r, "read the map of what is used");
}

static int find_map(struct coffer_session *s, struct found *f, struct coffer_err *e)
{
	const struct coffer_geometry *g = &s->disk.facts.conversion.geometry;
	_cleanup_free_ uint8_t *block = coffer_dev_buffer(COFFER_BLOCK);
	const struct coffer_header *h = s->disk.header;
	int r;

	if (!block)
		return coffer_err_errno(e, ENOMEM, "read the map of what is used");
	if (coffer_used_map_place(h->json, h->copy_size, g->shift, &f->at) < 0 ||
		f->at + COFFER_BLOCK > g->shift)
		return 0;
	f->room = g->shift - f->at;
	r = coffer_dev_read(s->dev, block, COFFER_BLOCK, f->at, e);
	if (r < 0)
		return r;
	f->trace = coffer_stored_map_trace(block);
	if (!f->trace)
		return 0;
	if (coffer_stored_map_peek(block, &f->size) < 0 || f->size > f->room) {
		f->size = f->room;
		return 0;
	}
	return read_map(s, f, e);
}

/* --- is it to be believed? ---------------------------------------------------------------------
 */

static int read_converting(void *arg, uint64_t x, uint8_t *buf, size_t n, struct coffer_err *e)
{
	return coffer_volume_read(arg, x, buf, n, e);
}

/* As the volume shows them: some bytes moved, some in place, some decrypted. */
static int is_unused_since(struct coffer_session *s, const struct coffer_stored_map *m, bool *ret,
	struct coffer_err *e)
{
	_cleanup_volume_ struct coffer_volume v = {0};
	uint8_t now[COFFER_SHA256_SIZE];
	struct coffer_mapping map;
	int r;

	coffer_mapping_converting(&s->disk.facts.conversion, s->dev->size, &map);
	/* Whoever used the volume wrote to the disk below this device's cache. */
	coffer_dev_forget(s->dev, 0, s->dev->size);
	r = coffer_volume_open(s->dev, &map, s->own.key, &v, e);
	if (r == 0)
		r = coffer_fingerprint(m, read_converting, &v, now, e);
	if (r == 0)
		*ret = memcmp(now, m->fingerprint, sizeof(now)) == 0;
	return r;
}

static bool same_geometry(const struct coffer_geometry *a, const struct coffer_geometry *b)
{
	return a->device == b->device && a->shift == b->shift && a->length == b->length &&
	       a->sector_size == b->sector_size;
}

/* Is what lies there the very map that this run has put there? */
static bool is_own(const struct coffer_stored_map *own, const struct found *f)
{
	const uint64_t size = coffer_stored_map_size(own->n_prints, own->map->n);
	_cleanup_free_ uint8_t *buf = malloc(size);

	return buf && size == f->size && coffer_stored_map_encode(own, buf) == 0 &&
	       memcmp(buf, f->bytes, size) == 0;
}

/* *@ret_why: the first reason against it; NULL: it is good. */
static int judge_map(
	struct coffer_session *s, const struct found *f, const char **ret_why, struct coffer_err *e)
{
	bool unused = true;
	int r = 0;

	*ret_why = NULL;
	if (!f->trace)
		*ret_why = "its header keeps no map of what is used";
	else if (!f->whole)
		*ret_why = "the map of what is used is damaged";
	else if (strcmp(f->map->uuid, s->disk.header->uuid) != 0)
		*ret_why = "the map of what is used is another volume's";
	else if (f->map->void_)
		*ret_why = "the map of what is used was made void by an earlier run";
	else if (!same_geometry(&f->map->geometry, &s->disk.facts.conversion.geometry))
		*ret_why = "the map of what is used is of another layout";
	else if (s->own.stored && !is_own(s->own.stored, f))
		*ret_why = "the map of what is used is not the one that was written";
	else if (!s->own.stored)
		r = is_unused_since(s, f->map, &unused, e);
	if (!unused)
		*ret_why = "the filesystem was used after the map of what is used was made";
	return r;
}

/* --- what becomes of it ------------------------------------------------------------------------
 */

/* What can be said of the free space that earlier runs have passed: nothing was, as long as no step
 * is committed; and of a map that cannot be read the least. */
static enum coffer_free_space passed_with(const struct coffer_session *s, const struct found *f)
{
	const struct coffer_conversion *c = &s->disk.facts.conversion;

	if (!f->trace || c->pointer == c->geometry.length)
		return COFFER_FREE_DEFAULT;
	if (!f->whole || f->map->free_space >= COFFER_N_FREE_SPACE)
		return COFFER_FREE_KEEP;
	return (enum coffer_free_space)f->map->free_space;
}

/* What this run may say of that, if it does not discard it itself. A discard comes after the
 * commit: the run that was cut may have owed its last one, which may be most of the disk, or the
 * device may have taken none. */
static enum coffer_free_space can_be_told(enum coffer_free_space passed)
{
	return passed == COFFER_FREE_DISCARD ? COFFER_FREE_KEEP : passed;
}

/* A block over the first one of the map, durable. Nobody else writes behind the keyslots area;
 * stock tools are kept from the header while we do. */
static int write_first_block(
	struct coffer_session *s, const struct found *f, const uint8_t *block, struct coffer_err *e)
{
	_cleanup_free_ uint8_t *buf = coffer_dev_buffer(COFFER_BLOCK);
	_cleanup_lock_ struct coffer_lock *lock = NULL;
	int r;

	if (!buf)
		return coffer_err_errno(e, ENOMEM, "change the map of what is used");
	memcpy(buf, block, COFFER_BLOCK);
	r = coffer_lock_metadata(s->dev, true, &lock, e);
	if (r < 0)
		return r;
	s->changed = true;
	r = coffer_dev_write(s->dev, buf, COFFER_BLOCK, f->at, e);
	return r < 0 ? r : coffer_dev_flush(s->dev, e);
}

static int make_void(struct coffer_session *s, const struct found *f, struct coffer_err *e)
{
	uint8_t block[COFFER_BLOCK];

	if (!f->trace || (f->whole && f->map->void_))
		return 0;
	if (coffer_stored_map_encode_void(s->disk.header->uuid, passed_with(s, f), f->size, block) <
		0)
		return coffer_err_set(e, EIO, "libcrypto failed to hash");
	return coffer_err_wrap(
		e, write_first_block(s, f, block, e), "make the map of what is used void");
}

/* Go by the map. A policy that is weaker than the one it was begun with is noted on the disk before
 * any byte is passed with it: a later run must not promise more than was done. */
static int follow(struct coffer_session *s, struct found *f, struct coffer_err *e)
{
	const enum coffer_free_space passed = passed_with(s, f);
	struct coffer_stored_map *m = f->map;
	enum coffer_free_space now = s->o->free_space, weakest;
	int r = 0;

	if (now == COFFER_FREE_DEFAULT)
		now = (enum coffer_free_space)m->free_space;
	if (now <= COFFER_FREE_DEFAULT || now >= COFFER_N_FREE_SPACE)
		now = COFFER_FREE_KEEP;
	/* The names are in the order of what they protect. */
	weakest = passed != COFFER_FREE_DEFAULT && passed < now ? passed : now;
	if (weakest != (enum coffer_free_space)m->free_space) {
		m->free_space = weakest;
		if (coffer_stored_map_encode(m, f->bytes) < 0)
			return coffer_err_set(e, EIO, "libcrypto failed to hash");
		/* Only its first sector differs from what is there, and one that is torn in itself
		 * is a damaged map: then everything counts. */
		r = write_first_block(s, f, f->bytes, e);
	}
	if (r < 0)
		return coffer_err_wrap(e, r, "change the map of what is used");
	m->free_space = now;
	m->map->fill = now == COFFER_FREE_FILL;
	coffer_stored_map_free(s->own.stored);
	s->own.stored = TAKE_PTR(f->map);
	s->result->used_only = true;
	s->result->used = coffer_used_map_bytes(s->own.stored->map, 0, s->own.stored->map->length);
	/* A discard begins with what earlier runs have passed, so it is true of all. */
	s->result->free_space = now == COFFER_FREE_DISCARD ? now : can_be_told(weakest);
	return 0;
}

/* A placement that was cut while it erased its record may have left a part of the image, whose
 * keyslots would open the disk for ever. Where everything is moved the first steps overwrite the
 * gap; with a map they may pass it. Nothing lies there before the first commit: neither the
 * filesystem, which ends below, nor ciphertext that counts. */
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
	const bool own = s->own.stored != NULL;
	_cleanup_found_ struct found f = {0};
	enum coffer_free_space passed;
	const char *why = NULL;
	int r;

	r = find_map(s, &f, e);
	if (r == 0 && s->o->used_only != COFFER_USED_NO)
		r = judge_map(s, &f, &why, e);
	if (r < 0)
		return r;
	if (s->o->used_only != COFFER_USED_NO && !why) {
		r = follow(s, &f, e);
		if (r == 0 && !own && c->pointer == c->geometry.length)
			r = clear_gap(s, e);
		return r;
	}
	passed = passed_with(s, &f);
	r = coffer_used_give_up(s, why, e);
	if (r < 0)
		return r;
	s->result->free_space = can_be_told(passed);
	return make_void(s, &f, e);
}

int coffer_used_void(struct coffer_session *s, struct coffer_err *e)
{
	_cleanup_found_ struct found f = {0};
	int r;

	r = find_map(s, &f, e);
	return r < 0 ? r : make_void(s, &f, e);
}

int coffer_used_erase(struct coffer_session *s, struct coffer_err *e)
{
	_cleanup_found_ struct found f = {0};
	int r;

	r = find_map(s, &f, e);
	if (r < 0 || !f.trace)
		return r;
	if (s->result->free_space == COFFER_FREE_DEFAULT)
		s->result->free_space = can_be_told(passed_with(s, &f));
	/* Between keyslots area and S nothing else lies, and no byte is left to be moved. */
	return coffer_dev_zero(s->dev, f.at, f.size, e);
}
