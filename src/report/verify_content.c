/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* verify_content.c - the filesystem, its own checker, and the remains of a conversion */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/findings.h"
#include "base/quote.h"
#include "fs/fsck.h"
#include "luks2/libcryptsetup.h"
#include "report/judge.h"
#include "report/status.h"
#include "report/verify.h"

enum {
	SKETCH = 1 << 20 /* bytes of a volume's start and end, for libblkid */
};

/* --- through the key --- */

/* Copy [x, x + n) of the volume to the same place in a file. */
static int copy_part(
	struct coffer_verifier *s, int fd, uint64_t x, uint64_t n, struct coffer_err *e)
{
	_cleanup_free_ uint8_t *buf = coffer_dev_buffer(n);
	int r;

	if (!buf)
		return -ENOMEM;
	r = coffer_volume_read(&s->volume, x, buf, n, e);
	if (r == 0 && pwrite(fd, buf, n, (off_t)x) != (ssize_t)n)
		r = coffer_err_set(e, EIO, "copy the volume's start to memory");
	explicit_bzero(buf, n);
	return r;
}

/* libblkid gets the volume's start and end in a file in memory of the same size: all signatures
 * that it knows are there. */
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

static int add_reason(struct coffer_verifier *s, enum coffer_text t, const char *reason)
{
	return coffer_findings_add(
		&s->checks, t, COFFER_WITH(COFFER_ARG_TEXT("reason", reason)), NULL);
}

static int judge_filesystem(struct coffer_verifier *s, uint64_t available, const char *invalid)
{
	const struct coffer_filesystem_facts facts = {
		.type = s->content.type,
		.uuid = s->content.uuid,
		.label = s->content.label,
		.fs = s->fs,
		.invalid = invalid,
		.available = available,
		.in_use = s->busy,
	};

	return coffer_judge_filesystem(&facts, &s->checks);
}

static int read_volume(
	struct coffer_verifier *s, const struct coffer_mapping *map, struct coffer_err *e)
{
	struct coffer_err why = {0};
	int r;

	r = coffer_volume_open(s->dev, map, s->key, &s->volume, &why);
	if (r == -EINVAL)
		return add_reason(s, COFFER_TEXT_VOLUME_KEY_INVALID, why.msg);
	if (r == 0)
		r = probe_volume(s, &why);
	if (r == 0)
		r = coffer_volume_fs(&s->volume, &s->fs, &why);
	if (r < 0 && r != -EUCLEAN)
		return coffer_err_pass(e, r, &why);
	return judge_filesystem(s, map->size, r == -EUCLEAN ? why.msg : NULL);
}

/* Where the volume's bytes are, and with a key the filesystem that they hold. */
static int check_volume(struct coffer_verifier *s, struct coffer_err *e)
{
	const struct coffer_facts *f = &s->disk.facts;
	struct coffer_mapping map = {0};
	struct coffer_err why = {0};
	int r = 0;

	if (s->disk.operation == COFFER_OP_SHRUNK)
		return 0; /* the stage's finding */
	if (f->kind_error < 0 || f->kind == COFFER_LUKS2_OTHER)
		return add_reason(s, COFFER_TEXT_VOLUME_UNKNOWN, f->kind_reason.msg);
	if (f->kind == COFFER_LUKS2_CONVERTING)
		coffer_mapping_converting(&f->conversion, s->dev->size, &map);
	else
		r = coffer_mapping_finished(s->disk.header->json, s->dev->size, &map, &why);
	if (r < 0)
		return add_reason(s,
			r == -EOPNOTSUPP ? COFFER_TEXT_VOLUME_UNKNOWN : COFFER_TEXT_VOLUME_INVALID,
			why.msg);
	r = coffer_findings_add(&s->checks, COFFER_TEXT_VOLUME,
		COFFER_WITH(COFFER_ARG_SIZE("volume_size", map.size)), NULL);
	if (r < 0)
		return r;
	if (!s->key)
		return coffer_findings_add(&s->checks, COFFER_TEXT_FILESYSTEM_NO_KEY, NULL, NULL);
	if (coffer_status_holder(s->status, COFFER_HOLDER_REENCRYPTION))
		return coffer_findings_add(&s->checks, COFFER_TEXT_FILESYSTEM_MOVING, NULL, NULL);
	return read_volume(s, &map, e);
}

