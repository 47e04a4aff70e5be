/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* encrypt.c - examine, do the one thing that the disk needs next, examine again */
#include "coffer/encrypt.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/quote.h"
#include "block/open.h"
#include "convert/convert.h"
#include "convert/encrypt.h"
#include "convert/image.h"
#include "convert/moved_segment_read.h"
#include "convert/new_header.h"
#include "convert/place.h"
#include "convert/preflight.h"
#include "convert/used.h"

/* More stages than any disk can need; a loop that finds the same thing again and again ends. */
enum {
	MAX_STAGES = 12
};

/* A run of its own may still find what an interrupted cryptsetup has left. */
static int check_leftovers(struct coffer_session *s, struct coffer_err *e)
{
	struct coffer_moved_segment v;
	const int r = coffer_moved_segment_read(&s->disk, &v, e);

	return r < 0 ? r : coffer_moved_segment_refuse(&s->disk, &v, e);
}

/* The guards looked before a passphrase was asked for and a key derived from it. A block device was
 * ours alone since; an image file can have been attached and mounted. */
static int confirm(struct coffer_session *s, struct coffer_err *e)
{
	int r = 0;

	if (s->dev->fd >= 0 && !s->dev->is_block)
		r = coffer_dev_check_exclusive(s->dev, e);
	return r < 0 ? r : coffer_used_confirm(s, e);
}

/* The new header, with a key derived for it. */
static int derive_new(struct coffer_session *s, const struct coffer_preflight *g, int *ret_fd,
	struct coffer_err *e)
{
	_cleanup_lock_ struct coffer_lock *lock = NULL;
	const int r = coffer_session_lock_derivation(s, &lock, e);

	return r < 0 ? r : coffer_new_header_build(s, &g->format, &g->geometry, ret_fd, e);
}

/* The lock for derivations is taken while no other is held. So the key comes before the lock of the
 * volume, but only after a look whether that can be had: nobody is asked in vain. Should the header
 * be another one afterwards, the key does not fit it. */
static int derive_first(struct coffer_session *s, struct coffer_err *e)
{
	int r;

	r = coffer_session_lock(s, s->disk.header->uuid, e);
	coffer_lock_free(TAKE_PTR(s->own.reencryption));
	if (r == 0)
		r = check_leftovers(s, e);
	return r < 0 ? r : coffer_session_unlock(s, e);
}

static int start(struct coffer_session *s, struct coffer_err *e)
{
	_cleanup_close_ int header = -1;
	struct coffer_record record = {0};
	_cleanup_free_ uint8_t *image = NULL;
	struct coffer_preflight found = {.dev = s->dev, .o = s->o};
	const struct coffer_geometry *g = &found.geometry;
	int r;

	r = check_leftovers(s, e);
	if (r == 0)
		r = coffer_preflight_run(&found, e);
	if (r == 0)
		r = coffer_new_header_check_options(&found.format, e);
	if (r < 0)
		return r;
	(void)snprintf(s->result->filesystem, sizeof(s->result->filesystem), "%s",
		coffer_fs_name(found.fs.kind));
	coffer_result_set_geometry(s->result, g, found.format.cipher);
	r = coffer_used_find(s, &found, true, e);
	if (r == 0 && s->o->dry_run) {
		r = coffer_new_header_try(s, found.format, g, &header, e);
		return r < 0 ? r : coffer_used_store(s, header, e);
	}
	if (r == 0)
		r = coffer_session_ask(s, COFFER_ASK_NEW, e);
	if (r == 0)
		r = derive_new(s, &found, &header, e);
	if (r == 0)
		r = coffer_used_store(s, header, e);
	record.geometry = *g;
	if (r == 0)
		r = coffer_image_load(header, &record, &image, e);
	if (r == 0)
		r = coffer_session_lock(s, record.uuid, e);
	if (r == 0)
		r = coffer_session_check_stop(s, e);
	if (r == 0)
		r = confirm(s, e);
	if (r < 0)
		return r;
	coffer_session_progress(s, COFFER_PHASE_PLACE, 0, g->length);
	s->changed = true;
	return coffer_place_begin(s->dev, g, header, e);
}

