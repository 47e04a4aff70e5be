/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* encrypt.c - examine the disk, do the one operation that it needs next, examine again */
#include "convert/operations.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/quote.h"
#include "block/open.h"
#include "convert/image.h"
#include "convert/moved_segment.h"
#include "convert/new_header.h"
#include "convert/place.h"
#include "convert/preflight.h"
#include "convert/used.h"

/* More operations than any disk needs. */
enum {
	MAX_OPERATIONS = 12
};

static int check_moved_segment(const struct coffer_disk *disk, struct coffer_err *e)
{
	struct coffer_moved_segment v;
	const int r = coffer_moved_segment_read(disk, &v, e);

	return r < 0 ? r : coffer_moved_segment_refuse(disk, &v, e);
}

/* --- begin ---------------------------------------------------------------------------------- */

/* Preflight ran before a passphrase was asked for and a key derived. This run has had exclusive
 * access to a block device since then; an image file may have been attached and mounted. */
static int confirm(struct coffer_session *s, struct coffer_err *e)
{
	int r;

	if (s->dev->fd >= 0 && !s->dev->is_block) {
		r = coffer_dev_check_exclusive(s->dev, e);
		if (r < 0)
			return r;
	}
	return coffer_used_confirm(s, e);
}

/* The new header, with a key derived for it. */
static int derive_new(struct coffer_session *s, const struct coffer_preflight *g, int *ret_fd,
	struct coffer_err *e)
{
	_cleanup_lock_ struct coffer_lock *lock = NULL;
	const int r = coffer_session_lock_derivation(s, &lock, e);

	return r < 0 ? r : coffer_new_header_build(s, &g->format, &g->geometry, ret_fd, e);
}

static int preflight(struct coffer_session *s, struct coffer_preflight *g, struct coffer_err *e)
{
	int r;

	r = check_moved_segment(&s->disk, e);
	if (r < 0)
		return r;
	r = coffer_preflight_run(g, e);
	if (r < 0)
		return r;
	r = coffer_new_header_check_options(&g->format, e);
	if (r < 0)
		return r;
	(void)snprintf(s->result->filesystem, sizeof(s->result->filesystem), "%s",
		coffer_fs_name(g->fs.kind));
	coffer_result_set_geometry(s->result, &g->geometry, g->format.cipher);
	return coffer_used_find(s, g, true, e);
}

static int start(struct coffer_session *s, struct coffer_err *e)
{
	struct coffer_preflight g = {.dev = s->dev, .o = s->o};
	_cleanup_close_ int header = -1;
	_cleanup_free_ uint8_t *image = NULL;
	struct coffer_record record = {.kind = COFFER_RECORD_PLACE};
	int r;

	r = preflight(s, &g, e);
	if (r < 0)
		return r;
	if (s->o->dry_run) {
		r = coffer_new_header_try(s, g.format, &g.geometry, &header, e);
		return r < 0 ? r : coffer_used_store(s, header, e);
	}
	r = coffer_session_ask(s, COFFER_ASK_NEW, e);
	if (r < 0)
		return r;
	r = derive_new(s, &g, &header, e);
	if (r < 0)
		return r;
	r = coffer_used_store(s, header, e);
	if (r < 0)
		return r;
	record.geometry = g.geometry;
	r = coffer_image_load(header, &record, &image, e);
	if (r < 0)
		return r;
	r = coffer_session_lock(s, record.uuid, e);
	if (r < 0)
		return r;
	r = coffer_session_check_stop(s, e);
	if (r < 0)
		return r;
	r = confirm(s, e);
	if (r < 0)
		return r;
	coffer_session_progress(s, COFFER_PHASE_PLACE, 0, g.geometry.length);
	s->changed = true;
	return coffer_place_begin(s->dev, &record, image, e);
}

static int nothing_to_resume(const struct coffer_session *s, struct coffer_err *e)
{
	const enum coffer_operation op = s->disk.operation;
	const char *name = s->dev->name;
	const char *why = "no conversion";

	if (s->result->aborted)
		why = "the abort is finished, and the plain filesystem is back";
	else if (op == COFFER_OP_FINISH_UNDO)
		why = "an abort is not finished: this would finish it";
	else if (op == COFFER_OP_ENCRYPTED)
		why = "already encrypted";
	(void)coffer_err_set(e, ENOENT, "%s: %s; nothing to resume", name, why);
	if (op == COFFER_OP_START && !s->result->aborted)
		(void)coffer_err_advise(
			e, 0, "start a run with %s", coffer_command("coffer encrypt", name).s);
	coffer_err_outcome(e, COFFER_NO);
	return coffer_err_id(e, -ENOENT, COFFER_FINDING_NO_CONVERSION);
}

