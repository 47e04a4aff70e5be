/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* plan.c - what a run would do, and how long it would take, without writing */
#include "report/plan.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/findings.h"
#include "convert/image.h"
#include "convert/moved_segment.h"
#include "convert/new_header.h"
#include "convert/place.h"
#include "convert/preflight.h"
#include "convert/stored_map.h"
#include "convert/used.h"
#include "luks2/locks.h"
#include "report/speed.h"
#include "report/status.h"

DEFINE_CLEANUP(struct coffer_plan *, plan, coffer_plan_free);

struct draft {
	const struct coffer_plan_options *o;
	struct coffer_encrypt_options encrypt; /* without callbacks but stop */
	struct coffer_dev *dev;
	struct coffer_disk disk;
	struct coffer_moved_segment segment;
	struct coffer_plan *plan;
	struct coffer_work_facts facts; /* device size 0: nothing is planned */
	struct coffer_used_map map;	/* an estimate of the used blocks, if they are not known */
	struct coffer_range used;	/* its only one */
	struct coffer_works works;
	size_t key_size; /* bytes */
	/* of a run that does not follow */
	struct coffer_session session;
	struct coffer_encrypt_result result;
};

static const struct {
	const char *name, *does, *worst;
} phases[] = {
	[COFFER_WORK_UNDO] = {"undo",
		"finish the interrupted abort: write the first bytes back from their copy",
		"the first bytes are partly written and the disk cannot be mounted; their copy is "
		"complete, and the same command resumes"},
	[COFFER_WORK_SAVE] = {"save",
		"copy the first bytes and the new header to the reserve, and verify both",
		"the filesystem is unchanged; the same command starts again"},
	[COFFER_WORK_PLACE] = {"place", "write the header over the first bytes",
		"the header is partly written and the disk cannot be mounted; the copy of the "
		"first bytes is complete, the same command resumes, and 'coffer abort' restores "
		"the filesystem"},
	[COFFER_WORK_CONVERT] = {"convert",
		"move and encrypt the data step by step, from its end to its start, and commit "
		"each step to both header copies",
		"the last step is repeated; no data is lost, and the same command resumes; until "
		"the first commit 'coffer abort' restores the filesystem"},
	[COFFER_WORK_FINALIZE] = {"finalize",
		"overwrite the copy of the first bytes with random bytes, and write the final "
		"header",
		"all data is encrypted and the volume can be opened; the same command repeats the "
		"wipe"},
};
_Static_assert(ARRAY_SIZE(phases) == COFFER_N_WORK_PHASES, "every phase has its sentences");

void coffer_plan_free(struct coffer_plan *p)
{
	if (!p)
		return;
	coffer_status_free(p->status);
	coffer_findings_free(&p->preflight);
	free(p->phases);
	free(p);
}

/* --- checks -------------------------------------------------------------------------------- */

/* @why would end a run before it writes: there is nothing to plan. */
static int add_refusal(struct draft *d, enum coffer_finding_id id, const struct coffer_err *why)
{
	if (d->plan->outcome != COFFER_NEEDS_REPAIR)
		d->plan->outcome =
			why->outcome == COFFER_NEEDS_REPAIR ? COFFER_NEEDS_REPAIR : COFFER_REFUSED;
	d->facts = (struct coffer_work_facts){0};
	return coffer_findings_add_err(&d->plan->preflight, id, d->dev->name, why);
}

/* Does a run start or resume on this disk? */
static int check_state(struct draft *d)
{
	enum coffer_text t = COFFER_TEXT_STATE_CONVERSION;
	struct coffer_err why = {0};
	int r;

	r = coffer_disk_refuse(&d->disk, &why);
	if (r == 0 && d->disk.operation == COFFER_OP_ENCRYPTED)
		r = coffer_disk_refuse_encrypted(d->dev, &why);
	if (r == 0)
		r = coffer_moved_segment_refuse(&d->disk, &d->segment, &why);
	if (r < 0)
		return add_refusal(d, COFFER_FINDING_STATE, &why);
	if (d->disk.operation == COFFER_OP_START)
		t = COFFER_TEXT_STATE_PLAIN;
	else if (d->disk.operation == COFFER_OP_FINISH_UNDO)
		t = COFFER_TEXT_STATE_UNDOING;
	return coffer_findings_add(&d->plan->preflight, t, NULL, NULL);
}