/* There is nothing to go on with, and the caller wants nothing begun. */
static int nothing_begun(const struct coffer_session *s, struct coffer_err *e)
{
	const char *name = s->dev->name;

	if (s->disk.operation == COFFER_OP_FINISH_UNDO)
		(void)coffer_err_set(e, ENOENT,
			"%s: an abort is under way; it would be finished, and then nothing be left "
			"to go on with",
			name);
	else if (s->result->aborted)
		(void)coffer_err_set(e, ENOENT,
			"%s: the abort that was under way is finished and the plain filesystem is "
			"back: nothing is left to go on with; %s begins anew",
			name, coffer_command("coffer encrypt", name).s);
	else if (s->disk.operation == COFFER_OP_ENCRYPTED)
		(void)coffer_err_set(e, ENOENT, "%s is encrypted: nothing to go on with", name);
	else
		(void)coffer_err_set(e, ENOENT,
			"%s holds no conversion: nothing to go on with; %s begins one", name,
			coffer_command("coffer encrypt", name).s);
	coffer_err_outcome(e, COFFER_NO);
	return -ENOENT;
}

/* The rest of an abort. The plain filesystem is back then, and that is the end of a run which may
 * not begin anything. */
static int redo_restore(struct coffer_session *s, struct coffer_err *e)
{
	int r;

	s->changed = true;
	coffer_session_progress(s, COFFER_PHASE_UNDO, 0, 0);
	r = coffer_place_undo(&s->disk, e);
	s->result->aborted = r == 0 && s->o->resume_only;
	return r;
}

/* What a dry run says of a disk on which something was begun. */
static int rehearse(struct coffer_session *s, struct coffer_err *e)
{
	int r;

	if (s->disk.operation == COFFER_OP_FINISH_UNDO && s->o->resume_only)
		return nothing_begun(s, e);
	r = coffer_disk_refuse(&s->disk, e);
	return r < 0 || s->disk.operation != COFFER_OP_CONVERT ? r : check_leftovers(s, e);
}

/* Whoever opens a finished volume mends it, too: then the next look finds it done. */
static int sync_final(struct coffer_session *s, struct coffer_err *e)
{
	struct coffer_err why = {0};
	const int r = coffer_convert_sync(s, &why);

	if (r == -ESTALE)
		return 0;
	if (r < 0 && e)
		*e = why;
	return r;
}

/* One stage. *ret_done: nothing is left to do. */
static int run_stage(struct coffer_session *s, bool *ret_done, struct coffer_err *e)
{
	const struct coffer_disk *disk = &s->disk;
	int r = 0;

	switch (disk->operation) {
	case COFFER_OP_START:
		return s->o->resume_only ? nothing_begun(s, e) : start(s, e);
	case COFFER_OP_REDO_PLACEMENT:
		s->changed = true;
		return coffer_place_redo(
			s->dev, &disk->facts.record[COFFER_RECORD_PLACE], disk->image, e);
	case COFFER_OP_FINISH_PLACEMENT:
		s->changed = true;
		return coffer_place_finish(&s->disk, e);
	case COFFER_OP_FINISH_UNDO:
		return redo_restore(s, e);
	case COFFER_OP_CONVERT:
	case COFFER_OP_FINALIZE:
		if (!s->changed) /* this run's own placement leaves no such thing */
			r = check_leftovers(s, e);
		if (r == 0)
			r = coffer_disk_refuse(disk, e);
		if (r == 0)
			r = coffer_session_unlock(s, e);
		if (r < 0)
			return r;
		if (disk->operation == COFFER_OP_FINALIZE)
			return coffer_convert_finalize(s, e);
		r = coffer_used_load(s, e);
		return r < 0 ? r : coffer_convert(s, e);
	case COFFER_OP_SYNC_FINAL:
		return sync_final(s, e);
	case COFFER_OP_ENCRYPTED:
		*ret_done = true;
		s->result->finished = true;
		if (s->changed)
			return 0;
		return s->o->resume_only ? nothing_begun(s, e)
					 : coffer_disk_refuse_encrypted(s->dev, e);
	case COFFER_OP_OTHER:
	case COFFER_OP_SHRUNK:
	case COFFER_OP_DAMAGED:
	case COFFER_OP_UNKNOWN:
	case COFFER_N_OPERATIONS:
		break;
	}
	return coffer_disk_refuse(disk, e);
}