/* --- resume --------------------------------------------------------------------------------- */

/* Finish an abort. That ends a run which may not begin anything. */
static int finish_undo(struct coffer_session *s, struct coffer_err *e)
{
	int r;

	s->changed = true;
	coffer_session_progress(s, COFFER_PHASE_UNDO, 0, 0);
	r = coffer_place_undo(&s->disk, e);
	s->result->aborted = r == 0 && s->o->resume_only;
	return r;
}

static int resume(struct coffer_session *s, struct coffer_err *e)
{
	int r;

	/* This run's own placement was verified. */
	r = s->changed ? 0 : check_moved_segment(&s->disk, e);
	if (r < 0)
		return r;
	r = coffer_disk_refuse(&s->disk, e);
	if (r < 0)
		return r;
	r = coffer_session_unlock(s, e);
	if (r < 0)
		return r;
	if (s->disk.operation == COFFER_OP_FINALIZE)
		return coffer_convert_finalize(s, e);
	r = coffer_used_load(s, e);
	return r < 0 ? r : coffer_convert(s, e);
}

/* cryptsetup does the same whenever it opens the volume; then the disk is examined again. */
static int sync_final(struct coffer_session *s, struct coffer_err *e)
{
	struct coffer_err why = {0};
	const int r = coffer_convert_sync(s, &why);

	if (r == -ESTALE)
		return 0;
	return r < 0 ? coffer_err_pass(e, r, &why) : 0;
}

/* A dry run on a disk that a run has begun. */
static int rehearse(struct coffer_session *s, struct coffer_err *e)
{
	int r;

	if (s->disk.operation == COFFER_OP_FINISH_UNDO && s->o->resume_only)
		return nothing_to_resume(s, e);
	r = coffer_disk_refuse(&s->disk, e);
	if (r < 0 || s->disk.operation != COFFER_OP_CONVERT)
		return r;
	return check_moved_segment(&s->disk, e);
}

/* --- one operation after the other ------------------------------------------------------------ */

/* *ret_done: nothing is left to do. */
static int operate(struct coffer_session *s, bool *ret_done, struct coffer_err *e)
{
	const struct coffer_disk *disk = &s->disk;

	switch (disk->operation) {
	case COFFER_OP_START:
		return s->o->resume_only ? nothing_to_resume(s, e) : start(s, e);
	case COFFER_OP_REDO_PLACEMENT:
		s->changed = true;
		return coffer_place_redo(
			s->dev, &disk->facts.record[COFFER_RECORD_PLACE], disk->image, e);
	case COFFER_OP_FINISH_PLACEMENT:
		s->changed = true;
		return coffer_place_finish(&s->disk, e);
	case COFFER_OP_FINISH_UNDO:
		return finish_undo(s, e);
	case COFFER_OP_CONVERT:
	case COFFER_OP_FINALIZE:
		return resume(s, e);
	case COFFER_OP_SYNC_FINAL:
		return sync_final(s, e);
	case COFFER_OP_ENCRYPTED:
		*ret_done = true;
		s->result->finished = true;
		if (s->changed)
			return 0;
		return s->o->resume_only ? nothing_to_resume(s, e)
					 : coffer_disk_refuse_encrypted(s->dev, e);
	default:
		return coffer_disk_refuse(disk, e);
	}
}

static int report_volume(struct coffer_session *s, struct coffer_err *e)
{
	const struct coffer_disk *disk = &s->disk;
	const struct coffer_conversion *c = &disk->facts.conversion;
	struct coffer_encrypt_result *ret = s->result;

	if (disk->header)
		(void)snprintf(ret->uuid, sizeof(ret->uuid), "%s", disk->header->uuid);
	if (disk->operation == COFFER_OP_REDO_PLACEMENT)
		coffer_result_set_geometry(
			ret, &disk->facts.record[COFFER_RECORD_PLACE].geometry, "");
	if (!coffer_disk_is_converting(disk))
		return 0;
	coffer_result_set_geometry(ret, &c->geometry, COFFER_CIPHER);
	/* A placement or an undo does not need the map, and an unreadable one must not stop it. */
	if (disk->operation == COFFER_OP_CONVERT || disk->operation == COFFER_OP_FINALIZE ||
		s->o->dry_run)
		return coffer_progress_read(disk, &ret->converted, &ret->used, e);
	ret->used = c->geometry.length;
	ret->converted = ret->used - c->pointer;
	return 0;
}

