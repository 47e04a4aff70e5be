/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* restore_write.c - the writes that put a header back, in an order that a cut cannot harm */
#include "header/restore_write.h"

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
	return (const char *)b->image + COFFER_LUKS2_BIN; /* ends with a NUL: that was checked */
}

/* --- keyslots --- */

static uint64_t place_of(
	const struct coffer_restore_job *j, const struct coffer_area *a, bool interim)
{
	return interim && (j->order.moved >> a->slot & 1) ? j->order.interim[a->slot] : a->offset;
}

static int compare_slot(struct coffer_restore_job *j, const struct coffer_area *a, uint64_t at,
	struct coffer_err *e)
{
	return coffer_dev_compare(j->dev, j->backup->image + a->offset, a->size, at, e);
}

/* Write the keyslots @bits, all with one flush, and read them back; those that move go to their
 * interim place where @interim says so. */
static int write_slots(
	struct coffer_restore_job *j, uint32_t bits, bool interim, struct coffer_err *e)
{
	const struct coffer_areas *l = &j->backup->areas;
	int r = 0;

	if (!bits)
		return 0;
	*j->changed = true;
	for (size_t i = 0; i < l->n && r == 0; i++)
		if (bits >> l->a[i].slot & 1)
			r = coffer_dev_write(j->dev, j->backup->image + l->a[i].offset,
				l->a[i].size, place_of(j, &l->a[i], interim), e);
	if (r == 0)
		r = coffer_dev_flush(j->dev, e);
	for (size_t i = 0; i < l->n && r == 0; i++)
		if (bits >> l->a[i].slot & 1)
			r = compare_slot(j, &l->a[i], place_of(j, &l->a[i], interim), e);
	return coffer_err_wrap(e, r, "keyslots");
}

/* --- what is no keyslot --- */

/* The next run of blocks below @end that belong to no keyslot: from *at on, *ret_n bytes, at most
 * PIECE; 0 at the end. */
static uint64_t next_unused(const struct coffer_areas *l, uint64_t end, uint64_t *at)
{
	uint64_t n = 0;

	while (*at < end && coffer_areas_touch(l, *at, COFFER_BLOCK))
		*at += COFFER_BLOCK;
	while (*at + n < end && n < PIECE && !coffer_areas_touch(l, *at + n, COFFER_BLOCK))
		n += COFFER_BLOCK;
	return n;
}

/* Look at all of it; with @erase, put zeros where there are none. */
static int go_through_unused(struct coffer_dev *d, const struct coffer_backup *b, bool *erase,
	bool *ret_found, struct coffer_err *e)
{
	_cleanup_free_ uint8_t *buf = coffer_dev_buffer(PIECE);
	uint64_t at = 2 * b->trailer.copy_size, n;
	int r = 0;

	*ret_found = false;
	if (!buf)
		return coffer_err_errno(e, ENOMEM, "look at the keyslots of %s", d->name);
	for (; r == 0 && (n = next_unused(&b->areas, b->trailer.image_size, &at)) > 0; at += n) {
		r = coffer_dev_read(d, buf, n, at, e);
		if (r < 0 || bytes_are_zero(buf, n))
			continue;
		*ret_found = true;
		if (!erase)
			return 0;
		*erase = true;
		memset(buf, 0, n);
		r = coffer_dev_write(d, buf, n, at, e);
	}
	return r;
}

int coffer_restore_has_remnants(
	struct coffer_dev *d, const struct coffer_backup *b, bool *ret, struct coffer_err *e)
{
	return go_through_unused(d, b, NULL, ret, e);
}

/* Key material of keyslots that are no more, and the interim copies: should an old header ever come
 * back, it must not open anything. */
static int erase_unused(struct coffer_restore_job *j, struct coffer_err *e)
{
	const uint64_t from = 2 * j->backup->trailer.copy_size;
	bool found;
	int r;

	r = go_through_unused(j->dev, j->backup, j->changed, &found, e);
	if (r < 0 || !found)
		return coffer_err_wrap(e, r, "erase old keyslots");
	r = coffer_dev_flush(j->dev, e);
	coffer_dev_forget(j->dev, from, j->backup->trailer.image_size - from);
	if (r == 0)
		r = coffer_restore_has_remnants(j->dev, j->backup, &found, e);
	if (r == 0 && found)
		r = coffer_err_set(e, EIO, "%s still has what was erased", j->dev->name);
	return coffer_err_wrap(e, r, "erase old keyslots");
}

/* --- the header --- */

/* What is there in the end, read from the disk. */
static int check_copies(
	struct coffer_restore_job *j, const struct coffer_header *h, struct coffer_err *e)
{
	int r = 0;

	for (int i = 0; i < 2 && r == 0; i++) {
		r = coffer_dev_compare(j->dev, h->copy[i], h->copy_size, i ? h->copy_size : 0, e);
		r = coffer_err_wrap(e, r, "header copy %d", i + 1);
	}
	j->ret_seqid = h->seqid;
	return r;
}

/* Where keyslots have to change places: they get free ones, then a header that says so, and when it
 * is durable nothing needs the final places any more. */
