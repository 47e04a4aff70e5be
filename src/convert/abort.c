/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* abort.c - take back a conversion of which no step has been committed */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/quote.h"
#include "coffer/encrypt.h"
#include "convert/encrypt.h"
#include "convert/fs_check.h"
#include "convert/moved_segment_read.h"
#include "convert/place.h"
#include "convert/session.h"

/* Why the conversion on this disk cannot be taken back. */
static int too_late(const struct coffer_disk *disk, struct coffer_err *e)
{
	const struct coffer_conversion *c = &disk->facts.conversion;
	const char *name = disk->dev->name;

	switch (disk->operation) {
	case COFFER_OP_START:
		(void)coffer_err_set(
			e, EALREADY, "%s holds no conversion: nothing to take back", name);
		break;
	case COFFER_OP_ENCRYPTED:
		(void)coffer_err_set(e, EALREADY,
			"%s is encrypted to its end: nothing to take back; 'cryptsetup reencrypt "
			"--decrypt' turns it into plain data again",
			name);
		break;
	case COFFER_OP_CONVERT:
	case COFFER_OP_FINALIZE:
	case COFFER_OP_SYNC_FINAL:
		return coffer_err_refuse(e, EINVAL,
			"%s: %" PRIu64 " of %" PRIu64 " bytes are converted already, and what was "
			"used there is no longer plain; run %s to finish",
			name, c->geometry.length - c->pointer, c->geometry.length,
			coffer_command("coffer encrypt", name).s);
	default:
		return coffer_disk_refuse(disk, e);
	}
	coffer_err_outcome(e, COFFER_NO);
	return -EALREADY;
}

/* Whoever goes on is refused where the copy of the head is not all there, and so is who goes back:
 * that would overwrite what is left of the head. */
static int check_copy(
	struct coffer_session *s, struct coffer_moved_segment *v, struct coffer_err *e)
{
	char why[512];
	int r;

	r = coffer_moved_segment_read(&s->disk, v, e);
	if (r < 0 || !coffer_moved_segment_copy_is_incomplete(v, why, sizeof(why)))
		return r;
	return coffer_err_needs_repair(e, EUCLEAN,
		"%s: %s; to put that back would overwrite what is left of them; nothing was "
		"changed",
		s->dev->name, why);
}

/* A copy of coffer's own was verified; of cryptsetup's nobody knows, and what is in place of the
 * head may be all that there is of it. So that is kept. */
static int undo(
	struct coffer_session *s, const struct coffer_moved_segment *v, struct coffer_err *e)
{
	const struct coffer_stop stop = coffer_session_stop(s);
	const struct coffer_geometry g = s->disk.facts.conversion.geometry;
	int r;

	if (s->disk.operation != COFFER_OP_CONVERT || v->own)
		return coffer_place_undo(&s->disk, e);
	r = coffer_place_undo_stock(&s->disk, &g, e);
	return r < 0 ? r : coffer_fs_check_undone(s, &g, true, &stop, e);
}

static int run(struct coffer_session *s, struct coffer_err *e)
{
	struct coffer_moved_segment v = {0};
	const char *uuid;
	int r;

	r = coffer_disk_examine(s->dev, &s->disk, e);
	uuid = r == 0 ? coffer_volume_uuid(&s->disk.facts) : NULL;
	if (uuid) {
		if (s->disk.header)
			(void)snprintf(s->result->uuid, sizeof(s->result->uuid), "%s", uuid);
		r = coffer_session_lock(s, uuid, e);
		if (r == 0) /* whoever held the lock until now may have gone on */
			r = coffer_disk_examine(s->dev, &s->disk, e);
	}
	if (r < 0)
		return r;
	if (!coffer_can_abort(s->disk.operation, &s->disk.facts))
		return too_late(&s->disk, e);
	if (s->disk.operation == COFFER_OP_CONVERT)
		r = check_copy(s, &v, e);
	if (r < 0)
		return r;
	coffer_result_set_geometry(s->result,
		s->disk.header ? &s->disk.facts.conversion.geometry
			       : &s->disk.facts.transition.geometry,
		"");
	if (s->o->dry_run)
		return 0;
	r = coffer_session_check_stop(s, e);
	if (r < 0)
		return r;
	coffer_session_progress(s, COFFER_PHASE_UNDO, 0, s->result->data_offset);
	s->changed = true;
	r = undo(s, &v, e);
	s->result->aborted = r == 0;
	return r;
}

int coffer_abort(const struct coffer_encrypt_options *o, struct coffer_encrypt_result *ret,
	struct coffer_err *e)
{
	return coffer_session_run("abort", o, run, ret, e);
}

int coffer_abort_dev(struct coffer_dev *dev, const struct coffer_encrypt_options *o,
	struct coffer_encrypt_result *ret, struct coffer_err *e)
{
	return coffer_session_run_dev("abort", dev, o, run, ret, e);
}
