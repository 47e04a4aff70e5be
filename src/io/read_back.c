/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* read_back.c - write, flush, read back from the disk and compare */
#include "io/read_back.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"

enum {
	PIECE = 1 << 20
};

int coffer_dev_mismatch(const struct coffer_dev *d, uint64_t off, struct coffer_err *e)
{
	return coffer_err_set(e, EIO,
		"%s: read-back mismatch at byte %" PRIu64 ": the device lost a write", d->name,
		off);
}

/* @buf holds a piece, or @n bytes. */
static int compare(struct coffer_dev *d, const uint8_t *p, size_t n, uint64_t off, uint8_t *buf,
	struct coffer_err *e)
{
	coffer_dev_forget(d, off, n);
	for (size_t at = 0; at < n; at += PIECE) {
		const size_t part = min_u64(PIECE, n - at);
		const int r = coffer_dev_read(d, buf, part, off + at, e);

		if (r < 0)
			return r;
		if (memcmp(p + at, buf, part) != 0)
			return coffer_dev_mismatch(d, off + at, e);
	}
	return 0;
}

int coffer_dev_compare(
	struct coffer_dev *d, const uint8_t *p, size_t n, uint64_t off, struct coffer_err *e)
{
	_cleanup_free_ uint8_t *buf = coffer_dev_buffer(min_u64(n, PIECE));

	if (!buf)
		return coffer_err_errno(e, ENOMEM, "read %s back", d->name);
	return compare(d, p, n, off, buf, e);
}

int coffer_dev_write_verified(
	struct coffer_dev *d, const uint8_t *p, size_t n, uint64_t off, struct coffer_err *e)
{
	_cleanup_free_ uint8_t *buf = coffer_dev_buffer(min_u64(n, PIECE));
	int r;

	if (!buf)
		return coffer_err_errno(e, ENOMEM, "write to %s", d->name);
	r = coffer_dev_write(d, p, n, off, e);
	if (r < 0)
		return r;
	r = coffer_dev_flush(d, e);
	return r < 0 ? r : compare(d, p, n, off, buf, e);
}

int coffer_dev_copy_verified(
	struct coffer_dev *d, uint64_t from, uint64_t to, uint64_t n, struct coffer_err *e)
{
	_cleanup_free_ uint8_t *buf = coffer_dev_buffer(2 * PIECE);
	int r;

	if (!buf)
		return coffer_err_errno(e, ENOMEM, "copy within %s", d->name);
	for (uint64_t at = 0; at < n; at += PIECE) {
		const size_t part = min_u64(PIECE, n - at);

		r = coffer_dev_read(d, buf, part, from + at, e);
		if (r < 0)
			return r;
		r = coffer_dev_write(d, buf, part, to + at, e);
		if (r < 0)
			return r;
	}
	r = coffer_dev_flush(d, e);
	if (r < 0)
		return r;
	coffer_dev_forget(d, to, n);
	for (uint64_t at = 0; at < n; at += PIECE) {
		const size_t part = min_u64(PIECE, n - at);

		r = coffer_dev_read(d, buf, part, from + at, e);
		if (r < 0)
			return r;
		r = compare(d, buf, part, to + at, buf + PIECE, e);
		if (r < 0)
			return r;
	}
	return 0;
}
