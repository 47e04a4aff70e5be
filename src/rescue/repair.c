/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* repair.c - say what is wrong and what can be done, ask, do it, look again after each action */
#include "rescue/repair.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/findings.h"
#include "block/holders.h"
#include "block/open.h"
#include "convert/encrypt.h"
#include "convert/fs_check.h"
#include "convert/moved_segment.h"
#include "convert/place.h"
#include "convert/stage.h"
#include "fs/signatures.h"
#include "report/status.h"
#include "rescue/diagnose.h"
#include "rescue/recover_copy.h"

enum {
	MAX_LOOKS = 20 /* at a disk that changes meanwhile */
};

/* The session's options come first: a session's o points to them, and so to all of this. */
struct repair {
	struct coffer_encrypt_options encrypt;
	const struct coffer_repair_options *o;
	const struct coffer_err *in_use; /* why the device could not be had alone; NULL: it is */
	struct coffer_repair_result *result;
	struct coffer_moved_segment segment;
	struct coffer_diagnosis diagnosis;
	bool plain_luks2;     /* nothing was begun, and yet libblkid sees LUKS2 */
	bool unknown_content; /* nothing was begun, and what is there nobody knows */
};

void coffer_repair_free(struct coffer_repair_result *r)
{
	if (!r)
		return;
	coffer_status_free(r->status);
	coffer_findings_free(&r->findings);
	free(r);
}

/* Judge the examined disk; the findings go to @l. */
static int diagnose(
	struct coffer_session *s, struct repair *p, struct coffer_findings *l, struct coffer_err *e)
{
	struct coffer_symptoms symptoms = {.device = s->dev->name,
		.operation = s->disk.operation,
		.facts = &s->disk.facts,
		.segment = &p->segment,
		.reason = s->disk.why,
		.plain_luks2 = p->plain_luks2,
		.unknown_content = p->unknown_content,
		.can_resume = p->o->callbacks.passphrase != NULL};
	int r = 0;

	if (s->disk.operation == COFFER_OP_START && s->disk.facts.header.newest == 1)
		r = coffer_recover_copy_read(&s->disk, &symptoms.lost, e);
	if (r < 0)
		return r;
	r = coffer_diagnose(&symptoms, l, &p->diagnosis);
	return r < 0 ? coffer_err_errno(e, -r, "judge %s", s->dev->name) : 0;
}

/* The lock of the volume that is there, and the disk as it is under that lock. */
static int lock_volume(struct coffer_session *s, struct coffer_err *e)
{
	/* Also where only a second copy is whole: cryptsetup goes on with that one. */
	const struct coffer_facts *f = &s->disk.facts;
	const char *uuid = f->header.newest >= 0 ? f->header.uuid : coffer_volume_uuid(f);
	int r;

	if (!uuid || s->own.reencryption)
		return 0;
	r = coffer_session_lock(s, uuid, e);
	return r < 0 ? r : coffer_disk_examine(s->dev, &s->disk, e);
}

static int examine_once(struct coffer_session *s, struct repair *p, struct coffer_err *e)
{
	int r;

	coffer_dev_set_direct(s->dev, false);
	r = coffer_disk_examine(s->dev, &s->disk, e);
	if (r == 0 && !s->dev->read_only)
		r = lock_volume(s, e);
	return r < 0 ? r : coffer_moved_segment_read(&s->disk, &p->segment, e);
}

static int examine(struct coffer_session *s, struct repair *p, struct coffer_err *e)
{
	struct coffer_content content = {0};
	int r;

	p->plain_luks2 = p->unknown_content = false;
	r = examine_once(s, p, e);
	if (r < 0 || s->disk.operation != COFFER_OP_START)
		return r;
	r = coffer_signatures_read(s->dev, 0, s->dev->size, &content, e);
	if (r == 0 && !p->segment.has_plain)
		r = coffer_dev_has_unknown_content(s->dev, &content, &p->unknown_content, e);
	if (r < 0 || !content.luks2)
		return r;
	/* LUKS where no header was: damaged, or somebody has placed it between the two looks. */
	r = examine_once(s, p, e);
	p->plain_luks2 = s->disk.operation == COFFER_OP_START;
	return r;
}

static int restore_head(struct coffer_session *s, struct repair *p, struct coffer_err *e)
{
	const struct coffer_stop stop = {
		.wanted = p->o->callbacks.stop, .userdata = p->o->callbacks.userdata};
	const struct coffer_geometry g = p->segment.geometry;
	const bool keeps = s->disk.facts.transition_error != 0;
	const int r = coffer_place_undo_stock(&s->disk, &g, e);

	return r < 0 ? r : coffer_fs_check_undone(s, &g, keeps, &stop, e);
}

