/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* image.c - a finished header in a memfd, as the extents that a placement will write */
#include "convert/image.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/err.h"
#include "convert/conversion.h"
#include "convert/moved_segment.h"
#include "convert/stored_map.h"
#include "io/dev.h"
#include "luks2/copy.h"
#include "luks2/reencrypt_digest.h"

static int read_memfd(int fd, void *buf, size_t n, uint64_t off, struct coffer_err *e)
{
	const ssize_t k = pread(fd, buf, n, (off_t)off);

	if (k != (ssize_t)n)
		return coffer_err_set(e, EIO, "read the new header in memory");
	return 0;
}

/* Insert in order of offsets. Areas never touch or overlap. */
static int add_extent(struct coffer_record *rec, uint64_t offset, uint64_t length)
{
	uint32_t i = rec->n_extents;

	if (i == COFFER_MAX_EXTENTS)
		return -E2BIG;
	for (; i > 0 && rec->extents[i - 1].offset > offset; i--)
		rec->extents[i] = rec->extents[i - 1];
	rec->extents[i] = (struct coffer_extent){offset, length};
	rec->n_extents++;
	rec->image_size += length;
	return 0;
}

/* The areas of all keyslots but that of the reencryption: with datashift nothing is ever in it. */
static int add_keyslots(struct coffer_record *rec, struct json_object *json)
{
	struct json_object *keyslots = coffer_json_object(json, "keyslots");
	uint64_t offset, size;
	const char *name;
	int r;

	for (size_t i = 0; i < coffer_json_length(keyslots); i++) {
		struct json_object *keyslot = coffer_json_member(keyslots, i, &name);
		struct json_object *area = coffer_json_object(keyslot, "area");
		const char *type = coffer_json_string(keyslot, "type");

		if (type && strcmp(type, "reencrypt") == 0)
			continue;
		if (coffer_json_u64s(area, "offset", &offset) < 0 ||
			coffer_json_u64s(area, "size", &size) < 0 || offset % COFFER_BLOCK ||
			size == 0 || size > COFFER_MAX_IMAGE)
			return -EBADMSG;
		r = add_extent(rec, offset, round_up_u64(size, COFFER_BLOCK));
		if (r < 0)
			return r;
	}
	return 0;
}

/* The first header copy in memfd @fd, judged intact, and its metadata. */
static int read_first_copy(int fd, uint64_t shift, struct coffer_luks2_bin *ret_bin,
	struct json_object **ret, struct coffer_err *e)
{
	_cleanup_free_ uint8_t *copy = coffer_dev_buffer(COFFER_LUKS2_MAX_COPY);
	const char *text;
	size_t text_size;
	int r;

	if (!copy)
		return coffer_err_errno(e, ENOMEM, "read the new header");
	r = read_memfd(fd, copy, COFFER_LUKS2_BIN, 0, e);
	if (r < 0)
		return r;
	r = coffer_luks2_bin_read(copy, 0, ret_bin);
	if (r < 0)
		return r;
	if (ret_bin->copy_size > shift / 2)
		return -EBADMSG;
	r = read_memfd(fd, copy, ret_bin->copy_size, 0, e);
	if (r < 0)
		return r;
	r = coffer_luks2_copy_check(copy, ret_bin, &text, &text_size);
	return r < 0 ? r : coffer_json_parse(text, text_size, ret);
}

int coffer_image_check(int fd, const struct coffer_geometry *g, const struct coffer_secret *key,
	struct coffer_err *e)
{
	_cleanup_json_ struct json_object *json = NULL;
	struct coffer_luks2_bin bin = {0};
	struct coffer_conversion c = {0};
	enum coffer_luks2_kind kind;
	int r;

	r = read_first_copy(fd, g->shift, &bin, &json, e);
	if (r < 0)
		return r;
	r = coffer_conversion_read(json, &kind, &c, e);
	if (r < 0)
		return r;
	if (kind != COFFER_LUKS2_CONVERTING)
		return -EOPNOTSUPP; /* @e has the reason */
	if (c.pointer != g->length || !coffer_geometry_equal(&c.geometry, g))
		return coffer_err_set(e, EBADMSG, "its layout is not the one asked for");
	return coffer_reencrypt_digest_verify(json, key->data, key->size, e);
}

int coffer_used_map_place(
	struct json_object *json, uint64_t copy_size, uint64_t shift, uint64_t *ret)
{
	uint64_t keyslots, at;

	if (coffer_json_u64s(coffer_json_object(json, "config"), "keyslots_size", &keyslots) < 0 ||
		!add_u64(keyslots, 2 * copy_size, &at) || at > shift)
		return -EBADMSG;
	*ret = round_up_u64(at, COFFER_BLOCK);
	return 0;
}

