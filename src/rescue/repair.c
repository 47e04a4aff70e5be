/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* repair.c - diagnose, list what can be done, ask, do it, diagnose again after each action */
#include "rescue/repair.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/findings.h"
#include "block/holders.h"
#include "block/open.h"
#include "convert/operations.h"
#include "convert/moved_segment.h"
#include "convert/place.h"
#include "convert/preflight.h"
#include "fs/signatures.h"
#include "report/status.h"
#include "rescue/diagnose.h"
#include "rescue/recover_copy.h"

enum {
	MAX_TRIES = 20 /* on a disk that changes meanwhile */
};

/* The session's options come first: a session's o points to them, and so to all of this. */
struct repair {
	struct coffer_encrypt_options encrypt;
	const struct coffer_repair_options *o;
	const struct coffer_err *in_use; /* why there is no exclusive access; NULL: there is */
	struct coffer_err busy;		 /* in_use of a dry run */
	struct coffer_repair_result *result;
	struct coffer_moved_segment segment;
	struct coffer_symptoms symptoms;
	struct coffer_diagnosis diagnosis;
};

void coffer_repair_free(struct coffer_repair_result *r)
{
	if (!r)
		return;
	coffer_status_free(r->status);
	coffer_findings_free(&r->findings);
	free(r);
}

/* --- examine and diagnose --- */

/* Lock the volume that is there, and examine the disk again under that lock. */
static int lock_volume(struct coffer_session *s, struct coffer_err *e)
{
	/* Also if only a second copy is usable: cryptsetup uses that one. */
	const struct coffer_facts *f = &s->disk.facts;
	const char *uuid = f->header.newest >= 0 ? f->header.uuid : coffer_volume_uuid(f);

	return coffer_session_lock_volume(s, uuid, e);
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

	r = examine_once(s, p, e);
	if (r < 0 || s->disk.operation != COFFER_OP_START)
		return r;
	r = coffer_signatures_read(s->dev, 0, s->dev->size, &content, e);
	if (r == 0 && !p->segment.has_plain)
		r = coffer_dev_has_unknown_content(
			s->dev, &content, &p->symptoms.unknown_content, e);
	if (r == 0 && content.luks2) {
		/* damaged, or another program has placed the header just now */
		r = examine_once(s, p, e);
		p->symptoms.plain_luks2 = s->disk.operation == COFFER_OP_START;
	}
	if (r == 0 && s->disk.operation == COFFER_OP_START && s->disk.facts.header.newest == 1)
		r = coffer_lost_copy_read(&s->disk, &p->symptoms.lost, e);
	return r;
}

static int diagnose_once(
	struct coffer_session *s, struct repair *p, struct coffer_findings *l, struct coffer_err *e)
{
	int r;

	p->symptoms = (struct coffer_symptoms){.device = s->dev->name,
		.facts = &s->disk.facts,
		.segment = &p->segment,
		.reason = s->disk.why,
		.can_resume = p->o->callbacks.passphrase != NULL};
	r = examine(s, p, e);
	if (r < 0)
		return r;
	p->symptoms.operation = s->disk.operation;
	r = coffer_status_progress(&s->disk, &p->symptoms.converted, &p->symptoms.total, e);
	if (r < 0)
		return r;
	r = coffer_diagnose(&p->symptoms, l, &p->diagnosis);
	return r < 0 ? coffer_err_errno(e, -r, "diagnose %s", s->dev->name) : 0;
}

/* Findings are added to @l. -ESTALE: another program has repaired the header between two reads. */
static int diagnose(
	struct coffer_session *s, struct repair *p, struct coffer_findings *l, struct coffer_err *e)
{
	struct coffer_err why;
	int r = -ESTALE;

	for (int i = 0; i < MAX_TRIES && r == -ESTALE; i++) {
		why = (struct coffer_err){0};
		r = diagnose_once(s, p, l, &why);
	}
	return r < 0 ? coffer_err_pass(e, r, &why) : 0;
}

/* The finding that forbids any action, see coffer_diagnose; NULL: none does. */
static const struct coffer_finding *blocker(const struct coffer_findings *l)
{
	return l->n > 0 && l->items[l->n - 1].code ? &l->items[l->n - 1] : NULL;
}

/* Parts of the moved segment may be lost with no other trace: cryptsetup was interrupted before its
 * copy or a part of its header reached the disk. The filesystem's checker may find that. */