/* The header of the run, but with a throw-away key: so libcryptsetup judges every option. */
static int check_new_header(
	struct draft *d, const struct coffer_preflight *g, int *ret_fd, struct coffer_err *e)
{
	struct coffer_session *s = &d->session;
	struct coffer_err why = {0};
	const int r = coffer_new_header_try(s, g->format, &g->geometry, ret_fd, &why);

	coffer_secret_free(TAKE_PTR(s->own.passphrase));
	coffer_secret_free(TAKE_PTR(s->own.key));
	if (r == -EINTR)
		return coffer_err_pass(e, r, &why);
	if (r < 0)
		return add_refusal(d, COFFER_FINDING_NEW_HEADER, &why);
	(void)snprintf(d->plan->cipher, sizeof(d->plan->cipher), "%s", g->format.cipher);
	return coffer_findings_add(&d->plan->preflight, COFFER_TEXT_NEW_HEADER, NULL, NULL);
}

/* How much a placement writes. */
static int measure_image(
	struct draft *d, const struct coffer_preflight *g, int fd, struct coffer_err *e)
{
	struct coffer_record rec = {.kind = COFFER_RECORD_PLACE, .geometry = g->geometry};
	_cleanup_free_ uint8_t *image = NULL;
	int r;

	r = coffer_image_load(fd, &rec, &image, e);
	if (r == 0)
		r = coffer_find_masked(d->dev, 0, &rec, e);
	d->facts.image_size = rec.image_size;
	d->facts.n_masked = rec.n_masked;
	return r;
}

/* A run asks the kernel, which takes a mount and so is not for a plan: the filesystem's own count
 * replaces the map, as if all used bytes were at the start. */
static int estimate_used(struct draft *d, const struct coffer_preflight *g)
{
	const uint64_t length = g->geometry.length;
	const uint64_t used = g->fs.used > 0 ? min_u64(g->fs.used, length) : length;

	d->used = (struct coffer_range){0, min_u64(round_up_u64(used, COFFER_BLOCK), length)};
	d->map = (struct coffer_used_map){.length = length,
		.used = &d->used,
		.n = 1,
		.fill = d->encrypt.free_space == COFFER_FREE_FILL};
	d->facts.map = &d->map;
	d->plan->exact = false;
	d->plan->used_only = true;
	d->plan->free_space = d->encrypt.free_space ? d->encrypt.free_space : COFFER_FREE_KEEP;
	return coffer_findings_add(&d->plan->preflight, COFFER_TEXT_USED_ONLY_ESTIMATE,
		COFFER_WITH(COFFER_ARG_TEXT("filesystem", coffer_fs_name(g->fs.kind)),
			COFFER_ARG_SIZE("used", used)),
		NULL);
}

/* The session's map, if it has one, is that of the run. */
static void set_map(struct draft *d)
{
	const struct coffer_stored_map *m = d->session.own.stored;

	(void)snprintf(
		d->plan->all_because, sizeof(d->plan->all_because), "%s", d->result.all_because);
	if (!m)
		return;
	d->facts.map = m->map;
	d->facts.map_size = coffer_stored_map_size(m->n_prints, m->map->n);
	for (size_t i = 0; i < m->n_prints; i++)
		d->facts.fingerprint += m->prints[i].end - m->prints[i].start;
	d->plan->used_only = true;
	d->plan->free_space = (enum coffer_free_space)m->free_space;
}

/* The map goes into the header in memory, as in a run: it is a part of what is placed. */
static int check_used(struct draft *d, const struct coffer_preflight *g, int fd)
{
	const bool kernel = g->fs.kind == COFFER_FS_XFS || g->fs.kind == COFFER_FS_BTRFS;
	const struct coffer_encrypt_result *res = &d->result;
	struct coffer_err why = {0};
	int r;

	if (kernel && geteuid() == 0 && d->encrypt.used_only != COFFER_USED_NO)
		return estimate_used(d, g);
	d->result.data_size = g->geometry.length;
	r = coffer_used_find(&d->session, g, false, &why);
	if (r == 0)
		r = coffer_used_store(&d->session, fd, &why);
	if (r < 0)
		return add_refusal(d, COFFER_FINDING_USED_ONLY, &why);
	set_map(d);
	if (d->encrypt.used_only == COFFER_USED_NO)
		return 0;
	return coffer_findings_add(&d->plan->preflight,
		res->used_only ? COFFER_TEXT_USED_ONLY : COFFER_TEXT_USED_ONLY_NO,
		COFFER_WITH(COFFER_ARG_SIZE("used", res->used),
			COFFER_ARG_SIZE("data_size", res->data_size),
			COFFER_ARG_TEXT("reason", res->all_because)),
		NULL);
}