/* Does a run work for the volume that is there, so that it needs its reencryption lock? */
static bool works_for_volume(enum coffer_operation a)
{
	return a != COFFER_OP_START && a != COFFER_OP_ENCRYPTED && a != COFFER_OP_OTHER &&
	       a != COFFER_OP_DAMAGED;
}

static void tell_volume(struct coffer_session *s, bool converting)
{
	const struct coffer_facts *f = &s->disk.facts;
	const struct coffer_conversion *c = &f->conversion;

	if (s->disk.header)
		(void)snprintf(
			s->result->uuid, sizeof(s->result->uuid), "%s", s->disk.header->uuid);
	if (s->disk.operation == COFFER_OP_REDO_PLACEMENT)
		coffer_result_set_geometry(s->result, &f->record[COFFER_RECORD_PLACE].geometry, "");
	if (!converting)
		return;
	coffer_result_set_geometry(s->result, &c->geometry, c->cipher);
	s->result->converted = c->geometry.length - c->pointer;
}

/* What is on the disk, told to the result; and the lock of the volume that is there. */
static int examine(struct coffer_session *s, bool first, struct coffer_err *e)
{
	const struct coffer_facts *f = &s->disk.facts;
	const char *uuid;
	bool converting;
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
	converting = s->disk.header && f->kind_error == 0 && f->kind == COFFER_LUKS2_CONVERTING;
	tell_volume(s, converting);
	uuid = coffer_volume_uuid(f);
	if (!uuid) /* the volume whose lock is held is gone: a new one has a UUID of its own */
		coffer_lock_free(TAKE_PTR(s->own.reencryption));
	if (!uuid || !works_for_volume(s->disk.operation))
		return 0;
	if (converting && s->o->serialize_memory_hard_pbkdf && !s->own.key && !s->o->dry_run &&
		s->disk.operation != COFFER_OP_FINISH_UNDO) {
		coffer_lock_free(
			TAKE_PTR(s->own.reencryption)); /* of a placement that was redone */
		r = derive_first(s, e);
	}
	if (r < 0 || s->own.reencryption)
		return r;
	r = coffer_session_lock(s, uuid, e);
	/* Whoever held the lock until now may have moved the pointer: read again under it. */
	return r < 0 ? r : coffer_disk_examine(s->dev, &s->disk, e);
}

int coffer_encrypt_run(struct coffer_session *s, struct coffer_err *e)
{
	bool done = false;
	int r;

	coffer_session_progress(s, COFFER_PHASE_PREPARE, 0, 0);

	for (int i = 0; i < MAX_STAGES; i++) {
		r = examine(s, i == 0, e);
		if (r == 0 && s->disk.operation != COFFER_OP_ENCRYPTED)
			r = coffer_session_check_stop(s, e);
		if (r == 0 && s->o->dry_run && s->disk.operation != COFFER_OP_START &&
			s->disk.operation != COFFER_OP_ENCRYPTED)
			return rehearse(s, e);
		if (r == 0)
			r = run_stage(s, &done, e);
		if (r < 0)
			return r;
		if (done) {
			s->result->finished = true;
			return 0;
		}
		if (s->o->dry_run)
			return 0;
	}
	return coffer_err_needs_repair(e, ELOOP, "%s: the disk asks for '%s' again and again",
		s->dev->name, coffer_operation_name(s->disk.operation));
}

int coffer_encrypt(const struct coffer_encrypt_options *o, struct coffer_encrypt_result *ret,
	struct coffer_err *e)
{
	return coffer_session_run("encrypt", o, coffer_encrypt_run, ret, e);
}

int coffer_resume(const struct coffer_encrypt_options *o, struct coffer_encrypt_result *ret,
	struct coffer_err *e)
{
	struct coffer_encrypt_options resume = *o;

	resume.resume_only = true;
	return coffer_session_run("resume", &resume, coffer_encrypt_run, ret, e);
}

int coffer_encrypt_dev(struct coffer_dev *dev, const struct coffer_encrypt_options *o,
	struct coffer_encrypt_result *ret, struct coffer_err *e)
{
	return coffer_session_run_dev("encrypt", dev, o, coffer_encrypt_run, ret, e);
}
