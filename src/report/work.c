/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* work.c - what a run would read, write and flush, and how long it would take */
#include "report/work.h"

#include "base/bytes.h"
#include "convert/step.h"

static void add_commits(struct coffer_work *w, uint64_t n)
{
	w->commits += n;
	w->flushes += 2 * n;
}

static void count_save(const struct coffer_work_facts *f, struct coffer_work *w)
{
	const uint64_t shift = f->geometry.shift;

	/* the moved segment for its hash and for its copy, both to compare them, the copy for its
	 * hash; both records and the image */
	w->read = 5 * shift + f->image_size + 2 * (uint64_t)COFFER_BLOCK + f->fingerprint;
	/* the record of saving, the copy, the image, the placement record */
	w->written = COFFER_BLOCK + shift + f->image_size + COFFER_BLOCK;
	w->flushes = 4;
}

static void count_erase(const struct coffer_work_facts *f, struct coffer_work *w)
{
	w->written += 2 * (uint64_t)COFFER_BLOCK + f->image_size;
	w->flushes += 1;
}

static void count_place(const struct coffer_work_facts *f, struct coffer_work *w)
{
	/* transition block, masked blocks, then all of [0,S) in three parts */
	w->written = COFFER_BLOCK + f->n_masked * (uint64_t)COFFER_BLOCK + f->geometry.shift;
	w->flushes = 5;
	count_erase(f, w);
}

static void count_finish_placement(const struct coffer_work_facts *f, struct coffer_work *w)
{
	add_commits(w, 1); /* both copies, unchanged */
	count_erase(f, w);
}

/* Bytes that the step [from, to) overwrites besides those that it moves. */
static uint64_t overwritten_by(const struct coffer_work_facts *f, uint64_t from, uint64_t to)
{
	struct coffer_jobs jobs = coffer_jobs_of(&f->geometry, f->map, from, to);
	struct coffer_job job;
	uint64_t n = 0;

	while (coffer_jobs_next(&jobs, UINT64_MAX / 2, &job))
		if (job.kind == COFFER_JOB_SCRUB || job.kind == COFFER_JOB_FILL)
			n += job.n;
	return n;
}

static void count_convert(const struct coffer_work_facts *f, struct coffer_works *ret)
{
	struct coffer_work *w = &ret->phases[COFFER_WORK_CONVERT];

	ret->steps = coffer_count_steps(&f->geometry, f->map, f->pointer);
	w->moved = coffer_used_map_bytes(f->map, 0, f->pointer);
	for (uint64_t p = f->pointer, q; f->map && p > 0; p = q) {
		q = coffer_next_step(&f->geometry, f->map, p);
		w->written += overwritten_by(f, q, p);
	}
	w->read = f->verify ? w->moved + w->written : 0;
	add_commits(w, 1 + ret->steps); /* the first commit is that of the state as it is */
	w->flushes += ret->steps;
}

/* @again: the last step's commit is repeated, since this run did not make it. */
static void count_finalize(const struct coffer_work_facts *f, bool again, struct coffer_work *w)
{
	add_commits(w, again ? 2 : 1);
	w->written = f->geometry.shift + f->map_size;
	w->flushes += 1;
}

static void count_undo(const struct coffer_work_facts *f, struct coffer_work *w)
{
	const uint64_t shift = f->geometry.shift;

	/* the copy for its hash, and to write the moved segment */
	w->read = 2 * shift;
	/* record, two transition blocks and the second header copy's first block; the moved
	 * segment; the reserve */
	w->written = 4 * (uint64_t)COFFER_BLOCK + f->n_masked * (uint64_t)COFFER_BLOCK + 3 * shift;
	w->flushes = 9;
}

/* One before each operation and one after the last, and those after a lock was taken. */
static uint64_t count_examinations(enum coffer_operation a, bool locked)
{
	const uint64_t again = locked ? 0 : 1;

	switch (a) {
	case COFFER_OP_START: /* the lock is taken before the header is placed */
		return 4 + 2 * again;
	case COFFER_OP_REDO_PLACEMENT:
	case COFFER_OP_FINISH_PLACEMENT:
		return 5 + 2 * again;
	case COFFER_OP_CONVERT:
		return 4 + again;
	case COFFER_OP_FINISH_UNDO:
		return 2;
	default: /* FINALIZE and SYNC_FINAL */
		return 3;
	}
}

void coffer_work_count(
	enum coffer_operation a, const struct coffer_work_facts *f, struct coffer_works *ret)
{
	struct coffer_work *phases = ret->phases;

	*ret = (struct coffer_works){0};
	switch (a) {
	case COFFER_OP_START:
		count_save(f, &phases[COFFER_WORK_SAVE]);
		count_place(f, &phases[COFFER_WORK_PLACE]);
		break;
	case COFFER_OP_REDO_PLACEMENT:
		count_place(f, &phases[COFFER_WORK_PLACE]);
		break;
	case COFFER_OP_FINISH_PLACEMENT:
		count_finish_placement(f, &phases[COFFER_WORK_PLACE]);
		break;
	case COFFER_OP_SYNC_FINAL:
		add_commits(&phases[COFFER_WORK_FINALIZE], 1);
		break;
	case COFFER_OP_FINISH_UNDO:
		count_undo(f, &phases[COFFER_WORK_UNDO]);
		break;
	case COFFER_OP_CONVERT:
	case COFFER_OP_FINALIZE:
		break;
	case COFFER_OP_ENCRYPTED:
	case COFFER_OP_OTHER:
	case COFFER_OP_SHRUNK:
	case COFFER_OP_DAMAGED:
	case COFFER_OP_UNKNOWN:
	case COFFER_N_OPERATIONS:
		return;
	}
	ret->examinations = count_examinations(a, f->locked);
	if (a == COFFER_OP_SYNC_FINAL || a == COFFER_OP_FINISH_UNDO)
		return;
	if (a != COFFER_OP_FINALIZE)
		count_convert(f, ret);
	count_finalize(f, a == COFFER_OP_FINALIZE, &phases[COFFER_WORK_FINALIZE]);
}

uint64_t coffer_work_written(const struct coffer_work *w, uint64_t copy_size)
{
	return w->moved + w->written + w->commits * 2 * copy_size;
}

/* A moved byte is read and written once, so one that is only read or only written costs half of it.
 * The bytes of a commit are in the cost of its flushes. */
double coffer_work_seconds(const struct coffer_works *w, const struct coffer_timed_step *t)
{
	const double flush = t->commit / 2;
	/* Clocks and disks are noisy: the flush took at most half of the step. */
	const double moving = t->move - flush > t->move / 2 ? t->move - flush : t->move / 2;
	double bytes = 0, flushes = (double)w->examinations;

	for (int i = 0; i < COFFER_N_WORK_PHASES; i++) {
		const struct coffer_work *p = &w->phases[i];

		bytes += (double)p->moved + (double)(p->read + p->written) / 2;
		flushes += (double)p->flushes;
	}
	return bytes * moving / (double)t->bytes + flushes * flush;
}
