/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* verify_content.c - the filesystem in the volume, and what a conversion may have left behind */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/findings.h"
#include "luks2/libcryptsetup.h"
#include "report/judge_volume.h"
#include "report/verify.h"

enum {
	SKETCH = 1 << 20 /* bytes of a volume's start and end that libblkid sees */
};

/* --- through the key --- */

/* Copy [x, x + n) of the volume to the same place of a file. */
static int copy_part(
	struct coffer_verifier *s, int fd, uint64_t x, uint64_t n, struct coffer_err *e)
{
	_cleanup_free_ uint8_t *buf = coffer_dev_buffer(n);
	int r;

	if (!buf)
		return coffer_err_errno(e, ENOMEM, "read the volume");
	r = coffer_volume_read(&s->volume, x, buf, n, e);
	if (r == 0 && pwrite(fd, buf, n, (off_t)x) != (ssize_t)n)
		r = coffer_err_set(e, EIO, "copy the volume's start to memory");
	explicit_bzero(buf, n);
	return r;
}

/* libblkid's opinion of the volume: its start and end in a file in memory that is as large. That is
 * where all signatures lie that it knows. */
static int probe_volume(struct coffer_verifier *s, struct coffer_err *e)
{
	const uint64_t size = s->volume.map.size;
	const uint64_t part = round_down_u64(min_u64(SKETCH, size), s->volume.map.sector_size);
	_cleanup_close_ int fd = -1;
	int r;

	r = coffer_memfd("coffer-sketch", size, &fd, e);
	if (r == 0)
		r = copy_part(s, fd, 0, part, e);
	if (r == 0)
		r = copy_part(s, fd, size - part, part, e);
	if (r == 0)
		r = coffer_signatures_read_fd(fd, s->dev->name, 0, size, &s->content, e);
	s->have_content = r == 0;
	return r;
}

/* Where the volume lies. *ret_fits: it can be read here; else a check says why not. */
static int find_volume(
	struct coffer_verifier *s, struct coffer_mapping *ret, bool *ret_fits, struct coffer_err *e)
{
	const struct coffer_facts *f = &s->disk.facts;
	struct coffer_err why = {0};
	int r = 0;

	*ret_fits = false;
	if (s->disk.operation == COFFER_OP_SHRUNK)
		return 0; /* said already */
	if (f->kind_error < 0 || f->kind == COFFER_LUKS2_OTHER)
		return coffer_verify_add(s, COFFER_FINDING_FILESYSTEM, COFFER_VERDICT_UNCHECKED, e,
			"coffer does not know where the volume's bytes lie: %s",
			f->kind_reason.msg);
	if (f->kind == COFFER_LUKS2_CONVERTING)
		coffer_mapping_converting(&f->conversion, s->dev->size, ret);
	else
		r = coffer_mapping_finished(s->disk.header->json, s->dev->size, ret, &why);
	if (r == -EOPNOTSUPP)
		return coffer_verify_add(
			s, COFFER_FINDING_FILESYSTEM, COFFER_VERDICT_UNCHECKED, e, "%s", why.msg);
	if (r < 0)
		return coffer_verify_add(
			s, COFFER_FINDING_SEGMENT, COFFER_VERDICT_BAD, e, "%s", why.msg);
	*ret_fits = true;
	return coffer_verify_add(s, COFFER_FINDING_SEGMENT, COFFER_VERDICT_OK, e,
		"the volume's %" PRIu64 " bytes lie within the device", ret->size);
}

/* The sentence for what was seen, encrypted or plain. */
static int judge(struct coffer_verifier *s, uint64_t room, const char *absurd, struct coffer_err *e)
{
	const struct coffer_seen_fs seen = {
		.type = s->content.type,
		.uuid = s->content.uuid,
		.label = s->content.label,
		.fs = s->fs,
		.absurd = absurd,
		.room = room,
		.in_use = s->busy,
	};

	if (coffer_judge_filesystem(&seen, &s->v->checks) < 0)
		return coffer_err_errno(e, ENOMEM, "verify %s", s->dev->name);
	return 0;
}

static int read_volume(
	struct coffer_verifier *s, const struct coffer_mapping *map, struct coffer_err *e)
{
	struct coffer_err why = {0};
	int r;

	r = coffer_volume_open(s->dev, map, s->key, &s->volume, &why);
	if (r == -EINVAL)
		return coffer_verify_add(s, COFFER_FINDING_VOLUME_KEY, COFFER_VERDICT_BAD, e,
			"%s: %s", map->cipher, why.msg);
	if (r == 0)
		r = probe_volume(s, &why);
	if (r == 0)
		r = coffer_volume_fs(&s->volume, &s->fs, &why);
	if (r < 0 && r != -EUCLEAN) {
		if (e)
			*e = why;
		return r;
	}
	return judge(s, map->size, r == -EUCLEAN ? why.msg : NULL, e);
}

static bool is_converted_now(const struct coffer_status *status)
{
	for (size_t i = 0; i < status->n_holders; i++)
		if (status->holders[i].kind == COFFER_HOLDER_REENCRYPTION)
			return true;
	return false;
}

static int check_volume(struct coffer_verifier *s, struct coffer_err *e)
{
	struct coffer_mapping map = {0};
	bool fits;
	int r;

	r = find_volume(s, &map, &fits, e);
	if (r < 0 || !fits)
		return r;
	if (!s->key)
		return coffer_verify_add(s, COFFER_FINDING_FILESYSTEM, COFFER_VERDICT_UNCHECKED, e,
			"it takes a key to look at the filesystem");
	if (is_converted_now(s->v->status))
		return coffer_verify_add(s, COFFER_FINDING_FILESYSTEM, COFFER_VERDICT_UNCHECKED, e,
			"the volume is being converted right now, so its bytes move while they are "
			"read");
	return read_volume(s, &map, e);
}

