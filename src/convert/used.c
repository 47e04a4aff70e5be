/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* used.c - the used map of a run: made, stored with the header, followed on a resume, erased */
#include "convert/used.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "convert/image.h"
#include "convert/volume.h"
#include "fs/fsmap.h"
#include "luks2/locks.h"

/* A shorter gap of free bytes is moved with what surrounds it: one more request takes a disk about
 * as long. */
#define SHORT_GAP (UINT64_C(64) << 10)

enum {
	PIECE = 1 << 20,
	LONG = 1 << 20, /* of a longer print the first bytes of each sector count */
	FIRST = 16
};

/* --- the fingerprint: the hash of what any use of a filesystem changes --- */

struct hasher {
	struct coffer_volume *v;
	uint64_t length; /* of the data */
	struct coffer_digest *digest;
	uint8_t *buf; /* PIECE */
};

/* One print, read in whole blocks: the volume's sectors may be larger than 512. A log of a GiB
 * would take longer to hash than much of the conversion takes. It is written in whole sectors, and
 * the first bytes of each change: xfs puts the number of the cycle there. */
static int add_print(struct hasher *h, struct coffer_range p, struct coffer_err *e)
{
	const bool is_long = p.end - p.start > LONG;

	while (p.start < p.end) {
		const uint64_t from = round_down_u64(p.start, COFFER_BLOCK);
		const size_t n = min_u64(
			PIECE, min_u64(round_up_u64(p.end, COFFER_BLOCK), h->length) - from);
		const uint64_t to = min_u64(from + n, p.end);
		uint8_t *bytes = h->buf + (p.start - from);
		size_t size = to - p.start;
		int r;

		r = coffer_volume_read(h->v, from, h->buf, n, e);
		if (r < 0)
			return r;
		if (is_long) {
			size = 0;
			for (uint64_t x = p.start; x < to; x += COFFER_SECTOR, size += FIRST)
				memmove(bytes + size, bytes + (x - p.start), FIRST);
		}
		if (coffer_digest_add(h->digest, bytes, size) < 0)
			return coffer_err_set(e, EIO, "libcrypto failed to hash");
		p.start = to;
	}
	return 0;
}

/* Of the prints of @m, in their order, as they are in the volume @v. */
static int take_fingerprint(const struct coffer_stored_map *m, struct coffer_volume *v,
	uint8_t ret[COFFER_SHA256_SIZE], struct coffer_err *e)
{
	_cleanup_free_ uint8_t *buf = coffer_dev_buffer(PIECE);
	_cleanup_digest_ struct coffer_digest *digest = NULL;
	struct hasher h = {.v = v, .length = m->geometry.length, .buf = buf};
	int r = 0;

	if (!buf)
		return coffer_err_errno(e, ENOMEM, "take the filesystem's fingerprint");
	if (coffer_digest_new("sha256", &digest) < 0)
		return coffer_err_set(e, EIO, "libcrypto failed to hash");
	h.digest = digest;
	for (size_t i = 0; i < m->n_prints && r == 0; i++)
		r = add_print(&h, m->prints[i], e);
	if (r < 0)
		return coffer_err_wrap(e, r, "take the filesystem's fingerprint");
	if (coffer_digest_end(TAKE_PTR(digest), ret, NULL) < 0)
		return coffer_err_set(e, EIO, "libcrypto failed to hash");
	return 0;
}

/* Is it that of @m still? */
static int check_fingerprint(
	const struct coffer_stored_map *m, struct coffer_volume *v, bool *ret, struct coffer_err *e)
{
	uint8_t now[COFFER_SHA256_SIZE];
	const int r = take_fingerprint(m, v, now, e);

	*ret = r == 0 && memcmp(now, m->fingerprint, sizeof(now)) == 0;
	return r;
}

/* --- before a conversion --- */