/* The preflight checks of a plain disk, and the layout that it would get. */
static int plan_start(struct draft *d, struct coffer_err *e)
{
	struct coffer_preflight g = {.dev = d->dev, .o = &d->encrypt};
	_cleanup_close_ int fd = -1;
	int r;

	r = coffer_preflight_list(&g, false, &d->plan->preflight, e);
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
	r = coffer_new_header_check_options(&g.format, e);
	if (r == 0)
		r = check_new_header(d, &g, &fd, e);
	if (r == 0 && d->facts.geometry.device > 0)
		r = check_used(d, &g, fd);
	if (r == 0 && d->facts.geometry.device > 0)
		r = measure_image(d, &g, fd, e);
	return r;
}

/* The disk determines how its conversion is resumed; options for a new volume do not count.
 * Everything below the pointer is counted, which is the upper limit. */
static void plan_rest(struct draft *d)
{
	const struct coffer_facts *f = &d->disk.facts;
	const struct coffer_conversion *c = &f->conversion;
	const struct coffer_record *place = &f->record[COFFER_RECORD_PLACE];

	d->key_size = 64;
	d->facts.n_masked = 1;
	/* Whether its used map is valid, only the key can show. */
	d->plan->exact = d->disk.operation != COFFER_OP_CONVERT ||
			 d->encrypt.used_only == COFFER_USED_NO ||
			 d->plan->status->total == c->geometry.length;
	if (d->disk.header) {
		d->facts.geometry = c->geometry;
		d->facts.pointer = c->pointer;
		d->facts.copy_size = d->disk.header->copy_size;
		d->key_size = c->key_size;
		(void)snprintf(d->plan->cipher, sizeof(d->plan->cipher), "%s", COFFER_CIPHER);
	} else {
		const struct coffer_geometry *g = &f->transition.geometry;

		d->facts.geometry = *g;
		d->facts.pointer = g->length;
		d->facts.copy_size = place->copy_size;
	}
	if (f->has_record[COFFER_RECORD_PLACE]) {
		d->facts.image_size = place->image_size;
		d->facts.n_masked = place->n_masked;
	}
}

static int check_all(struct draft *d, struct coffer_err *e)
{
	int r;

	r = coffer_exclusive_list(d->dev, d->plan->status, &d->plan->preflight, e);
	if (r == 0 && coffer_findings_count(&d->plan->preflight, COFFER_VERDICT_BAD) > 0)
		d->plan->outcome = COFFER_REFUSED;
	if (r == 0)
		r = check_state(d);
	if (r < 0)
		return r;
	if (coffer_findings_find(&d->plan->preflight, COFFER_FINDING_STATE)->verdict ==
		COFFER_VERDICT_BAD)
		return 0;
	if (d->disk.operation == COFFER_OP_START)
		return plan_start(d, e);
	plan_rest(d);
	return 0;
}

/* --- work and time ------------------------------------------------------------------------- */

static int add_work(struct draft *d)
{
	const struct coffer_geometry *g = &d->facts.geometry;
	const uint64_t copy_size = d->facts.copy_size;
	struct coffer_plan *p = d->plan;

	d->facts.locked = coffer_locks_usable();
	d->facts.verify = d->encrypt.verify;
	coffer_work_count(d->disk.operation, &d->facts, &d->works);
	p->device_size = g->device;
	p->data_offset = g->shift;
	p->data_size = g->length;
	p->sector_size = g->sector_size;
	p->steps = d->works.steps;
	p->flushes = d->works.examinations;
	p->phases = calloc(COFFER_N_WORK_PHASES, sizeof(*p->phases));
	if (!p->phases)
		return -ENOMEM;
	for (int i = 0; i < COFFER_N_WORK_PHASES; i++) {
		const struct coffer_work *w = &d->works.phases[i];
		const uint64_t written = coffer_work_written(w, copy_size);

		if (written == 0)
			continue;
		p->to_move += w->moved;
		p->to_commit += w->commits * 2 * copy_size;
		p->to_write += written;
		p->flushes += w->flushes;
		p->phases[p->n_phases++] = (struct coffer_plan_phase){
			phases[i].name, phases[i].does, phases[i].worst, written};
	}
	return 0;
}

