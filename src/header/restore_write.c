/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* restore_write.c - the writes of a restore, in an order that a power cut cannot harm */
#include "header/restore.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "io/read_back.h"
#include "luks2/copy.h"

enum {
	PIECE = 1 << 20
};

static const char *metadata_of(const struct coffer_backup *b)
{
	return (const char *)b->image + COFFER_LUKS2_BIN; /* ends with a NUL, as was checked */
}

/* --- keyslots --- */

static uint64_t place_of(const struct coffer_restore *s, const struct coffer_area *a, bool interim)
{
	return interim && (s->order.moved >> a->slot & 1) ? s->order.interim[a->slot] : a->offset;
}

/* Write the keyslots @bits with one flush, and read them back. @interim: those that move go to
 * their interim place. */
static int write_slots(struct coffer_restore *s, uint32_t bits, bool interim, struct coffer_err *e)
{
	const struct coffer_areas *l = &s->backup.areas;
	int r = 0;

	if (!bits)
		return 0;
	s->result->changed = true;
	for (size_t i = 0; i < l->n && r == 0; i++)
		if (bits >> l->a[i].slot & 1)
			r = coffer_dev_write(s->dev, s->backup.image + l->a[i].offset, l->a[i].size,
				place_of(s, &l->a[i], interim), e);
	if (r == 0)
		r = coffer_dev_flush(s->dev, e);
	for (size_t i = 0; i < l->n && r == 0; i++)
		if (bits >> l->a[i].slot & 1)
			r = coffer_dev_compare(s->dev, s->backup.image + l->a[i].offset,
				l->a[i].size, place_of(s, &l->a[i], interim), e);
	return coffer_err_wrap(e, r, "keyslots");
}

/* --- outside of keyslots --- */

/* Find the next blocks before @end that belong to no keyslot: at *at or after it, at most PIECE
 * bytes. Returns their size; 0 at the end. */
static uint64_t next_unused(const struct coffer_areas *l, uint64_t end, uint64_t *at)
{
	uint64_t n = 0;

	while (*at < end && coffer_areas_touch(l, *at, COFFER_BLOCK))
		*at += COFFER_BLOCK;
	while (*at + n < end && n < PIECE && !coffer_areas_touch(l, *at + n, COFFER_BLOCK))
		n += COFFER_BLOCK;
	return n;
}

int coffer_restore_scan_unused(
	struct coffer_restore *s, bool erase, bool *ret_found, struct coffer_err *e)
{
	const struct coffer_backup *b = &s->backup;
	_cleanup_free_ uint8_t *buf = coffer_dev_buffer(PIECE);
	uint64_t at = 2 * b->copy_size, n;
	int r;

