/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* finalize.c - after the last step: wipe the moved-segment copy, write the final header */
#include "convert/operations.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "convert/used.h"
#include "convert/volume.h"

enum {
	PIECE = 1 << 20
};

/* May all of the moved-segment copy be wiped? It lies after the end that the content had when the
 * conversion began; but the volume may have been used since, and the content may have grown. */
static int may_wipe_all(
	struct coffer_session *s, struct coffer_volume *v, bool *ret, struct coffer_err *e)
{
	struct coffer_err why = {0};
	struct coffer_fs fs;
	int r;

	*ret = s->converted;
	if (*ret)
		return 0;
	r = coffer_volume_fs(v, &fs, &why);
	if (r < 0 && r != -EUCLEAN)
		return coffer_err_pass(e, r, &why);
	*ret = r == 0 && fs.kind != COFFER_FS_NONE &&
	       fs.end <= coffer_gap_offset(&s->disk.facts.conversion.geometry);
	return 0;
}

/* Where something else may lie in the copy's place, only what equals the plain moved segment is
 * wiped: what the volume keeps there is ciphertext and cannot. */
static int wipe_equal(struct coffer_session *s, struct coffer_volume *v, uint64_t at,
	const uint8_t *random, size_t n, struct coffer_err *e)
{
	const uint64_t copy = coffer_segment_copy_offset(&s->disk.facts.conversion.geometry);
	_cleanup_free_ uint8_t *segment = coffer_dev_buffer(PIECE);
	_cleanup_free_ uint8_t *there = coffer_dev_buffer(PIECE);
	bool changed = false;
	int r;

	if (!segment || !there)
		return coffer_err_errno(e, ENOMEM, "wipe the moved-segment copy");
	r = coffer_volume_read(v, at, segment, n, e);
	if (r < 0)
		return r;
	r = coffer_dev_read(s->dev, there, n, copy + at, e);
	if (r < 0)
		return r;
	/* By sectors, since an earlier wipe may have been torn at any of them. Other sectors are
	 * written as they were read: nothing else writes to the device. */
	for (size_t k = 0; k < n; k += COFFER_SECTOR) {
		if (memcmp(there + k, segment + k, COFFER_SECTOR) == 0) {
			memcpy(there + k, random + k, COFFER_SECTOR);
			changed = true;
		} else {
			s->result->segment_copy_kept = true;
		}
	}
	return changed ? coffer_dev_write(s->dev, there, n, copy + at, e) : 0;
}

/* Random bytes, as stock does: zeros would show where the copy was. */
static int wipe_segment_copy(struct coffer_session *s, struct coffer_err *e)
{
	const struct coffer_geometry *g = &s->disk.facts.conversion.geometry;
	_cleanup_free_ uint8_t *random = coffer_dev_buffer(PIECE);
	_cleanup_volume_ struct coffer_volume v = {0};
	struct coffer_mapping map;
	bool all;
	int r;

	if (!random)
		return coffer_err_errno(e, ENOMEM, "wipe the moved-segment copy");
	coffer_mapping_converting(&s->disk.facts.conversion, s->dev->size, &map);
	r = coffer_volume_open(s->dev, &map, s->own.key, &v, e);
	if (r < 0)
		return r;
	r = may_wipe_all(s, &v, &all, e);
	if (r < 0)
		return r;
	/* Exactly [D-S, D): pointer 0 is durable, so nothing reads it any more; one byte below
	 * begins the ciphertext of the last block of data. */
	for (uint64_t at = 0; at < g->shift; at += PIECE) {
		const size_t n = min_u64(PIECE, g->shift - at);

		if (coffer_random(random, n) < 0)
			return coffer_err_set(e, EIO, "libcrypto has no random bytes");
		r = all ? coffer_dev_write(s->dev, random, n, coffer_segment_copy_offset(g) + at, e)
			: wipe_equal(s, &v, at, random, n, e);
		if (r < 0)
			return r;
	}
	r = coffer_used_erase(s, e);
	return r < 0 ? r : coffer_dev_flush(s->dev, e);
}

int coffer_convert_finalize(struct coffer_session *s, struct coffer_err *e)
{
	struct coffer_header *h = s->disk.header;
	int r = 0;

	coffer_session_progress(s, COFFER_PHASE_FINALIZE, s->result->used, s->result->used);
	s->changed = true;
	/* Pointer 0 may come from a cache: it is made durable before the last plain copy of the
	 * moved segment is destroyed. */
	if (!s->converted)
		r = coffer_header_commit(s->dev, h, e);
	if (r == 0)
		r = wipe_segment_copy(s, e);
	if (r < 0)
		return coffer_err_wrap(e, r, "wipe the moved-segment copy");
	/* The requirement in the header says that the wipe is due, so it goes last. */
	r = coffer_conversion_finish(h->json, &s->disk.facts.conversion, e);
	if (r == 0)
		r = coffer_header_commit(s->dev, h, e);
	return coffer_err_wrap(e, r, "write the final header");
}

int coffer_convert_sync(struct coffer_session *s, struct coffer_err *e)
{
	_cleanup_lock_ struct coffer_lock *lock = NULL;
	const bool changed = s->changed;
	int r;

	s->changed = true;
	r = coffer_lock_metadata(s->dev, true, &lock, e);
	if (r == 0)
		r = coffer_header_rewrite(s->dev, s->disk.header, e);
	if (r == -ESTALE) /* found out before the first write */
		s->changed = changed;
	return coffer_err_wrap(e, r, "write the final header");
}
