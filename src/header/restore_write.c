/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* restore_write.c - the writes of a restore, in an order that a power cut cannot harm */
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
	return (const char *)b->image + COFFER_LUKS2_BIN; /* ends with a NUL, as was checked */
}

/* --- keyslots --- */

static uint64_t place_of(
	const struct coffer_restore_job *j, const struct coffer_area *a, bool interim)
{
	return interim && (j->order.moved >> a->slot & 1) ? j->order.interim[a->slot] : a->offset;
}

/* Write the keyslots @bits with one flush, and read them back. @interim: those that move go to
 * their interim place. */
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
			r = coffer_dev_compare(j->dev, j->backup->image + l->a[i].offset,
				l->a[i].size, place_of(j, &l->a[i], interim), e);
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

/* Read all of it. @erased: overwrite with zeros what is not zero, and set it before the first
 * write; NULL: stop at the first such block. */
static int scan_unused(struct coffer_dev *d, const struct coffer_backup *b, bool *erased,
	bool *ret_found, struct coffer_err *e)
{
	_cleanup_free_ uint8_t *buf = coffer_dev_buffer(PIECE);
	uint64_t at = 2 * b->copy_size, n;
	int r;

	*ret_found = false;
	if (!buf)
		return coffer_err_errno(e, ENOMEM, "read the keyslots of %s", d->name);
	for (; (n = next_unused(&b->areas, b->info.image_size, &at)) > 0; at += n) {
		r = coffer_dev_read(d, buf, n, at, e);
		if (r < 0)
			return r;
		if (bytes_are_zero(buf, n))
			continue;
		*ret_found = true;
		if (!erased)
			return 0;
		*erased = true;
		memset(buf, 0, n);
		r = coffer_dev_write(d, buf, n, at, e);
		if (r < 0)
			return r;
	}
	return 0;
}

int coffer_restore_has_remnants(
	struct coffer_dev *d, const struct coffer_backup *b, bool *ret, struct coffer_err *e)
{
	return scan_unused(d, b, NULL, ret, e);
}

/* Erase the material of removed keyslots, and the interim copies: if an old header returns, it must
 * not open anything. */
static int erase_unused(struct coffer_restore_job *j, struct coffer_err *e)
{
	const uint64_t from = 2 * j->backup->copy_size;
	bool found;
	int r;

	r = scan_unused(j->dev, j->backup, j->changed, &found, e);
	if (r < 0 || !found)
		return coffer_err_wrap(e, r, "erase old keyslots");
	r = coffer_dev_flush(j->dev, e);
	coffer_dev_forget(j->dev, from, j->backup->info.image_size - from);
	if (r == 0)
		r = coffer_restore_has_remnants(j->dev, j->backup, &found, e);
	if (r == 0 && found)
		r = coffer_err_set(e, EIO, "%s: read-back mismatch", j->dev->name);
	return coffer_err_wrap(e, r, "erase old keyslots");
}

/* --- the header --- */

/* Read both copies back from the disk. */
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

/* The keyslots that move are at free places now. Write a header that names these; once it is
 * durable no header uses the final places. */
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

static int write_by_copy(struct coffer_restore_job *j, struct coffer_err *e)
{
	struct coffer_header *h = j->header;
	int r;

	r = write_slots(j, j->order.direct | j->order.moved, true, e);
	if (r < 0)
		return r;
	if (j->same && !j->order.moved && h->current[0] && h->current[1])
		return check_copies(j, h, e);
	*j->changed = true;
	if (j->order.moved)
		r = write_interim(j, e);
	if (r == 0 && j->same && !j->order.moved)
		r = coffer_header_rewrite(j->dev, h, e);
	else if (r == 0)
		r = coffer_header_replace(
			j->dev, h, j->backup->image, metadata_of(j->backup), j->seqid, e);
	return r < 0 ? r : check_copies(j, h, e);
}

/* Read zeros back from the image's end to the end of the larger header that was there. */
static int check_tail(struct coffer_restore_job *j, struct coffer_err *e)
{
	_cleanup_free_ uint8_t *zeros = coffer_dev_buffer(PIECE);
	int r = 0;

	if (!zeros)
		return coffer_err_errno(e, ENOMEM, "read %s back", j->dev->name);
	for (uint64_t at = j->backup->info.image_size; at < j->old_end && r == 0; at += PIECE)
		r = coffer_dev_compare(j->dev, zeros, min_u64(PIECE, j->old_end - at), at, e);
	return coffer_err_wrap(e, r, "erase the old header");
}

/* Write the whole keyslots area, zeros included, and erase the rest of a larger header: its second
 * copy or its keyslots would survive, and open the volume with a removed key. This comes before the
 * new header, after which the next run could not know how large the old one was. */
static int write_body(struct coffer_restore_job *j, struct coffer_err *e)
{
	const uint64_t from = 2 * j->backup->copy_size, to = j->backup->info.image_size;
	const uint8_t *image = j->backup->image;
	int r = 0;

	*j->changed = true;
	for (uint64_t at = from; at < to && r == 0; at += PIECE)
		r = coffer_dev_write(j->dev, image + at, min_u64(PIECE, to - at), at, e);
	if (r == 0 && j->old_end > to)
		r = coffer_dev_zero(j->dev, to, j->old_end - to, e);
	if (r == 0)
		r = coffer_dev_flush(j->dev, e);
	if (r == 0)
		r = coffer_dev_compare(j->dev, image + from, to - from, from, e);
	return r < 0 ? r : check_tail(j, e);
}

/* No header on the disk opens the volume, or none can be exchanged copy by copy. */
static int write_new(struct coffer_restore_job *j, struct coffer_err *e)
{
	const struct coffer_backup *b = j->backup;
	_cleanup_header_ struct coffer_header *h = coffer_header_new(b->copy_size);
	int r;

	if (!h)
		return coffer_err_errno(e, ENOMEM, "restore the header of %s", j->dev->name);
	r = write_body(j, e);
	if (r == 0)
		r = coffer_header_replace(j->dev, h, b->image, metadata_of(b), b->info.seqid, e);
	return r < 0 ? r : check_copies(j, h, e);
}

int coffer_restore_write(struct coffer_restore_job *j, struct coffer_err *e)
{
	const struct coffer_areas *l = &j->backup->areas;
	int r;

	r = j->header ? write_by_copy(j, e) : write_new(j, e);
	if (r == 0)
		r = erase_unused(j, e);
	/* Also those that were in place already: a restore that succeeds has all of them. */
	for (size_t i = 0; i < l->n && r == 0; i++)
		if (!l->a[i].reencrypt)
			r = coffer_err_wrap(e,
				coffer_dev_compare(j->dev, j->backup->image + l->a[i].offset,
					l->a[i].size, l->a[i].offset, e),
				"keyslots");
	return r;
}
