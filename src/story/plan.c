/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* plan.c - what a run would do, asked of the disk without changing it */
#include "coffer/plan.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/checks.h"
#include "base/err.h"
#include "model/estimate.h"
#include "os/locks.h"
#include "story/access.h"
#include "story/evidence.h"
#include "story/guard.h"
#include "story/image.h"
#include "story/newheader.h"
#include "story/placeio.h"
#include "story/speed.h"
#include "story/status.h"

DEFINE_CLEANUP(struct coffer_plan *, plan, coffer_plan_free);
#define _cleanup_plan_ _cleanup_(cleanup_plan)

/* What planning carries from step to step. */
struct draft {
	const struct coffer_plan_options *o;
	struct coffer_encrypt_options encrypt; /* without callbacks but stop */
	struct coffer_dev *dev;
	struct coffer_disk disk;
	struct coffer_evidence evidence;
	struct coffer_plan *plan;
	struct coffer_work_facts facts;
	struct coffer_works works;
	size_t key_size; /* bytes */
};

static const struct {
	const char *stage, *does, *worst;
} stages[] = {
	[COFFER_WORK_RESTORE] = {"restore",
		"finish the abort that was begun: the first bytes come back from their copy",
		"the first bytes are half there, so nothing mounts the disk; their copy is whole, "
		"and the same command goes on"},
	[COFFER_WORK_SAVE] = {"save",
		"copy the first bytes into the reserve at the end, put the new header beside them, "
		"and read both back",
		"nothing happened: the filesystem is as it was, and the same command begins anew"},
	[COFFER_WORK_PLACE] = {"place", "write the header over the first bytes",
		"the header is half there, so nothing mounts the disk; the first bytes are safe in "
		"their copy, the same command goes on, and 'coffer abort' gives the filesystem "
		"back"},
	[COFFER_WORK_CONVERT] = {"convert",
		"move and encrypt the data step by step, from its end to its beginning, and note "
		"each step in both header copies",
		"the last step is done again, as many bytes as the data offset at most; no data is "
		"lost, and the same command goes on; until the first step is noted, 'coffer abort' "
		"gives the filesystem back"},
	[COFFER_WORK_END] = {"end",
		"overwrite the copy of the first bytes with random ones, write the final header",
		"all is encrypted already and can be opened; the copy is wiped again when the same "
		"command goes on"},
};
_Static_assert(ARRAY_SIZE(stages) == COFFER_N_WORK_STAGES, "every stage has its sentences");

void coffer_plan_free(struct coffer_plan *p)
{
	if (!p)
		return;
	coffer_status_free(p->status);
	coffer_checks_free(&p->guards);
	free(p->stages);
	free(p);
}

/* --- guards -------------------------------------------------------------------------------- */

static int no_memory(const struct draft *d, struct coffer_err *e)
{
	return coffer_err_errno(e, ENOMEM, "plan for %s", d->dev->name);
}

/* @why would end a run before it writes. */
static int add_refusal(
	struct draft *d, const char *id, const struct coffer_err *why, struct coffer_err *e)
{
	const bool repair = why->outcome == COFFER_NEEDS_REPAIR;

	if (d->plan->outcome != COFFER_NEEDS_REPAIR)
		d->plan->outcome = repair ? COFFER_NEEDS_REPAIR : COFFER_REFUSED;
	return coffer_guard_add_refusal(&d->plan->guards, id, d->dev->name, why, e);
}

/* What is on the disk at all: something to begin on, something to go on with, or neither. */
static int check_state(struct draft *d, struct coffer_err *e)
{
	const char *text = "a conversion is under way, and 'coffer encrypt' goes on with it";
	struct coffer_err why = {0};
	int r;

	r = coffer_refuse_action(&d->disk, &why);
	if (r == 0 && d->disk.action == COFFER_ACT_ENCRYPTED)
		r = coffer_refuse_encrypted(d->dev, &why);
	if (r == 0)
		r = coffer_refuse_leftovers(&d->disk, &d->evidence, &why);
	if (r < 0)
		return add_refusal(d, "state", &why, e);
	if (d->disk.action == COFFER_ACT_START)
		text = "nothing of a conversion is on it";
	if (d->disk.action == COFFER_ACT_REDO_RESTORE)
		text = "an abort is half done and is finished first; what comes then depends on "
		       "what will be there, so plan again after 'coffer abort'";
	if (coffer_checks_add(&d->plan->guards, "state", COFFER_CHECK_OK, "%s", text) < 0)
		return no_memory(d, e);
	return 0;
}

