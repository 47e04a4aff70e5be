/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* used.c - find out what is used before a conversion begins, and put it into the new header */
#include "convert/used.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "convert/image.h"
#include "fs/fsmap.h"

/* A shorter gap of free bytes is moved with what surrounds it: one more request takes a disk about
 * as long. */
#define SHORT_GAP (UINT64_C(64) << 10)

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

int coffer_used_give_up(struct coffer_session *s, const char *why, struct coffer_err *e)
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

static int read_plain(void *arg, uint64_t x, uint8_t *buf, size_t n, struct coffer_err *e)
{
	return coffer_dev_read(arg, buf, n, x, e);
}

/* What lies after the filesystem's end is free, unless an explicit size says that it has content.
 */
static int add_after_end(struct coffer_fsmap *f, const struct coffer_preflight *g)
{
	if (g->o->device_size)
		return 0;
	return coffer_ranges_add(&f->free, g->fs.end, g->geometry.length, NULL);
}

/* The map of what the filesystem reports. The source of the fingerprint always counts as used: the
 * content of a free byte would be lost, and the fingerprint with it. */
static int make_map(
	struct coffer_fsmap *f, const struct coffer_preflight *g, struct coffer_used_map **ret)
{
	_cleanup_used_map_ struct coffer_used_map *map = NULL;
	int r;

	r = add_after_end(f, g);
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
	return coffer_fingerprint(m, read_plain, s->dev, m->fingerprint, e);
}

void coffer_used_report(const struct coffer_stored_map *m, struct coffer_encrypt_result *ret)
{
	ret->used_only = true;
	ret->used = coffer_used_map_bytes(m->map, 0, m->map->length);
	ret->free_space = (enum coffer_free_space)m->free_space;
}

/* @why has the reason against a used map. */
static int read_fsmap(struct coffer_session *s, const struct coffer_preflight *g, bool may_mount,
	struct coffer_fsmap *f, struct coffer_err *why)
{
	const int r = coffer_fsmap_read(
		s->dev, &g->fs, may_mount && geteuid() == 0 && s->dev->fd >= 0, f, why);

	if (r == 0 && f->prints.n == 0)
		return coffer_err_set(why, EOPNOTSUPP, "its later use could not be detected");
	return r;
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
		return coffer_used_give_up(s, "unrecognized content", e);
	r = read_fsmap(s, g, may_mount, &f, &why);
	if (r == -ENOMEM)
		return coffer_err_errno(e, ENOMEM, "read the used blocks");
	if (r < 0) {
		(void)coffer_err_wrap(&why, r, "%s", coffer_fs_name(g->fs.kind));
		return coffer_used_give_up(s, why.msg, e);
	}
	r = make_stored(s, g, &f, e);
	if (r < 0)
		return r;
	coffer_used_report(s->own.stored, s->result);
	return 0;
}

int coffer_used_confirm(struct coffer_session *s, struct coffer_err *e)
{
	uint8_t now[COFFER_SHA256_SIZE];
	int r;

	if (!s->own.stored)
		return 0;
	r = coffer_fingerprint(s->own.stored, read_plain, s->dev, now, e);
	if (r < 0 || memcmp(now, s->own.stored->fingerprint, sizeof(now)) == 0)
		return r;
	r = coffer_err_refuse(e, EBUSY,
		"%s: its filesystem was used while this run prepared; nothing was changed",
		s->dev->name);
	return coffer_err_id(e, r, COFFER_FINDING_CHANGED);
}

/* --- into the new header -------------------------------------------------------------------- */

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
		return coffer_used_give_up(s,
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
	coffer_used_report(m, s->result);
	if (pwrite(fd, buf, size, (off_t)at) != (ssize_t)size)
		return coffer_err_set(e, EIO, "write the new header in memory");
	return 0;
}
