/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* abort.c - undo a conversion before its first step is committed */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/quote.h"
#include "base/size.h"
#include "coffer/encrypt.h"
#include "convert/operations.h"
#include "convert/moved_segment.h"
#include "convert/place.h"

/* Why the conversion on this disk cannot be undone. */
static int too_late(const struct coffer_disk *disk, struct coffer_err *e)
{
	const char *name = disk->dev->name;
	uint64_t done, total;
	int r;

	switch (disk->operation) {
	case COFFER_OP_START:
		(void)coffer_err_set(e, EALREADY, "%s holds no conversion: nothing to abort", name);
		break;
	case COFFER_OP_ENCRYPTED:
		(void)coffer_err_set(e, EALREADY, "%s is encrypted: nothing to abort", name);
		(void)coffer_err_advise(
			e, 0, "to decrypt it, use 'cryptsetup reencrypt --decrypt --header FILE'");
		break;
	case COFFER_OP_CONVERT:
	case COFFER_OP_FINALIZE:
	case COFFER_OP_SYNC_FINAL:
		r = coffer_progress_read(disk, &done, &total, e);
		if (r < 0)
			return r;
		r = coffer_err_refuse(e, EINVAL,
			"%s: too late to abort, because %s of %s is converted", name,
			coffer_size_format(done).s, coffer_size_format(total).s);
		(void)coffer_err_advise(e, r, "finish the conversion with %s",
			coffer_command("coffer encrypt", name).s);
		return coffer_err_id(e, r, COFFER_FINDING_COMMITTED);
	default:
		return coffer_disk_refuse(disk, e);
	}
	coffer_err_outcome(e, COFFER_NO);
	return coffer_err_id(e, -EALREADY, COFFER_FINDING_NO_CONVERSION);
}

/* An incomplete copy would overwrite what is left of the first bytes. */
static int check_copy(
	const struct coffer_disk *disk, struct coffer_moved_segment *v, struct coffer_err *e)
{
	char why[512];
	int r;

	r = coffer_moved_segment_read(disk, v, e);
	if (r < 0 || !coffer_moved_segment_copy_is_incomplete(v, why, sizeof(why)))
		return r;
	r = coffer_err_needs_repair(e, EUCLEAN,
		"%s: %s; an undo would overwrite what is left of them; nothing was changed",
		disk->dev->name, why);
	return coffer_err_id(e, r, COFFER_FINDING_MOVED_SEGMENT_COPY);
}

int coffer_abort_run(struct coffer_session *s, struct coffer_err *e)
{
	const struct coffer_disk *disk = &s->disk;
	struct coffer_moved_segment v = {0};
	int r;

	r = coffer_disk_examine(s->dev, &s->disk, e);
	if (r < 0)
		return r;
	if (disk->header)
		(void)snprintf(s->result->uuid, sizeof(s->result->uuid), "%s", disk->header->uuid);
	r = coffer_session_lock_volume(s, coffer_volume_uuid(&disk->facts), e);
	if (r < 0)
		return r;
	s->result->operation = disk->operation;
	s->result->resumed = disk->operation == COFFER_OP_FINISH_UNDO;
	if (!coffer_can_abort(disk->operation, &disk->facts))
		return too_late(disk, e);
	if (disk->operation == COFFER_OP_CONVERT) {
		r = check_copy(disk, &v, e);
		if (r < 0)
			return r;
	}
	coffer_result_set_geometry(s->result,
		disk->header ? &disk->facts.conversion.geometry : &disk->facts.transition.geometry,
		"");
	if (s->o->dry_run)
		return 0;
	r = coffer_session_check_stop(s, e);
	if (r < 0)
		return r;
	coffer_session_progress(s, COFFER_PHASE_UNDO, 0, s->result->data_offset);
	s->changed = true;
	/* coffer has verified its own copy. cryptsetup's is not verified, and what lies in place
	 * may be all that is left of the moved segment: so that is kept. */
	if (disk->operation != COFFER_OP_CONVERT || v.own)
		r = coffer_place_undo(&s->disk, e);
	else
		r = coffer_fs_undo_stock(s, &disk->facts.conversion.geometry, e);
	s->result->aborted = r == 0;
	return r;
}

int coffer_abort(const struct coffer_encrypt_options *o, struct coffer_encrypt_result *ret,
	struct coffer_err *e)
{
	return coffer_session_run(NULL, o, coffer_abort_run, ret, e);
}