	*ret_found = false;
	if (!buf)
		return coffer_err_errno(e, ENOMEM, "read the keyslots of %s", s->dev->name);
	for (; (n = next_unused(&b->areas, b->info.image_size, &at)) > 0; at += n) {
		r = coffer_dev_read(s->dev, buf, n, at, e);
		if (r < 0)
			return r;
		if (bytes_are_zero(buf, n))
			continue;
		*ret_found = true;
		if (!erase)
			return 0;
		s->result->changed = true;
		memset(buf, 0, n);
		r = coffer_dev_write(s->dev, buf, n, at, e);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Erase the material of removed keyslots, and the interim copies: if an old header returns, it must
 * not open anything. */
static int erase_unused(struct coffer_restore *s, struct coffer_err *e)
{
	const uint64_t from = 2 * s->backup.copy_size;
	bool found;
	int r;

	r = coffer_restore_scan_unused(s, true, &found, e);
	if (r < 0 || !found)
		return coffer_err_wrap(e, r, "erase old keyslots");
	r = coffer_dev_flush(s->dev, e);
	coffer_dev_forget(s->dev, from, s->backup.info.image_size - from);
	if (r == 0)
		r = coffer_restore_scan_unused(s, false, &found, e);
	if (r == 0 && found)
		r = coffer_err_set(e, EIO, "%s: read-back mismatch", s->dev->name);
	return coffer_err_wrap(e, r, "erase old keyslots");
}

/* --- the header --- */

/* Read both copies back from the disk. */
static int check_copies(
	struct coffer_restore *s, const struct coffer_header *h, struct coffer_err *e)
{
	int r = 0;

	for (int i = 0; i < 2 && r == 0; i++) {
		r = coffer_dev_compare(s->dev, h->copy[i], h->copy_size, i ? h->copy_size : 0, e);
		r = coffer_err_wrap(e, r, "header copy %d", i + 1);
	}
	s->result->seqid = h->seqid;
	return r;
}

/* The keyslots that move are at free places now. Write a header that names these; once it is
 * durable no header uses the final places. */
static int write_interim(struct coffer_restore *s, struct coffer_err *e)
{
	_cleanup_json_ struct json_object *json = NULL;
	const char *text = metadata_of(&s->backup);
	int r;

	if (coffer_json_parse(text, strlen(text), &json) < 0 ||
		coffer_keyslot_move(json, &s->order) < 0 || !(text = coffer_json_text(json)))
		return coffer_err_errno(e, ENOMEM, "move keyslots");
	r = coffer_header_replace(s->dev, s->now.header, s->backup.image, text, s->seqid, e);
	if (r < 0)
		return coffer_err_wrap(e, r, "interim header");
	s->seqid++;
	return write_slots(s, s->order.moved, false, e);
}

static int write_by_copy(struct coffer_restore *s, struct coffer_err *e)
{
	struct coffer_header *h = s->now.header;
	int r;

	r = write_slots(s, s->order.direct | s->order.moved, true, e);
	if (r < 0)
		return r;
	if (s->same && !s->order.moved && h->current[0] && h->current[1])
		return check_copies(s, h, e);
	s->result->changed = true;
	if (s->order.moved)
		r = write_interim(s, e);
	if (r == 0 && s->same && !s->order.moved)
		r = coffer_header_rewrite(s->dev, h, e);
	else if (r == 0)
		r = coffer_header_replace(
			s->dev, h, s->backup.image, metadata_of(&s->backup), s->seqid, e);
	return r < 0 ? r : check_copies(s, h, e);
}

/* Read zeros back from the image's end to the end of the larger header that was there. */
static int check_tail(struct coffer_restore *s, struct coffer_err *e)
{
	_cleanup_free_ uint8_t *zeros = coffer_dev_buffer(PIECE);
	int r = 0;

	if (!zeros)
		return coffer_err_errno(e, ENOMEM, "read %s back", s->dev->name);
	for (uint64_t at = s->backup.info.image_size; at < s->old_end && r == 0; at += PIECE)
		r = coffer_dev_compare(s->dev, zeros, min_u64(PIECE, s->old_end - at), at, e);
	return coffer_err_wrap(e, r, "erase the old header");
}

/* Write the whole keyslots area, zeros included, and erase the rest of a larger header: its second
 * copy or its keyslots would survive, and open the volume with a removed key. This comes before the
 * new header, after which the next run could not know how large the old one was. */
static int write_body(struct coffer_restore *s, struct coffer_err *e)
{
	const uint64_t from = 2 * s->backup.copy_size, to = s->backup.info.image_size;
	const uint8_t *image = s->backup.image;
	int r = 0;

	s->result->changed = true;
	for (uint64_t at = from; at < to && r == 0; at += PIECE)
		r = coffer_dev_write(s->dev, image + at, min_u64(PIECE, to - at), at, e);
	if (r == 0 && s->old_end > to)
		r = coffer_dev_zero(s->dev, to, s->old_end - to, e);
	if (r == 0)
		r = coffer_dev_flush(s->dev, e);
	if (r == 0)
		r = coffer_dev_compare(s->dev, image + from, to - from, from, e);
	return r < 0 ? r : check_tail(s, e);
}

/* No header on the disk opens the volume, or none can be exchanged copy by copy. */
static int write_new(struct coffer_restore *s, struct coffer_err *e)
{
	const struct coffer_backup *b = &s->backup;
	_cleanup_header_ struct coffer_header *h = coffer_header_new(b->copy_size);
	int r;

	if (!h)
		return coffer_err_errno(e, ENOMEM, "restore the header of %s", s->dev->name);
	r = write_body(s, e);
	if (r == 0)
		r = coffer_header_replace(s->dev, h, b->image, metadata_of(b), b->info.seqid, e);
	return r < 0 ? r : check_copies(s, h, e);
}

int coffer_restore_write(struct coffer_restore *s, struct coffer_err *e)
{
	const struct coffer_areas *l = &s->backup.areas;
	int r;

	r = coffer_restore_by_copy(&s->now) ? write_by_copy(s, e) : write_new(s, e);
	if (r == 0)
		r = erase_unused(s, e);
	/* Also those that were in place already: a restore that succeeds has all of them. */
	for (size_t i = 0; i < l->n && r == 0; i++)
		if (!l->a[i].reencrypt)
			r = coffer_err_wrap(e,
				coffer_dev_compare(s->dev, s->backup.image + l->a[i].offset,
					l->a[i].size, l->a[i].offset, e),
				"keyslots");
	return r;
}