static int write_interim(struct coffer_restore_job *j, struct coffer_err *e)
{
	_cleanup_json_ struct json_object *json = NULL;
	const char *text = metadata_of(j->backup);
	int r;

	if (coffer_json_parse(text, strlen(text), &json) < 0 ||
		coffer_keyslot_move(json, &j->order) < 0 || !(text = coffer_json_text(json)))
		return coffer_err_errno(e, ENOMEM, "move keyslots");
	r = coffer_header_replace(j->dev, j->header, j->backup->image, text, j->seqid, e);
	if (r < 0)
		return coffer_err_wrap(e, r, "interim header");
	j->seqid++;
	return write_slots(j, j->order.moved, false, e);
}

static int write_beside(struct coffer_restore_job *j, struct coffer_err *e)
{
	struct coffer_header *h = j->header;
	int r;

	r = write_slots(j, j->order.direct | j->order.moved, true, e);
	if (r == 0 && j->same && !j->order.moved && h->current[0] && h->current[1])
		return check_copies(j, h, e);
	*j->changed = true;
	if (r == 0 && j->order.moved)
		r = write_interim(j, e);
	else if (r == 0 && j->same)
		r = coffer_header_rewrite(j->dev, h, e);
	if (r == 0 && (!j->same || j->order.moved))
		r = coffer_header_replace(
			j->dev, h, j->backup->image, metadata_of(j->backup), j->seqid, e);
	return r < 0 ? r : check_copies(j, h, e);
}

/* Zeros from the image's end to that of the larger header which was there: its second copy or its
 * keyslots would outlive it, and open the volume to a key that is no more. Before the new header is
 * there: once it is, nothing tells the next run how large the old one was. */
static int erase_tail(struct coffer_restore_job *j, struct coffer_err *e)
{
	const uint64_t from = j->backup->trailer.image_size;

	if (j->old_end <= from)
		return 0;
	return coffer_dev_zero(j->dev, from, j->old_end - from, e);
}

static int check_tail(struct coffer_restore_job *j, uint8_t *buf, struct coffer_err *e)
{
	uint64_t at = j->backup->trailer.image_size;
	int r = 0;

	if (at < j->old_end)
		coffer_dev_forget(j->dev, at, j->old_end - at);
	for (; at < j->old_end && r == 0; at += PIECE) {
		const size_t part = min_u64(PIECE, j->old_end - at);

		r = coffer_dev_read(j->dev, buf, part, at, e);
		if (r == 0 && !bytes_are_zero(buf, part))
			r = coffer_err_set(e, EIO, "%s still has what was erased", j->dev->name);
	}
	return coffer_err_wrap(e, r, "erase the old header");
}

/* All of it where no header opens anything; zeros included. */
static int write_body(struct coffer_restore_job *j, struct coffer_err *e)
{
	const struct coffer_trailer *t = &j->backup->trailer;
	_cleanup_free_ uint8_t *back = coffer_dev_buffer(PIECE);
	const uint64_t from = 2 * t->copy_size, n = t->image_size - from;
	int r = 0;

	if (!back)
		return coffer_err_errno(e, ENOMEM, "restore the header of %s", j->dev->name);
	*j->changed = true;
	for (uint64_t at = 0; at < n && r == 0; at += PIECE)
		r = coffer_dev_write(
			j->dev, j->backup->image + from + at, min_u64(PIECE, n - at), from + at, e);
	if (r == 0)
		r = erase_tail(j, e);
	if (r == 0)
		r = coffer_dev_flush(j->dev, e);
	if (r == 0)
		r = coffer_dev_compare(j->dev, j->backup->image + from, n, from, e);
	return r < 0 ? r : check_tail(j, back, e);
}

static int write_anew(struct coffer_restore_job *j, struct coffer_err *e)
{
	const struct coffer_backup *b = j->backup;
	_cleanup_header_ struct coffer_header *h = coffer_header_new(b->trailer.copy_size);
	int r;

	if (!h)
		return coffer_err_errno(e, ENOMEM, "restore the header of %s", j->dev->name);
	r = write_body(j, e);
	if (r == 0)
		r = coffer_header_replace(j->dev, h, b->image, metadata_of(b), b->trailer.seqid, e);
	return r < 0 ? r : check_copies(j, h, e);
}

/* Those that were there already were not written; a restore that ends well has all of them. */
static int check_slots(struct coffer_restore_job *j, struct coffer_err *e)
{
	const struct coffer_areas *l = &j->backup->areas;
	int r = 0;

	for (size_t i = 0; i < l->n && r == 0; i++)
		if (!l->a[i].reencrypt)
			r = compare_slot(j, &l->a[i], l->a[i].offset, e);
	return coffer_err_wrap(e, r, "keyslots");
}

int coffer_restore_write(struct coffer_restore_job *j, struct coffer_err *e)
{
	int r = j->header ? write_beside(j, e) : write_anew(j, e);

	if (r == 0)
		r = erase_unused(j, e);
	return r < 0 ? r : check_slots(j, e);
}
