/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* plan.c - what a run would do, asked of the disk without changing it */
#include "report/plan.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/findings.h"
#include "base/size.h"
#include "convert/exclusive.h"
#include "convert/image.h"
#include "convert/moved_segment_read.h"
#include "convert/new_header.h"
#include "convert/place.h"
#include "convert/preflight.h"
#include "convert/stored_map.h"
#include "convert/used.h"
#include "luks2/locks.h"
#include "report/estimate.h"
#include "report/speed.h"
#include "report/status.h"

DEFINE_CLEANUP(struct coffer_plan *, plan, coffer_plan_free);
#define _cleanup_plan_ _cleanup_(cleanup_plan)

/* What planning carries from step to step. */
struct draft {
	const struct coffer_plan_options *o;
	struct coffer_encrypt_options encrypt; /* without callbacks but stop */
	struct coffer_dev *dev;
	struct coffer_disk disk;
	struct coffer_moved_segment segment;
	struct coffer_plan *plan;
	struct coffer_work_facts facts;
	struct coffer_works works;
	size_t key_size; /* bytes */
	/* of a run that does not come */
	struct coffer_session session;
	struct coffer_encrypt_result result;
};

static const struct {
	const char *stage, *does, *worst;
} stages[] = {
	[COFFER_WORK_UNDO] = {"undo",
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
	[COFFER_WORK_FINALIZE] = {"finalize",
		"overwrite the copy of the first bytes with random ones, write the final header",
		"all is encrypted already and can be opened; the copy is wiped again when the same "
		"command goes on"},
};
_Static_assert(ARRAY_SIZE(stages) == COFFER_N_WORK_PHASES, "every stage has its sentences");

void coffer_plan_free(struct coffer_plan *p)
{
	if (!p)
		return;
	coffer_status_free(p->status);
	coffer_findings_free(&p->preflight);
	free(p->phases);
	free(p);
}

/* --- guards -------------------------------------------------------------------------------- */

static int no_memory(const struct draft *d, struct coffer_err *e)
{
	return coffer_err_errno(e, ENOMEM, "plan for %s", d->dev->name);
}

/* @why would end a run before it writes. */
static int add_refusal(struct draft *d, enum coffer_finding_id id, const struct coffer_err *why,
	struct coffer_err *e)
{
	const bool repair = why->outcome == COFFER_NEEDS_REPAIR;

	if (d->plan->outcome != COFFER_NEEDS_REPAIR)
		d->plan->outcome = repair ? COFFER_NEEDS_REPAIR : COFFER_REFUSED;
	if (coffer_findings_add_err(&d->plan->preflight, id, d->dev->name, why) < 0)
		return no_memory(d, e);
	return 0;
}

/* What is on the disk at all: something to begin on, something to go on with, or neither. */
static int check_state(struct draft *d, struct coffer_err *e)
{
	const char *text = "a conversion is under way, and 'coffer encrypt' goes on with it";
	struct coffer_err why = {0};
	int r;

	r = coffer_disk_refuse(&d->disk, &why);
	if (r == 0 && d->disk.operation == COFFER_OP_ENCRYPTED)
		r = coffer_disk_refuse_encrypted(d->dev, &why);
	if (r == 0)
		r = coffer_moved_segment_refuse(&d->disk, &d->segment, &why);
	if (r < 0)
		return add_refusal(d, COFFER_FINDING_STATE, &why, e);
	if (d->disk.operation == COFFER_OP_START)
		text = "nothing of a conversion is on it";
	if (d->disk.operation == COFFER_OP_FINISH_UNDO)
		text = "an abort is half done and is finished first; what comes then depends on "
		       "what will be there, so plan again after 'coffer abort'";
	if (coffer_findings_print(
		    &d->plan->preflight, COFFER_FINDING_STATE, COFFER_VERDICT_OK, "%s", text) < 0)
		return no_memory(d, e);
	return 0;
}

/* A header as the run would make it, but with a key of no worth: then every option has been seen by
 * libcryptsetup. */
static int try_header(
	struct draft *d, const struct coffer_preflight *g, int *ret_fd, struct coffer_err *e)
{
	struct coffer_session *s = &d->session;
	const int r = coffer_new_header_try(s, g->format, &g->geometry, ret_fd, e);

	coffer_secret_free(TAKE_PTR(s->own.passphrase));
	coffer_secret_free(TAKE_PTR(s->own.key));
	return r;
}

static int check_new_header(
	struct draft *d, const struct coffer_preflight *g, int *ret_fd, struct coffer_err *e)
{
	struct coffer_err why = {0};
	int r;

	r = try_header(d, g, ret_fd, &why);
	if (r == -EINTR) {
		if (e)
			*e = why;
		return r;
	}
	if (r < 0) {
		d->facts = (struct coffer_work_facts){0};
		return add_refusal(d, COFFER_FINDING_NEW_HEADER, &why, e);
	}
	if (coffer_findings_print(&d->plan->preflight, COFFER_FINDING_NEW_HEADER, COFFER_VERDICT_OK,
		    "a header with these options was made in memory, and a run could go on with "
		    "it") < 0)
		return no_memory(d, e);
	(void)snprintf(d->plan->cipher, sizeof(d->plan->cipher), "%s", g->format.cipher);
	return 0;
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

/* --- what is used -------------------------------------------------------------------------- */

/* Would the run ask the kernel, which a plan must not, since that takes a mount? ext4 can be read
 * without. */
static bool only_kernel_knows(const struct draft *d, const struct coffer_preflight *g)
{
	return (g->fs.kind == COFFER_FS_XFS || g->fs.kind == COFFER_FS_BTRFS) && geteuid() == 0 &&
	       d->encrypt.used_only != COFFER_USED_NO;
}

/* The filesystem's own count stands for the map. */
static int estimate_used(struct draft *d, const struct coffer_preflight *g, struct coffer_err *e)
{
	const uint64_t used =
		g->fs.used > 0 ? min_u64(g->fs.used, g->geometry.length) : g->geometry.length;

	d->facts.estimate = used;
	d->facts.fill = d->encrypt.free_space == COFFER_FREE_FILL;
	d->plan->exact = false;
	d->plan->used_only = true;
	d->plan->free_space = d->encrypt.free_space ? d->encrypt.free_space : COFFER_FREE_KEEP;
	return coffer_findings_print(&d->plan->preflight, COFFER_FINDING_USED_ONLY,
		       COFFER_VERDICT_NOTE,
		       "the run asks the kernel which blocks are free; the %s superblock counts "
		       "about %s as used",
		       coffer_fs_name(g->fs.kind), coffer_size_format(used).s) < 0
		       ? no_memory(d, e)
		       : 0;
}

/* The session's map, if it has one, is what the run would follow. */
static void follow_map(struct draft *d)
{
	const struct coffer_stored_map *m = d->session.own.stored;

	(void)snprintf(
		d->plan->all_because, sizeof(d->plan->all_because), "%s", d->result.all_because);
	if (!m)
		return;
	d->facts.map = m->map;
	d->facts.map_size = coffer_stored_map_size(m->n_prints, m->map->n);
	for (size_t i = 0; i < m->n_prints; i++)
		d->facts.prints += m->prints[i].end - m->prints[i].start;
	d->plan->used_only = true;
	d->plan->free_space = (enum coffer_free_space)m->free_space;
}

static int say_used(struct draft *d, struct coffer_err *e)
{
	const struct coffer_encrypt_result *res = &d->result;
	int r = 0;

	if (d->encrypt.used_only == COFFER_USED_NO)
		return 0;
	if (res->used_only)
		r = coffer_findings_print(&d->plan->preflight, COFFER_FINDING_USED_ONLY,
			COFFER_VERDICT_OK, "it is certain which blocks are free: %s of %s are used",
			coffer_size_format(res->used).s, coffer_size_format(res->data_size).s);
	else
		r = coffer_findings_print(&d->plan->preflight, COFFER_FINDING_USED_ONLY,
			COFFER_VERDICT_NOTE,
			"free blocks would be encrypted, too, since it is not certain which they "
			"are (%s)",
			res->all_because);
	return r < 0 ? no_memory(d, e) : 0;
}

/* The map goes into the header in memory, as in a run: it is a part of what is placed. */
static int check_used(
	struct draft *d, const struct coffer_preflight *g, int fd, struct coffer_err *e)
{
	struct coffer_err why = {0};
	int r;

	if (only_kernel_knows(d, g))
		return estimate_used(d, g, e);
	d->result.data_size = g->geometry.length;
	r = coffer_used_find(&d->session, g, false, &why);
	if (r == 0)
		r = coffer_used_store(&d->session, fd, &why);
	if (r < 0) {
		d->facts = (struct coffer_work_facts){0};
		return add_refusal(d, COFFER_FINDING_USED_ONLY, &why, e);
	}
	follow_map(d);
	return say_used(d, e);
}

/* The guards of a disk on which nothing was begun, and the layout that it would get. */
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
		r = check_used(d, &g, fd, e);
	if (r == 0 && d->facts.geometry.device > 0)
		r = measure_image(d, &g, fd, e);
	return r;
}

/* Does a map lie on the disk that the rest may follow? Whether it holds, only the key can tell. */
static bool has_map(const struct draft *d)
{
	const struct coffer_geometry *g = &d->disk.facts.conversion.geometry;
	_cleanup_free_ uint8_t *block = coffer_dev_buffer(COFFER_BLOCK);
	const struct coffer_header *h = d->disk.header;
	uint64_t at;

	return block && h && d->disk.operation == COFFER_OP_CONVERT &&
	       d->encrypt.used_only != COFFER_USED_NO &&
	       coffer_used_map_place(h->json, h->copy_size, g->shift, &at) == 0 &&
	       at + COFFER_BLOCK <= g->shift &&
	       coffer_dev_read(d->dev, block, COFFER_BLOCK, at, NULL) == 0 &&
	       coffer_stored_map_trace(block);
}

/* What was begun says itself how it goes on; options for a new volume do not count. Everything
 * below the pointer is counted: the most that it can be. */
static void plan_rest(struct draft *d)
{
	const struct coffer_facts *f = &d->disk.facts;
	const struct coffer_conversion *c = &f->conversion;
	const struct coffer_record *place = &f->record[COFFER_RECORD_PLACE];

	d->key_size = 64;
	d->facts.n_masked = 1;
	d->plan->exact = !has_map(d);
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
		r = check_state(d, e);
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

	p->phases = calloc(COFFER_N_WORK_PHASES, sizeof(*p->phases));
	if (!p->phases)
		return no_memory(d, e);
	p->steps = d->works.steps;
	p->flushes = d->works.looks;
	for (int i = 0; i < COFFER_N_WORK_PHASES; i++) {
		const struct coffer_work *w = &d->works.stage[i];

		written = coffer_work_written(w, d->facts.copy_size);
		if (written == 0)
			continue;
		p->to_move += w->moved;
		p->to_commit += coffer_work_committed(w, d->facts.copy_size);
		p->to_write += written;
		p->flushes += w->flushes;
		p->phases[p->n_phases++] = (struct coffer_plan_phase){
			stages[i].stage, stages[i].does, stages[i].worst, written};
	}
	return 0;
}

/* No faster than the rate that was asked for, which counts what is scrubbed and filled, too. */
static double at_least(const struct draft *d, double seconds)
{
	const uint64_t n = d->plan->to_move + d->works.scrubbed + d->works.filled;
	const double limit = d->encrypt.max_rate > 0 ? (double)n / (double)d->encrypt.max_rate : 0;

	return seconds > limit ? seconds : limit;
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
		.direct = coffer_geometry_fits_direct(&d->facts.geometry),
		.stop = d->encrypt.callbacks.stop,
		.userdata = d->encrypt.callbacks.userdata,
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
	d->plan->seconds_low = at_least(d, range.low);
	d->plan->seconds = at_least(d, range.median);
	d->plan->seconds_high = at_least(d, range.high);
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

	r = coffer_status_of(d->dev, &d->plan->status, &d->disk, &d->segment, e);
	if (r == 0)
		r = check_all(d, e);
	if (r < 0)
		return r;
	d->plan->possible = coffer_findings_count(&d->plan->preflight, COFFER_VERDICT_BAD) == 0;
	if (d->facts.geometry.device == 0)
		return say_unmeasured(d, "there is nothing to do");
	d->facts.locked = coffer_locks_usable();
	d->facts.verify = d->encrypt.verify;
	coffer_work_count(d->disk.operation, &d->facts, &d->works);
	tell_layout(d);
	r = tell_work(d, e);
	if (r < 0)
		return r;
	if (d->o->no_speed)
		return say_unmeasured(d, "it was not to be measured");
	return tell_time(d, e);
}

int coffer_plan_dev(struct coffer_dev *dev, const struct coffer_plan_options *o,
	struct coffer_plan **ret, struct coffer_err *e)
{
	_cleanup_plan_ struct coffer_plan *plan = calloc(1, sizeof(*plan));
	struct draft d = {.o = o, .encrypt = *o->encrypt, .dev = dev, .plan = plan};
	int r;

	if (!plan)
		return coffer_err_errno(e, ENOMEM, "plan for %s", dev->name);
	plan->exact = true;
	d.session = (struct coffer_session){.o = &d.encrypt, .result = &d.result, .dev = dev};
	d.encrypt.callbacks = (struct coffer_encrypt_callbacks){
		.stop = o->encrypt->callbacks.stop, .userdata = o->encrypt->callbacks.userdata};
	r = fill(&d, e);
	coffer_disk_reset(&d.disk);
	coffer_resources_free(&d.session.own);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(plan);
	return 0;
}

int coffer_plan(const struct coffer_plan_options *o, struct coffer_plan **ret, struct coffer_err *e)
{
	_cleanup_dev_ struct coffer_dev *dev = NULL;
	int r;

	r = coffer_dev_open_reading(o->encrypt->device, &dev, e);
	if (r == 0)
		r = coffer_plan_dev(dev, o, ret, e);
	return coffer_err_wrap(e, r, "plan");
}