/* The used map, if there is one; *ret_at: where it is, or would be. */
static int add_used_map(
	int fd, struct json_object *json, struct coffer_record *rec, uint64_t *ret_at)
{
	uint8_t block[COFFER_BLOCK];
	uint64_t size;
	int r;

	r = coffer_used_map_place(json, rec->copy_size, rec->geometry.shift, ret_at);
	if (r < 0 || *ret_at + COFFER_BLOCK > rec->geometry.shift)
		return r;
	r = read_memfd(fd, block, sizeof(block), *ret_at, NULL);
	if (r < 0)
		return r;
	r = coffer_stored_map_peek(block, &size);
	if (r < 0)
		return r == -ENODATA ? 0 : r;
	return size > rec->geometry.shift - *ret_at ? -EBADMSG : add_extent(rec, *ret_at, size);
}

static int load_extents(
	int fd, struct coffer_record *rec, uint64_t *ret_used_map, struct coffer_err *e)
{
	_cleanup_json_ struct json_object *json = NULL;
	struct coffer_luks2_bin bin = {0};
	int r;

	r = read_first_copy(fd, rec->geometry.shift, &bin, &json, e);
	if (r == 0)
		r = add_extent(rec, 0, 2 * bin.copy_size);
	if (r == 0)
		r = add_keyslots(rec, json);
	memcpy(rec->uuid, bin.uuid, sizeof(rec->uuid));
	rec->seqid = bin.seqid;
	rec->copy_size = bin.copy_size;
	if (r == 0)
		r = add_used_map(fd, json, rec, ret_used_map);
	/* Some of these failures have no sentence of their own. */
	return coffer_err_wrap(e, r, "the new LUKS2 header");
}

int coffer_image_load(int fd, struct coffer_record *rec, uint8_t **ret, struct coffer_err *e)
{
	_cleanup_free_ uint8_t *image = NULL;
	uint64_t at = 0, map;
	int r;

	r = load_extents(fd, rec, &map, e);
	if (r < 0)
		return r;
	if (!coffer_image_fits(&rec->geometry, rec->image_size))
		return coffer_err_advise(e,
			coffer_err_set(e, E2BIG,
				"a header of %" PRIu64
				" bytes does not fit a data shift of %" PRIu64,
				rec->image_size, rec->geometry.shift),
			"use a larger --reduce-device-size");
	image = coffer_dev_buffer(rec->image_size);
	if (!image)
		return coffer_err_errno(e, ENOMEM, "read the new header");
	for (uint32_t i = 0; i < rec->n_extents; i++) {
		r = read_memfd(fd, image + at, rec->extents[i].length, rec->extents[i].offset, e);
		if (r < 0)
			return r;
		at += rec->extents[i].length;
	}
	if (coffer_sha256(image, rec->image_size, rec->image_hash) < 0)
		return coffer_err_set(e, EIO, "libcrypto failed to hash");
	*ret = TAKE_PTR(image);
	return 0;
}

int coffer_image_space(int fd, const struct coffer_geometry *g, char uuid[41], uint64_t *ret_at,
	uint64_t *ret_space, struct coffer_err *e)
{
	struct coffer_record rec = {.geometry = *g};
	uint64_t at, space = 0;
	int r;

	r = load_extents(fd, &rec, &at, e);
	if (r < 0)
		return r;
	if (at < g->shift && rec.n_extents < COFFER_MAX_EXTENTS)
		space = round_down_u64(g->shift - at, COFFER_BLOCK);
	while (space > 0 && !coffer_image_fits(g, rec.image_size + space))
		space -= COFFER_BLOCK;
	memcpy(uuid, rec.uuid, sizeof(rec.uuid));
	*ret_at = at;
	*ret_space = space;
	return 0;
}

static bool is_in_image(const struct coffer_record *rec, uint64_t at)
{
	for (uint32_t i = 0; i < rec->n_extents; i++)
		if (at >= rec->extents[i].offset &&
			at - rec->extents[i].offset < rec->extents[i].length)
			return true;
	return false;
}

int coffer_image_is_placed(struct coffer_dev *d, const struct coffer_header *h,
	const struct coffer_geometry *g, bool *ret, struct coffer_err *e)
{
	_cleanup_free_ uint8_t *buf = coffer_dev_buffer(COFFER_MIN_SHIFT);
	struct coffer_record rec = {.geometry = *g};

	*ret = false;
	if (!buf)
		return coffer_err_errno(e, ENOMEM, "read the header area of %s", d->name);
	/* More keyslots, or at other places, than coffer makes? */
	if (add_extent(&rec, 0, 2 * h->copy_size) < 0 || add_keyslots(&rec, h->json) < 0)
		return 0;
	for (uint64_t at = 0; at < g->shift; at += COFFER_MIN_SHIFT) {
		const size_t n = min_u64(COFFER_MIN_SHIFT, g->shift - at);
		const int r = coffer_dev_read(d, buf, n, at, e);

		if (r < 0)
			return r;
		for (size_t k = 0; k < n; k += COFFER_SECTOR)
			if (!is_in_image(&rec, at + k) && !coffer_may_be_used_map(buf + k))
				return 0;
	}
	*ret = true;
	return 0;
}