/* The memory-hard lock is taken while no other lock is held, so the key is derived before the
 * volume's lock is taken. The lock is tried first, so that a passphrase is not asked for in vain.
 * If the header is another one afterwards, the key does not fit it. */
static int derive_first(struct coffer_session *s, struct coffer_err *e)
{
	int r;

	coffer_lock_free(TAKE_PTR(s->own.reencryption)); /* of a placement that was redone */
	r = coffer_session_lock(s, s->disk.header->uuid, e);
	coffer_lock_free(TAKE_PTR(s->own.reencryption));
	if (r < 0)
		return r;
	r = check_moved_segment(&s->disk, e);
	return r < 0 ? r : coffer_session_unlock(s, e);
}

/* Take the lock of the volume that is there. */
static int lock_volume(struct coffer_session *s, struct coffer_err *e)
{
	const enum coffer_operation op = s->disk.operation;
	const char *uuid = coffer_volume_uuid(&s->disk.facts);
	int r;

	if (!uuid) /* the volume whose lock is held is gone; a new one gets another UUID */
		coffer_lock_free(TAKE_PTR(s->own.reencryption));
	if (!uuid || op == COFFER_OP_START || op == COFFER_OP_ENCRYPTED || op == COFFER_OP_OTHER ||
		op == COFFER_OP_DAMAGED)
		return 0; /* no work on the volume that is there */
	if (coffer_disk_is_converting(&s->disk) && s->o->serialize_memory_hard_pbkdf &&
		!s->own.key && !s->o->dry_run && op != COFFER_OP_FINISH_UNDO) {
		r = derive_first(s, e);
		if (r < 0)
			return r;
	}
	return coffer_session_lock_volume(s, uuid, e);
}

static int examine(struct coffer_session *s, bool first, struct coffer_err *e)
{
	int r;

	coffer_dev_set_direct(s->dev, false);
	r = coffer_disk_examine(s->dev, &s->disk, e);
	if (r < 0)
		return r;
	if (first) {
		s->result->operation = s->disk.operation;
		s->result->resumed = s->disk.operation != COFFER_OP_START &&
				     s->disk.operation != COFFER_OP_ENCRYPTED;
	}
	r = report_volume(s, e);
	return r < 0 ? r : lock_volume(s, e);
}

int coffer_encrypt_run(struct coffer_session *s, struct coffer_err *e)
{
	int r;

	coffer_session_progress(s, COFFER_PHASE_PREPARE, 0, 0);
	for (int i = 0; i < MAX_OPERATIONS; i++) {
		bool done = false;

		r = examine(s, i == 0, e);
		if (r < 0)
			return r;
		if (s->disk.operation != COFFER_OP_ENCRYPTED) {
			r = coffer_session_check_stop(s, e);
			if (r < 0)
				return r;
			if (s->o->dry_run && s->disk.operation != COFFER_OP_START)
				return rehearse(s, e);
		}
		r = operate(s, &done, e);
		if (r < 0 || done || s->o->dry_run)
			return r;
	}
	r = coffer_err_needs_repair(e, ELOOP, "%s: no progress: operation '%s' repeats",
		s->dev->name, coffer_operation_name(s->disk.operation));
	return coffer_err_id(e, r, COFFER_FINDING_NO_PROGRESS);
}

int coffer_encrypt(const struct coffer_encrypt_options *o, struct coffer_encrypt_result *ret,
	struct coffer_err *e)
{
	return coffer_session_run(NULL, o, coffer_encrypt_run, ret, e);
}

int coffer_resume(const struct coffer_encrypt_options *o, struct coffer_encrypt_result *ret,
	struct coffer_err *e)
{
	struct coffer_encrypt_options resume = *o;

	resume.resume_only = true;
	return coffer_session_run(NULL, &resume, coffer_encrypt_run, ret, e);
}