static void use_all(struct coffer_session *s, const char *why)
{
	struct coffer_encrypt_result *ret = s->result;

	coffer_stored_map_free(TAKE_PTR(s->own.stored));
	ret->used_only = false;
	ret->used = ret->data_size;
	ret->free_space = COFFER_FREE_DEFAULT;
	/* The first reason of a run is the one that led to the others. */
	if (why && !ret->all_because[0])
		(void)snprintf(ret->all_because, sizeof(ret->all_because), "%.250s", why);
}

/* Everything counts as used because of @why; NULL: the options ask for that. REFUSED where they ask
 * for used blocks only. */
static int give_up(struct coffer_session *s, const char *why, struct coffer_err *e)
{
	if (s->o->used_only == COFFER_USED_YES)
		return coffer_err_id(e,
			coffer_err_advise(e,
				coffer_err_refuse(e, EOPNOTSUPP,
					"%s: --used-only=yes is not possible: %s", s->dev->name,
					why),
				"--used-only=auto encrypts everything"),
			COFFER_FINDING_USED_ONLY);
	use_all(s, s->o->used_only == COFFER_USED_NO ? NULL : why);
	return 0;
}

/* The map of what the filesystem reports. The source of the fingerprint always counts as used: the
 * content of a free byte would be lost, and the fingerprint with it. */
static int make_map(
	struct coffer_fsmap *f, const struct coffer_preflight *g, struct coffer_used_map **ret)
{
	_cleanup_used_map_ struct coffer_used_map *map = NULL;
	int r = 0;

	/* What lies after the filesystem's end is free, unless an explicit size says that it has
	 * content. */
	if (!g->o->device_size)
		r = coffer_ranges_add(&f->free, g->fs.end, g->geometry.length, NULL);
	if (r < 0)
		return r;
	r = coffer_used_map_new(f->free.items, f->free.n, g->geometry.length, &map);
	if (r < 0)
		return r;
	r = coffer_used_map_add(map, f->fixed.items, f->fixed.n);
	if (r < 0)
		return r;
	r = coffer_used_map_add(map, f->prints.items, f->prints.n);
	if (r < 0)
		return r;
	coffer_used_map_coarsen(map, SHORT_GAP, SIZE_MAX);
	*ret = TAKE_PTR(map);
	return 0;
}

static int make_stored(struct coffer_session *s, const struct coffer_preflight *g,
	struct coffer_fsmap *f, struct coffer_err *e)
{
	struct coffer_stored_map *m = calloc(1, sizeof(*m));
	struct coffer_volume plain;
	int r;

	if (!m)
		return coffer_err_errno(e, ENOMEM, "read the used blocks");
	s->own.stored = m;
	m->geometry = g->geometry;
	m->free_space =
		s->o->free_space == COFFER_FREE_DEFAULT ? COFFER_FREE_KEEP : s->o->free_space;
	r = make_map(f, g, &m->map);
	if (r < 0)
		return coffer_err_errno(e, -r, "read the used blocks");
	m->map->fill = m->free_space == COFFER_FREE_FILL;
	m->prints = TAKE_PTR(f->prints.items);
	m->n_prints = f->prints.n;
	plain = coffer_volume_plain(s->dev, m->geometry.length);
	return take_fingerprint(m, &plain, m->fingerprint, e);
}

static void report(const struct coffer_stored_map *m, struct coffer_encrypt_result *ret)
{
	ret->used_only = true;
	ret->used = coffer_used_map_bytes(m->map, 0, m->map->length);
	ret->free_space = (enum coffer_free_space)m->free_space;
}

int coffer_used_find(struct coffer_session *s, const struct coffer_preflight *g, bool may_mount,
	struct coffer_err *e)
{
	_cleanup_(coffer_fsmap_reset) struct coffer_fsmap f = {0};
	struct coffer_err why = {0};
	int r;