/* --- remains of a conversion --- */

static int read_record(struct coffer_verifier *s, enum coffer_placement_kind kind,
	struct coffer_remnants *ret, struct coffer_err *e)
{
	const struct coffer_geometry *g = &ret->geometry;
	struct coffer_record *rec = &ret->record[kind];
	bool found;
	int r;

	r = coffer_record_read(s->dev, coffer_record_offset(g, kind), rec, &found, e);
	ret->has_record[kind] = r == 0 && found && rec->kind == kind &&
				coffer_geometry_same_places(&rec->geometry, g);
	return r;
}

static int read_image(struct coffer_verifier *s, struct coffer_remnants *ret, struct coffer_err *e)
{
	const struct coffer_record *rec = &ret->record[COFFER_RECORD_PLACE];

	if (!ret->has_record[COFFER_RECORD_PLACE])
		return 0;
	return coffer_dev_check_hash(s->dev, coffer_image_offset(&rec->geometry), rec->image_size,
		rec->image_hash, &ret->image_intact, e);
}

static int read_copy(struct coffer_verifier *s, struct coffer_remnants *ret, struct coffer_err *e)
{
	const uint64_t at = coffer_segment_copy_offset(&ret->geometry);
	struct coffer_content content = {0};
	const int r = coffer_signatures_read(s->dev, at, s->dev->size - at, &content, e);

	(void)snprintf(ret->copy_type, sizeof(ret->copy_type), "%s", content.type);
	(void)snprintf(ret->copy_uuid, sizeof(ret->copy_uuid), "%s", content.uuid);
	return r;
}

/* A finished volume that was made in place, with all of the device: what the conversion kept in the
 * reserve. A volume made otherwise has only ciphertext there. */
static int check_remnants(struct coffer_verifier *s, struct coffer_err *e)
{
	const uint64_t shift = s->status->data_offset;
	struct coffer_remnants found = {
		.geometry = {.device = s->dev->size,
			.shift = shift,
			.length = s->dev->size - 2 * shift,
			.sector_size = COFFER_SECTOR},
		.uuid = s->status->uuid,
		.fs_uuid = s->have_content ? s->content.uuid : NULL,
	};
	int r;

	if (coffer_geometry_check(&found.geometry, NULL) < 0)
		return coffer_findings_add(&s->checks, COFFER_TEXT_SEGMENT_COPY_NEVER, NULL, NULL);
	r = read_record(s, COFFER_RECORD_PLACE, &found, e);
	if (r == 0)
		r = read_record(s, COFFER_RECORD_UNDO, &found, e);
	if (r == 0)
		r = read_image(s, &found, e);
	if (r == 0)
		r = read_copy(s, &found, e);
	return r < 0 ? r : coffer_judge_remnants(&found, &s->checks);
}

/* --- a plain disk --- */

static int check_plain(struct coffer_verifier *s, struct coffer_err *e)
{
	const struct coffer_moved_segment *v = &s->segment;
	struct coffer_volume plain = coffer_volume_plain(s->dev, s->dev->size);
	struct coffer_err why = {0};
	int r;

	r = coffer_signatures_read(s->dev, 0, s->dev->size, &s->content, e);
	if (r < 0)
		return r;
	s->have_content = true;
	r = coffer_volume_fs(&plain, &s->fs, &why);
	if (r < 0 && r != -EUCLEAN)
		return coffer_err_pass(e, r, &why);
	r = judge_filesystem(s, s->dev->size, r < 0 ? why.msg : NULL);
	if (r < 0 || !v->has_stale_record)
		return r;
	return coffer_findings_add(&s->checks, COFFER_TEXT_RECORD_STALE,
		COFFER_WITH(COFFER_ARG_NUMBER(
			"offset", coffer_record_offset(&v->stale.geometry, COFFER_RECORD_PLACE))),
		COFFER_RUN("coffer", "repair", s->dev->name));
}