/* A header as the run would make it, but with a key of no worth: then every option has been seen by
 * libcryptsetup, and the size of what a placement writes is known. */
static int try_header(struct draft *d, const struct coffer_guarded *g, struct coffer_record *rec,
	struct coffer_err *e)
{
	struct coffer_encrypt_result result = {0};
	struct coffer_session s = {.o = &d->encrypt, .result = &result, .dev = d->dev};
	_cleanup_free_ uint8_t *image = NULL;
	_cleanup_close_ int fd = -1;
	int r;

	r = coffer_newheader_try(&s, g->format, &g->geometry, &fd, e);
	coffer_secret_free(s.passphrase);
	coffer_secret_free(s.key);
	if (r == 0)
		r = coffer_image_load(fd, rec, &image, e);
	return r < 0 ? r : coffer_find_veils(d->dev, 0, rec, e);
}

static int check_new_header(struct draft *d, const struct coffer_guarded *g, struct coffer_err *e)
{
	struct coffer_record rec = {.kind = COFFER_PLACE, .geometry = g->geometry};
	struct coffer_err why = {0};
	int r;

	r = try_header(d, g, &rec, &why);
	if (r == -EINTR) {
		if (e)
			*e = why;
		return r;
	}
	if (r < 0) {
		d->facts = (struct coffer_work_facts){0};
		return add_refusal(d, "new-header", &why, e);
	}
	if (coffer_checks_add(&d->plan->guards, "new-header", COFFER_CHECK_OK,
		    "a header with these options was made in memory, and a run could go on with "
		    "it") < 0)
		return no_memory(d, e);
	d->facts.image_size = rec.image_size;
	d->facts.n_veils = rec.n_veils;
	(void)snprintf(d->plan->cipher, sizeof(d->plan->cipher), "%s", g->format.cipher);
	return 0;
}

/* The guards of a disk on which nothing was begun, and the layout that it would get. */
static int plan_start(struct draft *d, struct coffer_err *e)
{
	struct coffer_guarded g = {.dev = d->dev, .o = &d->encrypt};
	int r;

	r = coffer_guard_list(&g, false, &d->plan->guards, e);
	if (r < 0)
		return r;
	if (g.outcome != COFFER_DONE) {
		if (g.outcome > d->plan->outcome)
			d->plan->outcome = g.outcome;
		return 0;
	}
	d->facts.geometry = g.geometry;
	d->facts.pointer = g.geometry.length;
	d->facts.copy_size = g.format.metadata_size;
	d->key_size = g.format.key_size;
	return check_new_header(d, &g, e);
}

/* What was begun says itself how it goes on; options for a new volume do not count. */
static void plan_rest(struct draft *d)
{
	const struct coffer_facts *f = &d->disk.facts;
	const struct coffer_conversion *c = &f->conversion;
	const struct coffer_record *place = &f->record[COFFER_PLACE];

	d->key_size = 64;
	d->facts.n_veils = 1;
	if (d->disk.header) {
		d->facts.geometry = c->geometry;
		d->facts.pointer = c->pointer;
		d->facts.copy_size = d->disk.header->copy_size;
		d->key_size = c->key_size;
		(void)snprintf(d->plan->cipher, sizeof(d->plan->cipher), "%s", c->cipher);
	} else {
		const struct coffer_geometry *g = &f->transition.geometry;

		d->facts.geometry = *g;
		d->facts.pointer = g->length;
		d->facts.copy_size = place->copy_size;
	}
	if (f->has_record[COFFER_PLACE]) {
		d->facts.image_size = place->image_size;
		d->facts.n_veils = place->n_veils;
	}
}

static int check_all(struct draft *d, struct coffer_err *e)
{
	int r;

	r = coffer_access_list(d->dev, d->plan->status, &d->plan->guards, e);
	if (r == 0 && coffer_checks_count(&d->plan->guards, COFFER_CHECK_BAD) > 0)
		d->plan->outcome = COFFER_REFUSED;
	if (r == 0)
		r = check_state(d, e);
	if (r < 0)
		return r;
	if (coffer_checks_find(&d->plan->guards, "state")->verdict == COFFER_CHECK_BAD)
		return 0;
	if (d->disk.action == COFFER_ACT_START)
		return plan_start(d, e);
	plan_rest(d);
	return 0;
}