static int act(struct coffer_session *s, struct repair *p, enum coffer_repair_kind kind,
	struct coffer_err *e)
{
	struct coffer_disk *disk = &s->disk;
	const struct coffer_record *place = &disk->facts.record[COFFER_RECORD_PLACE];

	/* These two know themselves when their first write comes. */
	s->changed =
		s->changed || (kind != COFFER_REPAIR_RESUME && kind != COFFER_REPAIR_RECOVER_COPY);
	switch (kind) {
	case COFFER_REPAIR_RECOVER_COPY:
		return disk->header ? coffer_convert_sync(s, e)
				    : coffer_recover_first_copy(disk, &s->changed, e);
	case COFFER_REPAIR_REDO_PLACEMENT:
		return coffer_place_redo(s->dev, place, disk->image, e);
	case COFFER_REPAIR_FINISH_PLACEMENT:
		return coffer_place_finish(disk, e);
	case COFFER_REPAIR_FINISH_UNDO:
	case COFFER_REPAIR_UNDO_PLACEMENT:
		return coffer_place_undo(disk, e);
	case COFFER_REPAIR_UNDO_STOCK_PLACEMENT:
		return restore_head(s, p, e);
	case COFFER_REPAIR_UNDO_BLOCK_0:
		return coffer_place_undo_transition(disk, e);
	case COFFER_REPAIR_ERASE_TRANSITION:
		return coffer_place_erase_transition(disk, e);
	case COFFER_REPAIR_ERASE_RECORD:
		return coffer_place_erase(s->dev, &p->segment.stale, e);
	case COFFER_REPAIR_RESUME:
		return coffer_encrypt_run(s, e);
	case COFFER_N_REPAIRS:
		break;
	}
	return coffer_err_set(e, EINVAL, "no such action");
}

/* What is on the disk, and what that means. Findings are added to @l. */
static int look(
	struct coffer_session *s, struct repair *p, struct coffer_findings *l, struct coffer_err *e)
{
	struct coffer_err why;
	int r = -ESTALE;

	/* Stale: another program has mended the header between the looks that these two take. */
	for (int i = 0; i < MAX_LOOKS && r == -ESTALE; i++) {
		why = (struct coffer_err){0};
		r = examine(s, p, &why);
		if (r == 0)
			r = diagnose(s, p, l, &why);
	}
	if (r < 0 && e)
		*e = why;
	return r;
}

/* The next of the listed actions, from @i on, that the disk asks for now; res->n_actions when it
 * asks for nothing more. What is left out on the way, another program has done: cryptsetup mends a
 * header copy whenever it opens the disk. An action that was not listed is not done: nobody has
 * agreed. */
static int next_action(
	struct coffer_session *s, struct repair *p, size_t i, size_t *ret, struct coffer_err *e)
{
	_cleanup_(coffer_findings_free) struct coffer_findings now = {0};
	const struct coffer_repair_result *res = p->result;
	const struct coffer_diagnosis *d = &p->diagnosis;
	int r;

	r = look(s, p, &now, e);
	if (r < 0)
		return r;
	if (!d->foreign && !d->no_safe_repair)
		for (*ret = i; *ret < res->n_actions; ++*ret)
			if (d->n_actions > 0 && res->actions[*ret].kind == d->actions[0].kind)
				return 0;
	if (!d->foreign && !d->no_safe_repair && d->n_actions == 0)
		return 0;
	r = coffer_err_needs_repair(e, EUCLEAN,
		"%s '%s' %s does not ask for '%s' any more; nothing more was done",
		i > 0 ? "after" : "before",
		coffer_repair_kind_name(res->actions[i > 0 ? i - 1 : 0].kind), s->dev->name,
		coffer_repair_kind_name(res->actions[i].kind));
	return coffer_err_id(e, r, COFFER_FINDING_CHANGED);
}

/* The actions as they were listed, each only while the disk still asks for it. Before the first one
 * somebody may have thought for an hour, and cryptsetup does not know coffer's lock. */
