/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* place_io.c - the writes that a placement and its undoing share */
#include "convert/place_io.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "fs/signatures.h"

enum {
	BTRFS_SUPERBLOCK = 65536,
	PIECE = 1 << 20
};

/* Write, flush, read back. */
int coffer_write_verified(
	struct coffer_dev *d, const uint8_t *p, size_t n, uint64_t off, struct coffer_err *e)
{
	_cleanup_free_ uint8_t *back = coffer_dev_buffer(n);
	int r;

	if (!back)
		return coffer_err_errno(e, ENOMEM, "write to %s", d->name);
	r = coffer_dev_write(d, p, n, off, e);
	if (r == 0)
		r = coffer_dev_flush(d, e);
	coffer_dev_forget(d, off, n);
	if (r == 0)
		r = coffer_dev_read(d, back, n, off, e);
	if (r == 0 && memcmp(p, back, n) != 0)
		r = coffer_err_set(e, EIO,
			"%s does not give back at byte %" PRIu64 " what was written there", d->name,
			off);
	return r;
}

int coffer_write_record(struct coffer_dev *d, const struct coffer_record *rec, struct coffer_err *e)
{
	_cleanup_free_ uint8_t *block = coffer_dev_buffer(COFFER_BLOCK);

	if (!block || coffer_record_encode(rec, block) < 0)
		return coffer_err_errno(e, ENOMEM, "write the placement record");
	return coffer_write_verified(
		d, block, COFFER_BLOCK, coffer_record_offset(&rec->geometry, rec->kind), e);
}

int coffer_write_transition(
	struct coffer_dev *d, const struct coffer_record *rec, struct coffer_err *e)
{
	_cleanup_free_ uint8_t *block = coffer_dev_buffer(COFFER_BLOCK);
	int r;

	if (!block || coffer_transition_encode(rec, block) < 0)
		return coffer_err_errno(e, ENOMEM, "write the transition block");
	r = coffer_dev_write(d, block, COFFER_BLOCK, 0, e);
	return r < 0 ? r : coffer_dev_flush(d, e);
}

/* Every block of the head, except block 0, in which libblkid sees a signature: until the body is
 * complete nothing may take the disk for a filesystem. btrfs' place is always among them. */
int coffer_find_masked(
	struct coffer_dev *d, uint64_t head, struct coffer_record *rec, struct coffer_err *e)
{
	struct coffer_content c = {0};
	int r;

	r = coffer_signatures_read(d, head, rec->geometry.shift, &c, e);
	if (r < 0)
		return r;
	if (c.n_magics == COFFER_MAX_MAGICS)
		return coffer_err_refuse(e, E2BIG,
			"%s: too many signatures in its first bytes; wipe the wrong ones (wipefs)",
			d->name);
	rec->masked[rec->n_masked++] = BTRFS_SUPERBLOCK;
	for (uint32_t i = 0; i < c.n_magics; i++) {
		const uint64_t block = round_down_u64(c.magics[i], COFFER_BLOCK);
		bool known = block == 0 || block >= rec->geometry.shift;

		for (uint32_t k = 0; k < rec->n_masked; k++)
			known = known || rec->masked[k] == block;
		if (known)
			continue;
		if (rec->n_masked == COFFER_MAX_MASKED)
			return coffer_err_refuse(e, E2BIG,
				"%s: more than %d signatures of filesystems in its first bytes",
				d->name, COFFER_MAX_MASKED);
		rec->masked[rec->n_masked++] = block;
	}
	return 0;
}

int coffer_copy_verified(
	struct coffer_dev *d, uint64_t from, uint64_t to, uint64_t n, struct coffer_err *e)
{
	_cleanup_free_ uint8_t *buf = coffer_dev_buffer(2 * PIECE);
	int r = 0;

	if (!buf)
		return coffer_err_errno(e, ENOMEM, "copy the head");
	for (uint64_t at = 0; at < n && r == 0; at += PIECE) {
		const size_t part = min_u64(PIECE, n - at);

		r = coffer_dev_read(d, buf, part, from + at, e);
		if (r == 0)
			r = coffer_dev_write(d, buf, part, to + at, e);
	}
	if (r == 0)
		r = coffer_dev_flush(d, e);
	coffer_dev_forget(d, to, n);
	for (uint64_t at = 0; at < n && r == 0; at += PIECE) {
		const size_t part = min_u64(PIECE, n - at);

		r = coffer_dev_read(d, buf, part, from + at, e);
		if (r == 0)
			r = coffer_dev_read(d, buf + PIECE, part, to + at, e);
		if (r == 0 && memcmp(buf, buf + PIECE, part) != 0)
			r = coffer_err_set(e, EIO,
				"%s does not give back at byte %" PRIu64 " what was written there",
				d->name, to + at);
	}
	return r;
}
