/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fingerprint.c - the hash of what any use of a filesystem changes */
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "convert/used.h"

enum {
	PIECE = 1 << 20,
	LONG = 1 << 20, /* of a longer print the first bytes of each sector count */
	FIRST = 16
};

struct hasher {
	const struct coffer_stored_map *m;
	coffer_read_plain read;
	void *arg;
	struct coffer_digest *digest;
	uint8_t *buf; /* PIECE */
};

/* A log of a GiB would take longer to hash than much of the conversion takes. It is written in
 * whole sectors, and the first bytes of each change: xfs puts the number of the cycle there. */
static int add_bytes(struct hasher *h, bool is_long, const uint8_t *p, size_t n)
{
	uint8_t first[PIECE / COFFER_SECTOR * FIRST];
	size_t k = 0;

	if (!is_long)
		return coffer_digest_add(h->digest, p, n);
	for (size_t at = 0; at < n; at += COFFER_SECTOR, k += FIRST)
		memcpy(first + k, p + at, FIRST);
	return coffer_digest_add(h->digest, first, k);
}

/* One print, read in whole blocks: the volume's sectors may be larger than 512. */
static int add_print(struct hasher *h, struct coffer_range p, struct coffer_err *e)
{
	const uint64_t length = h->m->geometry.length;
	const bool is_long = p.end - p.start > LONG;

	while (p.start < p.end) {
		const uint64_t from = round_down_u64(p.start, COFFER_BLOCK);
		const size_t n =
			min_u64(PIECE, min_u64(round_up_u64(p.end, COFFER_BLOCK), length) - from);
		const uint64_t to = min_u64(from + n, p.end);
		int r;

		r = h->read(h->arg, from, h->buf, n, e);
		if (r < 0)
			return r;
		if (add_bytes(h, is_long, h->buf + (p.start - from), to - p.start) < 0)
			return coffer_err_set(e, EIO, "libcrypto failed to hash");
		p.start = to;
	}
	return 0;
}

int coffer_fingerprint(const struct coffer_stored_map *m, coffer_read_plain read, void *arg,
	uint8_t ret[COFFER_SHA256_SIZE], struct coffer_err *e)
{
	_cleanup_free_ uint8_t *buf = coffer_dev_buffer(PIECE);
	_cleanup_digest_ struct coffer_digest *digest = NULL;
	struct hasher h = {.m = m, .read = read, .arg = arg, .buf = buf};
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