static int compare(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* As if all steps were like each of the timed ones; and no faster than --max-rate, which counts
 * scrubbed and filled bytes too. */
static int add_time(struct draft *d, struct coffer_err *e)
{
	const struct coffer_speed_question q = {
		.disk = d->dev,
		.folder = d->o->scratch,
		.shift = d->facts.geometry.shift,
		.copy_size = d->facts.copy_size,
		.sector_size = d->facts.geometry.sector_size,
		.key_size = d->key_size,
		.threads = d->encrypt.threads,
		.direct = coffer_geometry_fits_direct(&d->facts.geometry),
		.stop = {d->encrypt.callbacks.stop, d->encrypt.callbacks.userdata},
	};
	const struct coffer_work *w = &d->works.phases[COFFER_WORK_CONVERT];
	const double limited = d->encrypt.max_rate == 0 ? 0
							: (double)(w->moved + w->written) /
								  (double)d->encrypt.max_rate;
	double seconds[COFFER_TIMED_STEPS];
	struct coffer_timing t;
	int r;

	r = coffer_speed_measure(&q, &t, &d->plan->speed, e);
	if (r < 0 || t.n == 0)
		return r;
	for (size_t i = 0; i < t.n; i++) {
		seconds[i] = coffer_work_seconds(&d->works, &t.steps[i]);
		seconds[i] = seconds[i] > limited ? seconds[i] : limited;
	}
	qsort(seconds, t.n, sizeof(*seconds), compare);
	d->plan->seconds_low = seconds[0];
	d->plan->seconds = seconds[t.n / 2];
	d->plan->seconds_high = seconds[t.n - 1];
	return 0;
}

static int fill(struct draft *d, struct coffer_err *e)
{
	struct coffer_plan *p = d->plan;
	const char *unmeasured = "nothing to do";
	int r;

	r = coffer_status_of(d->dev, &p->status, &d->disk, &d->segment, e);
	if (r == 0)
		r = check_all(d, e);
	if (r < 0)
		return r;
	p->possible = coffer_findings_count(&p->preflight, COFFER_VERDICT_BAD) == 0;
	if (d->facts.geometry.device > 0) {
		r = add_work(d);
		if (r < 0)
			return r;
		if (!d->o->no_speed)
			return add_time(d, e);
		unmeasured = "not measured (--no-speed)";
	}
	(void)snprintf(p->speed.why, sizeof(p->speed.why), "%s", unmeasured);
	return 0;
}

int coffer_plan_dev(struct coffer_dev *dev, const struct coffer_plan_options *o,
	struct coffer_plan **ret, struct coffer_err *e)
{
	_cleanup_(cleanup_plan) struct coffer_plan *plan = calloc(1, sizeof(*plan));
	struct draft d = {.o = o, .encrypt = *o->encrypt, .dev = dev, .plan = plan};
	int r;

	if (!plan)
		return coffer_err_errno(e, ENOMEM, "plan for %s", dev->name);
	plan->exact = true;
	d.session = (struct coffer_session){.o = &d.encrypt, .result = &d.result, .dev = dev};
	d.encrypt.callbacks = (struct coffer_encrypt_callbacks){
		.stop = o->encrypt->callbacks.stop, .userdata = o->encrypt->callbacks.userdata};
	r = fill(&d, e);
	if (r == -ENOMEM)
		r = coffer_err_errno(e, ENOMEM, "plan for %s", dev->name);
	coffer_disk_reset(&d.disk);
	coffer_resources_free(&d.session.own);
	if (r == 0)
		*ret = TAKE_PTR(plan);
	return r;
}

int coffer_plan(const struct coffer_plan_options *o, struct coffer_plan **ret, struct coffer_err *e)
{
	_cleanup_dev_ struct coffer_dev *dev = NULL;
	int r;

	r = coffer_dev_open_reading(o->encrypt->device, &dev, e);
	if (r == 0)
		r = coffer_plan_dev(dev, o, ret, e);
	return coffer_err_default(e, r);
}