static int check_filesystem(struct coffer_session *s, struct repair *p, struct coffer_err *e)
{
	const struct coffer_stop stop = coffer_session_stop(s);
	struct coffer_findings *l = &p->result->findings;
	struct coffer_err why = {0};
	enum coffer_text t = COFFER_TEXT_REPAIR_FS_UNCHECKED;
	int r;

	if (blocker(l) || p->diagnosis.n_actions > 0 || s->disk.operation != COFFER_OP_START ||
		!p->segment.has_plain)
		return 0;
	/* A checker would find a write in progress, and some refuse to run. */
	if (p->in_use || coffer_status_is_busy(p->result->status))
		r = coffer_err_set(&why, EBUSY, "it is in use");
	else
		r = coffer_fs_check(s->dev, &p->segment.plain, &stop, &why);
	if (r == 0 || r == -ENODATA)
		return 0;
	if (r == -EINTR)
		return coffer_session_check_stop(s, e);
	if (r == -EBADMSG)
		t = COFFER_TEXT_REPAIR_FS_DAMAGED;
	r = coffer_findings_add(l, t, COFFER_WITH(COFFER_ARG_TEXT("reason", why.msg)), NULL);
	return r < 0 ? coffer_err_errno(e, -r, "diagnose %s", s->dev->name) : 0;
}

/* --- act --- */

static int act(struct coffer_session *s, struct repair *p, enum coffer_repair_kind kind,
	struct coffer_err *e)
{
	struct coffer_disk *disk = &s->disk;
	const struct coffer_record *place = &disk->facts.record[COFFER_RECORD_PLACE];