int coffer_verify_content(struct coffer_verifier *s, struct coffer_err *e)
{
	const enum coffer_stage stage = s->status->stage;
	int r;

	if (stage == COFFER_STAGE_PLAIN || stage == COFFER_STAGE_RESERVED)
		return check_plain(s, e);
	if (!s->disk.header)
		return 0;
	if (stage == COFFER_STAGE_WIPE_PENDING) {
		const struct coffer_geometry *g = &s->disk.facts.conversion.geometry;

		r = coffer_findings_add(&s->checks, COFFER_TEXT_WIPE_PENDING,
			COFFER_WITH(COFFER_ARG_NUMBER("offset", coffer_segment_copy_offset(g)),
				COFFER_ARG_NUMBER("size", g->shift)),
			NULL);
		if (r < 0)
			return r;
	}
	r = check_volume(s, e);
	return r < 0 || stage != COFFER_STAGE_ENCRYPTED ? r : check_remnants(s, e);
}

/* --- the filesystem's checker --- */

static int check_mapped(
	void *type, const char *path, const struct coffer_stop *stop, struct coffer_err *e)
{
	return coffer_fsck(type, path, stop, e);
}

/* Why the checker cannot run; NULL: it can. */
static const char *find_obstacle(const struct coffer_verifier *s)
{
	switch (s->status->stage) {
	case COFFER_STAGE_PLAIN:
	case COFFER_STAGE_RESERVED:
		break;
	case COFFER_STAGE_ENCRYPTED:
		if (!s->key)
			return "a key is needed";
		if (!s->have_content)
			return "the volume could not be read";
		break;
	default:
		return "the conversion is not finished";
	}
	if (!s->content.type[0])
		return "no known filesystem";
	if (s->busy)
		return "the filesystem is in use";
	if (!coffer_fsck_command(s->content.type))
		return "no checker known for this filesystem";
	return NULL;
}

static int run_checker(struct coffer_verifier *s, struct coffer_err *e)
{
	if (s->status->stage != COFFER_STAGE_ENCRYPTED)
		return coffer_fsck(s->content.type, s->dev->name, &s->stop, e);
	return coffer_luks2_map(
		s->header, s->dev->name, s->key, check_mapped, s->content.type, &s->stop, e);
}

int coffer_verify_checker(struct coffer_verifier *s, struct coffer_err *e)
{
	const char *obstacle = find_obstacle(s);
	enum coffer_text t = COFFER_TEXT_CHECKER_NOT_RUN;
	const char *command = "";
	struct coffer_err why = {0};
	char path[512];
	int r;

	if (!obstacle) {
		command = coffer_fsck_command(s->content.type);
		r = run_checker(s, &why);
		if (r == -EINTR)
			return coffer_verify_stopped(s, e);
		t = r == 0	    ? COFFER_TEXT_CHECKER
		    : r == -EBADMSG ? COFFER_TEXT_CHECKER_ERRORS
				    : COFFER_TEXT_CHECKER_NOT_RUN;
		obstacle = why.msg;
	}
	(void)coffer_quote(s->dev->name, path, sizeof(path));
	return coffer_findings_add(&s->checks, t,
		COFFER_WITH(COFFER_ARG_TEXT("checker", command),
			COFFER_ARG_TEXT("reason", obstacle),
			COFFER_ARG_TEXT("path", s->disk.header ? "/dev/mapper/NAME" : path)),
		NULL);
}