/* --- work and time ------------------------------------------------------------------------- */

static void tell_layout(struct draft *d)
{
	const struct coffer_geometry *g = &d->facts.geometry;

	d->plan->device_size = g->device;
	d->plan->data_offset = g->shift;
	d->plan->data_size = g->length;
	d->plan->sector_size = g->sector_size;
}

static int tell_work(struct draft *d, struct coffer_err *e)
{
	struct coffer_plan *p = d->plan;
	uint64_t written;

	p->stages = calloc(COFFER_N_WORK_STAGES, sizeof(*p->stages));
	if (!p->stages)
		return no_memory(d, e);
	p->steps = d->works.steps;
	p->flushes = d->works.looks;
	for (int i = 0; i < COFFER_N_WORK_STAGES; i++) {
		const struct coffer_work *w = &d->works.stage[i];

		written = coffer_work_written(w, d->facts.copy_size);
		if (written == 0)
			continue;
		p->to_move += w->moved;
		p->to_write += written;
		p->flushes += w->flushes;
		p->stages[p->n_stages++] = (struct coffer_plan_stage){
			stages[i].stage, stages[i].does, stages[i].worst, written};
	}
	return 0;
}

static int tell_time(struct draft *d, struct coffer_err *e)
{
	const struct coffer_speed_question q = {
		.disk = d->dev,
		.folder = d->o->scratch,
		.shift = d->facts.geometry.shift,
		.copy_size = d->facts.copy_size,
		.sector_size = d->facts.geometry.sector_size,
		.key_size = d->key_size,
		.threads = d->encrypt.threads,
		.direct = coffer_fits_direct(&d->facts.geometry),
		.stop = d->encrypt.callbacks.stop,
		.user = d->encrypt.callbacks.user,
	};
	double seconds[COFFER_MAX_ROUNDS];
	struct coffer_timing timing;
	struct coffer_spread range;
	int r;

	r = coffer_speed_measure(&q, &timing, &d->plan->speed, e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < timing.n; i++)
		seconds[i] = coffer_estimate_work(&timing.rounds[i], timing.bytes, &d->works);
	range = coffer_spread_of(seconds, timing.n);
	d->plan->seconds_low = range.low;
	d->plan->seconds = range.median;
	d->plan->seconds_high = range.high;
	return 0;
}

static int say_unmeasured(struct draft *d, const char *why)
{
	(void)snprintf(d->plan->speed.why, sizeof(d->plan->speed.why), "%s", why);
	return 0;
}

static int fill(struct draft *d, struct coffer_err *e)
{
	int r;

	r = coffer_status_of(d->dev, &d->plan->status, &d->disk, &d->evidence, e);
	if (r == 0)
		r = check_all(d, e);
	if (r < 0)
		return r;
	d->plan->possible = coffer_checks_count(&d->plan->guards, COFFER_CHECK_BAD) == 0;
	if (d->facts.geometry.device == 0)
		return say_unmeasured(d, "there is nothing to do");
	d->facts.locked = coffer_locks_usable();
	coffer_work_count(d->disk.action, &d->facts, &d->works);
	tell_layout(d);
	r = tell_work(d, e);
	if (r < 0)
		return r;
	if (d->o->no_speed)
		return say_unmeasured(d, "it was not to be measured");
	return tell_time(d, e);
}

int coffer_plan(const struct coffer_plan_options *o, struct coffer_plan **ret, struct coffer_err *e)
{
	_cleanup_plan_ struct coffer_plan *plan = calloc(1, sizeof(*plan));
	_cleanup_dev_ struct coffer_dev *dev = NULL;
	struct draft d = {.o = o, .encrypt = *o->encrypt, .plan = plan};
	int r;

	if (!plan)
		return coffer_err_errno(e, ENOMEM, "plan for %s", o->encrypt->device);
	d.encrypt.callbacks = (struct coffer_encrypt_callbacks){
		.stop = o->encrypt->callbacks.stop, .user = o->encrypt->callbacks.user};
	r = coffer_dev_open_reading(o->encrypt->device, &dev, e);
	d.dev = dev;
	if (r == 0)
		r = fill(&d, e);
	coffer_disk_reset(&d.disk);
	if (r < 0)
		return coffer_err_wrap(e, r, "plan");
	*ret = TAKE_PTR(plan);
	return 0;
}
