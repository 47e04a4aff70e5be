/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* volume.c - read a volume through its key, finished or at any stage of a conversion */
#include "convert/volume.h"

#include <errno.h>
#include <inttypes.h>

#include "base/bytes.h"
#include "base/err.h"

int coffer_volume_open(struct coffer_dev *d, const struct coffer_mapping *m,
	const struct coffer_secret *key, struct coffer_volume *ret, struct coffer_err *e)
{
	struct coffer_volume v = {.dev = d, .map = *m};
	int r;

	r = coffer_xts_new(key->data, key->size, m->sector_size, &v.xts, e);
	if (r == 0)
		*ret = v;
	return r;
}

struct coffer_volume coffer_volume_plain(struct coffer_dev *d, uint64_t size)
{
	return (struct coffer_volume){
		.dev = d, .map = {.size = size, .n = 1, .s = {{.length = size}}}};
}

void coffer_volume_close(struct coffer_volume *v)
{
	coffer_xts_free(v->xts);
	v->xts = NULL;
}

/* The stretch with byte @x of the volume; NULL beyond its end. */
static const struct coffer_stretch *find_stretch(const struct coffer_mapping *m, uint64_t x)
{
	for (unsigned int i = 0; i < m->n; i++)
		if (x - m->s[i].start < m->s[i].length) /* wraps where x is below */
			return &m->s[i];
	return NULL;
}

int coffer_volume_read(
	struct coffer_volume *v, uint64_t x, uint8_t *buf, size_t n, struct coffer_err *e)
{
	for (size_t done = 0; done < n;) {
		const struct coffer_stretch *s = find_stretch(&v->map, x + done);
		uint64_t within;
		size_t part;
		int r;

		if (!s)
			return coffer_err_set(
				e, EINVAL, "byte %" PRIu64 " is after the volume's end", x + done);
		within = x + done - s->start;
		part = min_u64(n - done, s->length - within);
		r = coffer_dev_read(v->dev, buf + done, part, s->offset + within, e);
		if (r < 0)
			return r;
		if (s->crypt && coffer_xts_decrypt(v->xts, s->tweak + within, buf + done, part) < 0)
			return coffer_err_set(e, EIO, "libcrypto failed to decrypt");
		done += part;
	}
	return 0;
}

int coffer_volume_fs(struct coffer_volume *v, struct coffer_fs *ret, struct coffer_err *e)
{
	const size_t n = min_u64(COFFER_SUPERBLOCK_BYTES, v->map.size);
	_cleanup_free_ uint8_t *head = coffer_dev_buffer(COFFER_SUPERBLOCK_BYTES);
	int r;

	if (!head)
		return coffer_err_errno(e, ENOMEM, "read the filesystem");
	r = coffer_volume_read(v, 0, head, n, e);
	/* To callers, EUCLEAN is damage of this filesystem, not of the one that has the image. */
	if (r == -EUCLEAN) {
		r = -EIO;
		if (e)
			e->code = EIO;
	}
	return r < 0 ? r : coffer_superblock_read(head, n, ret, e);
}