/* --- leftovers --- */

static int read_record(struct coffer_verifier *s, const struct coffer_geometry *g,
	enum coffer_placement_kind kind, struct coffer_remnants *ret, struct coffer_err *e)
{
	_cleanup_free_ uint8_t *block = coffer_dev_buffer(COFFER_BLOCK);
	int r;

	if (!block)
		return coffer_err_errno(e, ENOMEM, "look for a record");
	r = coffer_dev_read(s->dev, block, COFFER_BLOCK, coffer_record_offset(g, kind), e);
	if (r < 0)
		return r;
	r = coffer_record_decode(block, &ret->record[kind]);
	if (r == -ENOMEM || r == -EIO)
		return coffer_err_errno(e, -r, "look for a record");
	ret->has_record[kind] = r == 0 && ret->record[kind].kind == kind &&
				ret->record[kind].geometry.device == g->device &&
				ret->record[kind].geometry.shift == g->shift;
	return 0;
}

static int check_image(
	struct coffer_verifier *s, struct coffer_remnants *left, struct coffer_err *e)
{
	const struct coffer_record *rec = &left->record[COFFER_RECORD_PLACE];
	uint8_t hash[COFFER_SHA256_SIZE];
	int r;

	if (!left->has_record[COFFER_RECORD_PLACE])
		return 0;
	r = coffer_dev_hash(s->dev, coffer_image_offset(&rec->geometry), rec->image_size, hash, e);
	left->image_intact = r == 0 && memcmp(hash, rec->image_hash, sizeof(hash)) == 0;
	return r;
}

static int find_head(struct coffer_verifier *s, struct coffer_remnants *left, struct coffer_err *e)
{
	struct coffer_content content = {0};
	const uint64_t at = coffer_segment_copy_offset(&left->geometry);
	int r;

	r = coffer_signatures_read(s->dev, at, s->dev->size - at, &content, e);
	if (r < 0)
		return r;
	(void)snprintf(left->head_type, sizeof(left->head_type), "%s", content.type);
	(void)snprintf(left->head_uuid, sizeof(left->head_uuid), "%s", content.uuid);
	return 0;
}

/* A finished volume that was made in place, with all of the device: what the conversion kept in the
 * reserve. One of another making, or with an explicit size, has its end elsewhere, and nothing is
 * found there but ciphertext. */
static int check_leftovers(struct coffer_verifier *s, struct coffer_err *e)
{
	struct coffer_remnants left = {
		.geometry = {.device = s->dev->size,
			.shift = s->v->status->data_offset,
			.length = s->dev->size - 2 * s->v->status->data_offset,
			.sector_size = COFFER_SECTOR},
		.uuid = s->v->status->uuid,
		.device = s->device,
		.fs_uuid = s->have_content ? s->content.uuid : NULL,
		.fs_end = s->fs.end,
	};
	int r;

	if (coffer_geometry_check(&left.geometry, NULL) < 0)
		return coffer_verify_add(s, COFFER_FINDING_MOVED_SEGMENT_COPY, COFFER_VERDICT_OK, e,
			"its layout is not that of a volume made in place");
	r = read_record(s, &left.geometry, COFFER_RECORD_PLACE, &left, e);
	if (r == 0)
		r = read_record(s, &left.geometry, COFFER_RECORD_UNDO, &left, e);
	if (r == 0)
		r = check_image(s, &left, e);
	if (r == 0)
		r = find_head(s, &left, e);
	if (r < 0)
		return r;
	if (coffer_judge_remnants(&left, &s->v->checks) < 0)
		return coffer_err_errno(e, ENOMEM, "verify %s", s->dev->name);
	return coffer_verify_add(s, COFFER_FINDING_WIPE_PENDING, COFFER_VERDICT_OK, e,
		"the header asks for nothing to be wiped");
}

/* --- a plain disk --- */

static int check_plain(struct coffer_verifier *s, struct coffer_err *e)
{
	const struct coffer_moved_segment *v = &s->segment;
	_cleanup_free_ uint8_t *head = coffer_dev_buffer(COFFER_FS_HEAD);
	const size_t n = min_u64(COFFER_FS_HEAD, s->dev->size);
	struct coffer_err why = {0};
	int r;

	if (!head)
		return coffer_err_errno(e, ENOMEM, "look at %s", s->dev->name);
	r = coffer_signatures_read(s->dev, 0, s->dev->size, &s->content, e);
	if (r == 0 && n > 0)
		r = coffer_dev_read(s->dev, head, n, 0, e);
	if (r < 0)
		return r;
	s->have_content = true;
	r = coffer_superblock_read(head, n, &s->fs, &why);
	r = judge(s, s->dev->size, r < 0 ? why.msg : NULL, e);
	if (r < 0 || !v->has_stale_record)
		return r;
	r = coffer_verify_add(s, COFFER_FINDING_RECORD, COFFER_VERDICT_NOTE, e,
		"the record of a placement that never began, or was taken back, lies at byte "
		"%" PRIu64,
		coffer_record_offset(&v->stale.geometry, COFFER_RECORD_PLACE));
	coffer_findings_advise(&s->v->checks, "coffer repair %s", s->device);
	return r;
}

int coffer_verify_content(struct coffer_verifier *s, struct coffer_err *e)
{
	int r;

	switch (s->v->status->stage) {
	case COFFER_STAGE_PLAIN:
	case COFFER_STAGE_RESERVED:
		return check_plain(s, e);
	case COFFER_STAGE_ENCRYPTED:
		if (!s->disk.header)
			return 0;
		r = check_volume(s, e);
		return r < 0 ? r : check_leftovers(s, e);
	default:
		return s->disk.header ? check_volume(s, e) : 0;
	}
}