static int act_all(struct coffer_session *s, struct repair *p, struct coffer_err *e)
{
	struct coffer_repair_result *res = p->result;
	unsigned int looks = 0;
	int r;

	for (size_t i = 0; i < res->n_actions;) {
		struct coffer_err why = {0};

		r = coffer_session_check_stop(s, e);
		if (r == 0)
			r = next_action(s, p, i, &i, e);
		if (r < 0)
			return r;
		if (i == res->n_actions)
			break;
		r = act(s, p, res->actions[i].kind, &why);
		/* Another program was there between the look and the lock: look again. */
		if (r == -ESTALE && res->actions[i].kind == COFFER_REPAIR_RECOVER_COPY &&
			++looks < MAX_LOOKS)
			continue;
		if (r < 0 && e)
			*e = why;
		if (r < 0)
			return coffer_err_wrap(
				e, r, "%s", coffer_repair_kind_name(res->actions[i].kind));
		res->done[i++] = true;
		res->n_done++;
	}
	return 0;
}

/* Behind what went wrong: what stays although it did. */
static void tell_done(const struct coffer_repair_result *res, struct coffer_err *e)
{
	const char *before = "; what was done before is kept: ";

	for (size_t i = 0; i < res->n_actions; i++)
		if (res->done[i]) {
			coffer_err_append(
				e, "%s'%s'", before, coffer_repair_kind_name(res->actions[i].kind));
			before = ", ";
		}
}

/* What the disk is now: told by a new look at it. */
static int tell_stage_after(struct coffer_session *s, struct repair *p, struct coffer_err *e)
{
	struct coffer_status *now = NULL;
	int r;

	coffer_dev_set_direct(s->dev, false);
	r = coffer_status_of(s->dev, &now, NULL, NULL, e);
	if (r == 0)
		p->result->stage_after = now->stage;
	coffer_status_free(now);
	return r;
}

/* The remedy of the finding, unless only a part of it would fit: half a command is another one. */
static const char *remedy_in_full(const struct coffer_finding *c, const char *name)
{
	const size_t others = 64; /* what is around them, and the words of the caller */

	if (strlen(name) + strlen(c->text) + strlen(c->advice) + others < COFFER_ERR_MSG)
		return c->advice;
	return "the finding tells what can be done";
}

static int refuse(struct coffer_session *s, const struct repair *p, struct coffer_err *e)
{
	const struct coffer_findings *f = &p->result->findings;
	const struct coffer_finding *last = &f->items[f->n - 1];
	const char *remedy = remedy_in_full(last, s->dev->name);

	if (p->diagnosis.foreign)
		return coffer_err_id(e,
			coffer_err_refuse(e, EOPNOTSUPP, "%s: %s%s%s", s->dev->name, last->text,
				remedy[0] ? "; " : "", remedy),
			last->id);
	return coffer_err_id(e,
		coffer_err_needs_repair(e, EUCLEAN, "%s: %s; nothing was changed%s%s", s->dev->name,
			last->text, remedy[0] ? "; " : "", remedy),
		last->id);
}

/* On a disk whose volume is open a torn header copy can be mended, and nothing else. Not where
 * block 0 says nothing of LUKS: then it may be a filesystem that is in use, and the header a part
 * of it; nor where something else is made of the disk: a RAID has the same header on its other
 * disks. */
static int refuse_in_use(
	const struct coffer_session *s, const struct repair *p, struct coffer_err *e)
{
	struct stat st;
	bool mends = s->disk.header != NULL && fstat(s->dev->fd, &st) == 0 &&
		     coffer_holders_only_map(&st, s->disk.facts.header.uuid);

	for (size_t i = 0; i < p->diagnosis.n_actions; i++)
		mends = mends && p->diagnosis.actions[i].kind == COFFER_REPAIR_RECOVER_COPY;
	if (mends || p->diagnosis.n_actions == 0)
		return 0;
	if (e)
		*e = *p->in_use;
	return -p->in_use->code;
}

/* Parts of the head may be lost with nothing beside the filesystem that tells of it: cryptsetup was
 * cut before its copy reached the disk, or a piece of the header. Its own checker may see it. */