	/* These two set it themselves before their first write. */
	s->changed =
		s->changed || (kind != COFFER_REPAIR_RESUME && kind != COFFER_REPAIR_RECOVER_COPY);
	switch (kind) {
	case COFFER_REPAIR_RECOVER_COPY:
		return disk->header ? coffer_convert_sync(s, e)
				    : coffer_lost_copy_recover(disk, &s->changed, e);
	case COFFER_REPAIR_REDO_PLACEMENT:
		return coffer_place_redo(s->dev, place, disk->image, e);
	case COFFER_REPAIR_FINISH_PLACEMENT:
		return coffer_place_finish(disk, e);
	case COFFER_REPAIR_FINISH_UNDO:
	case COFFER_REPAIR_UNDO_PLACEMENT:
		return coffer_place_undo(disk, e);
	case COFFER_REPAIR_UNDO_STOCK_PLACEMENT:
		return coffer_fs_undo_stock(s, &p->segment.geometry, e);
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

/* Find the next of the listed actions, from @i on, that the disk needs now; n_actions if it needs
 * none. Those before it another program has done: cryptsetup repairs a header copy whenever it
 * opens the disk. An action that was not listed is not done: nobody has agreed to it. */
static int next_action(
	struct coffer_session *s, struct repair *p, size_t i, size_t *ret, struct coffer_err *e)
{
	_cleanup_(coffer_findings_free) struct coffer_findings now = {0};
	const struct coffer_repair_result *res = p->result;
	const struct coffer_diagnosis *d = &p->diagnosis;
	int r;

	r = diagnose(s, p, &now, e);
	if (r < 0)
		return r;
	if (!blocker(&now))
		for (*ret = i; *ret < res->n_actions; ++*ret)
			if (d->n_actions > 0 && res->actions[*ret].kind == d->actions[0].kind)
				return 0;
	if (!blocker(&now) && d->n_actions == 0)
		return 0;
	r = coffer_err_needs_repair(e, EUCLEAN,
		"%s: the disk has changed %s '%s', and no longer needs '%s'; stopped", s->dev->name,
		i > 0 ? "after" : "before",
		coffer_repair_kind_name(res->actions[i > 0 ? i - 1 : 0].kind),
		coffer_repair_kind_name(res->actions[i].kind));
	return coffer_err_id(e, r, COFFER_FINDING_CHANGED);
}

/* Do the listed actions, each only while the disk still needs it. The question before the first one
 * may have waited for an hour, and cryptsetup does not know coffer's lock. */
static int act_all(struct coffer_session *s, struct repair *p, struct coffer_err *e)
{
	struct coffer_repair_result *res = p->result;
	unsigned int tries = 0;
	int r;

	for (size_t i = 0; i < res->n_actions;) {
		struct coffer_err why = {0};

		r = coffer_session_check_stop(s, e);
		if (r == 0)
			r = next_action(s, p, i, &i, e);
		if (r < 0 || i == res->n_actions)
			return r;
		r = act(s, p, res->actions[i].kind, &why);
		/* Another program has changed the header before the lock was taken: try again. */
		if (r == -ESTALE && res->actions[i].kind == COFFER_REPAIR_RECOVER_COPY &&
			++tries < MAX_TRIES)
			continue;
		if (r < 0)
			return coffer_err_wrap(e, coffer_err_pass(e, r, &why), "%s",
				coffer_repair_kind_name(res->actions[i].kind));
		res->done[i++] = true;
		res->n_done++;
	}
	return 0;
}

static void append_done(const struct coffer_repair_result *res, struct coffer_err *e)
{
	const char *before = "; already done: ";

	for (size_t i = 0; i < res->n_actions; i++)
		if (res->done[i]) {
			coffer_err_append(
				e, "%s'%s'", before, coffer_repair_kind_name(res->actions[i].kind));
			before = ", ";
		}
}

static int read_stage_after(struct coffer_session *s, struct repair *p, struct coffer_err *e)
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

/* --- the run --- */

/* While the volume is open, a torn header copy can be recovered, and nothing else. Not if block 0
 * has no LUKS magic: then it may be a filesystem in use, and the header a part of it. Nor with
 * other holders than mappings: a RAID has the same header on its other disks. */
static int refuse_in_use(
	const struct coffer_session *s, const struct repair *p, struct coffer_err *e)
{
	const struct coffer_diagnosis *d = &p->diagnosis;
	struct stat st;
	bool recovers = s->disk.header != NULL && fstat(s->dev->fd, &st) == 0 &&
			coffer_holders_only_map(&st, s->disk.facts.header.uuid);

	for (size_t i = 0; i < d->n_actions; i++)
		recovers = recovers && d->actions[i].kind == COFFER_REPAIR_RECOVER_COPY;
	if (recovers || d->n_actions == 0)
		return 0;
	return coffer_err_pass(e, -p->in_use->code, p->in_use);
}

/* A dry run has no exclusive access: would the run get it? */
static int check_exclusive(struct coffer_session *s, struct repair *p, struct coffer_err *e)
{
	int r;

	if (!p->o->dry_run || s->dev->fd < 0)
		return 0;
	r = coffer_exclusive_check(s->dev, p->result->status, &p->busy);
	if (r < 0 && r != -EBUSY)
		return coffer_err_pass(e, r, &p->busy);
	p->in_use = r < 0 ? &p->busy : NULL;
	return 0;
}

/* Everything before the first write. */
static int prepare(struct coffer_session *s, struct repair *p, struct coffer_err *e)
{
	struct coffer_repair_result *res = p->result;
	const struct coffer_finding *why;
	int r;

	r = diagnose(s, p, &res->findings, e);
	if (r == 0)
		r = coffer_status_of(s->dev, &res->status, NULL, NULL, e);
	if (r == 0)
		r = check_exclusive(s, p, e);
	if (r == 0)
		r = check_filesystem(s, p, e);
	if (r < 0)
		return r;
	res->stage_after = res->status->stage;
	res->n_actions = p->diagnosis.n_actions;
	memcpy(res->actions, p->diagnosis.actions, sizeof(res->actions));
	why = blocker(&res->findings);
	if (why)
		return coffer_err_from_finding(e, s->dev->name, why);
	return p->in_use ? refuse_in_use(s, p, e) : 0;
}

static int run(struct coffer_session *s, struct coffer_err *e)
{
	struct repair *p = (struct repair *)s->o; /* see struct repair */
	struct coffer_repair_result *res = p->result;
	int r;

	r = prepare(s, p, e);
	if (r < 0 || res->n_actions == 0 || p->o->dry_run)
		return r;
	if (p->o->confirm && !p->o->confirm(p->o->callbacks.userdata, res))
		return coffer_err_no(e, ECANCELED, "%s: not changed", s->dev->name);
	r = act_all(s, p, e);
	res->changed = s->changed;
	res->unlocked_run = s->result->unlocked_run;
	if (r == 0)
		return read_stage_after(s, p, e);
	append_done(res, e);
	if (!res->changed)
		return r;
	s->dev->read_only = true; /* law 4: no flush after one that may have failed */
	(void)read_stage_after(s, p, NULL);
	return r;
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
	r = coffer_session_run(dev, &p.encrypt, run, NULL, e);
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
	if (r == -EBUSY && !o->dry_run)
		in_use = coffer_dev_open_shared(o->device, &dev, NULL) == 0;
	if (r < 0 && !in_use)
		return coffer_err_default(e, coffer_err_pass(e, r, &why));
	return repair_dev(dev, o, in_use ? &why : NULL, ret, e);
}