	use_all(s, NULL);
	if (s->o->used_only == COFFER_USED_NO)
		return 0;
	if (g->fs.kind == COFFER_FS_NONE)
		return give_up(s, "unrecognized content", e);
	r = coffer_fsmap_read(
		s->dev, &g->fs, may_mount && geteuid() == 0 && s->dev->fd >= 0, &f, &why);
	if (r == 0 && f.prints.n == 0)
		r = coffer_err_set(&why, EOPNOTSUPP, "its later use could not be detected");
	if (r == -ENOMEM)
		return coffer_err_errno(e, ENOMEM, "read the used blocks");
	if (r < 0) {
		(void)coffer_err_wrap(&why, r, "%s", coffer_fs_name(g->fs.kind));
		return give_up(s, why.msg, e);
	}
	r = make_stored(s, g, &f, e);
	if (r < 0)
		return r;
	report(s->own.stored, s->result);
	return 0;
}

int coffer_used_confirm(struct coffer_session *s, struct coffer_err *e)
{
	struct coffer_volume plain;
	bool unused;
	int r;

	if (!s->own.stored)
		return 0;
	plain = coffer_volume_plain(s->dev, s->own.stored->geometry.length);
	r = check_fingerprint(s->own.stored, &plain, &unused, e);
	if (r < 0 || unused)
		return r;
	r = coffer_err_refuse(e, EBUSY,
		"%s: its filesystem was used while this run prepared; nothing was changed",
		s->dev->name);
	return coffer_err_id(e, r, COFFER_FINDING_CHANGED);
}

int coffer_used_store(struct coffer_session *s, int fd, struct coffer_err *e)
{
	struct coffer_stored_map *m = s->own.stored;
	_cleanup_free_ uint8_t *buf = NULL;
	uint64_t at, space, size;
	size_t fits;
	int r;

	if (!m)
		return 0;
	r = coffer_image_space(fd, &m->geometry, m->uuid, &at, &space, e);
	if (r < 0)
		return r;
	fits = coffer_stored_map_fits(space, m->n_prints);
	if (fits == 0)
		return give_up(s,
			"the header has no space for a used map (use a smaller "
			"--luks2-keyslots-size or a larger --reduce-device-size)",
			e);
	coffer_used_map_coarsen(m->map, 0, fits);
	size = coffer_stored_map_size(m->n_prints, m->map->n);
	buf = malloc(size);
	if (!buf)
		return coffer_err_errno(e, ENOMEM, "store the used map");
	if (coffer_stored_map_encode(m, buf) < 0)
		return coffer_err_set(e, EIO, "libcrypto failed to hash");
	report(m, s->result);
	if (pwrite(fd, buf, size, (off_t)at) != (ssize_t)size)
		return coffer_err_set(e, EIO, "write the new header in memory");
	return 0;
}

/* --- on a resume --- */

/* The fingerprint, taken through the volume: some bytes moved, some in place, some decrypted. */
static int is_unused_since(const struct coffer_session *s, const struct coffer_stored_map *m,
	bool *ret, struct coffer_err *e)
{
	_cleanup_volume_ struct coffer_volume v = {0};
	struct coffer_mapping map;
	int r;

	coffer_mapping_converting(&s->disk.facts.conversion, s->dev->size, &map);
	/* A mapping of the volume writes to the disk below this device's cache. */
	coffer_dev_forget(s->dev, 0, s->dev->size);
	r = coffer_volume_open(s->dev, &map, s->own.key, &v, e);
	return r < 0 ? r : check_fingerprint(m, &v, ret, e);
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
	if (!f->valid || f->map->free_space >= COFFER_N_FREE_SPACE)
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

	if (!f->trace || (f->valid && f->map->void_))
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
	report(s->own.stored, s->result);
	/* A run that discards begins with what earlier runs have passed, so it holds for all. */
	s->result->free_space = now == COFFER_FREE_DISCARD ? now : may_claim(weakest);
	return 0;
}

/* A placement that was interrupted while it erased its record may have left a part of the image,
 * whose keyslots would open the disk forever. Without a map the first steps overwrite the gap;
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
	r = give_up(s, why, e);
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