static int check_plain(struct coffer_session *s, struct repair *p, struct coffer_err *e)
{
	struct coffer_findings *l = &p->result->findings;
	const struct coffer_diagnosis *d = &p->diagnosis;
	const struct coffer_stop stop = {
		.wanted = p->o->callbacks.stop, .userdata = p->o->callbacks.userdata};
	struct coffer_err why = {0};
	int r;

	if (d->no_safe_repair || d->foreign || d->n_actions > 0 ||
		s->disk.operation != COFFER_OP_START || !p->segment.has_plain)
		return 0;
	/* A checker would see what is half written, and some do not even look. */
	if (p->in_use || coffer_status_is_busy(p->result->status))
		r = coffer_err_set(&why, EBUSY, "it is in use");
	else
		r = coffer_fs_check(s->dev, &p->segment.plain, &stop, &why);
	if (r == 0 || r == -ENODATA)
		return 0;
	if (r == -EINTR)
		return coffer_session_check_stop(s, e);
	p->diagnosis.no_safe_repair = r == -EBADMSG;
	r = r == -EBADMSG
		    ? coffer_findings_print(l, COFFER_FINDING_FILESYSTEM, COFFER_VERDICT_BAD,
			      "its checker finds damage: %s", why.msg)
		    : coffer_findings_print(l, COFFER_FINDING_FILESYSTEM, COFFER_VERDICT_UNCHECKED,
			      "its checker has not looked at all of it: %s", why.msg);
	if (p->diagnosis.no_safe_repair)
		coffer_findings_advise(l,
			"keep a copy of the disk before anything mends it; if an encryption was "
			"cut in its beginning, what it has overwritten in the first bytes is "
			"nowhere else on the disk");
	return r < 0 ? coffer_err_errno(e, -r, "judge %s", s->dev->name) : 0;
}

static int run(struct coffer_session *s, struct coffer_err *e)
{
	struct repair *p = (struct repair *)s->o; /* see struct repair */
	struct coffer_repair_result *res = p->result;
	int r;

	r = look(s, p, &res->findings, e);
	if (r == 0)
		r = coffer_status_of(s->dev, &res->status, NULL, NULL, e);
	if (r == 0)
		r = check_plain(s, p, e);
	if (r < 0)
		return r;
	res->stage_after = res->status->stage;
	res->n_actions = p->diagnosis.n_actions;
	memcpy(res->actions, p->diagnosis.actions, sizeof(res->actions));
	if (p->diagnosis.foreign || p->diagnosis.no_safe_repair)
		return refuse(s, p, e);
	if (p->in_use) {
		r = refuse_in_use(s, p, e);
		if (r < 0)
			return r;
	}
	if (res->n_actions == 0 || p->o->dry_run)
		return 0;
	if (p->o->confirm && !p->o->confirm(p->o->callbacks.userdata, res)) {
		(void)coffer_err_set(e, ECANCELED, "%s: nothing was changed", s->dev->name);
		coffer_err_outcome(e, COFFER_NO);
		return -ECANCELED;
	}
	r = act_all(s, p, e);
	res->changed = s->changed;
	res->unlocked_run = s->result->unlocked_run;
	if (r < 0 && res->changed) {
		/* Law 4: no flush after one that may have failed, so this is a look only. */
		s->dev->read_only = true;
		(void)tell_stage_after(s, p, NULL);
	}
	if (r < 0)
		tell_done(res, e);
	return r < 0 ? r : tell_stage_after(s, p, e);
}

static int repair_dev(struct coffer_dev *dev, const struct coffer_repair_options *o,
	const struct coffer_err *in_use, struct coffer_repair_result **ret, struct coffer_err *e)
{
	struct coffer_repair_result *result = calloc(1, sizeof(*result));
	struct repair p = {.o = o,
		.in_use = in_use,
		.result = result,
		.encrypt = {.device = o->device,
			.threads = o->threads,
			.used_only = o->used_only,
			.free_space = o->free_space,
			.max_rate = o->max_rate,
			.verify = o->verify,
			.resume_only = true,
			.callbacks = o->callbacks}};
	int r;

	if (!result) {
		coffer_dev_close(dev);
		return coffer_err_errno(e, ENOMEM, "repair");
	}
	r = coffer_session_run("repair", dev, &p.encrypt, run, NULL, e);
	if (result->status)
		*ret = result;
	else
		coffer_repair_free(result);
	return r;
}

int coffer_repair_dev(struct coffer_dev *dev, const struct coffer_repair_options *o,
	struct coffer_repair_result **ret, struct coffer_err *e)
{
	return repair_dev(dev, o, NULL, ret, e);
}

int coffer_repair(const struct coffer_repair_options *o, struct coffer_repair_result **ret,
	struct coffer_err *e)
{
	struct coffer_err why = {0};
	struct coffer_dev *dev = NULL;
	bool in_use = false;
	int r;

	r = o->dry_run ? coffer_dev_open_reading(o->device, &dev, &why)
		       : coffer_dev_open(o->device, &dev, &why);
	if (r == -EBUSY && !o->dry_run) {
		in_use = coffer_dev_open_shared(o->device, &dev, NULL) == 0;
		r = in_use ? 0 : r;
	}
	if (r < 0) {
		if (e)
			*e = why;
		return coffer_err_wrap(e, r, "repair");
	}
	return repair_dev(dev, o, in_use ? &why : NULL, ret, e);
}
