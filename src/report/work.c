/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* work.c - what a run would read, write and flush, counted from the order of its writes */
#include "report/work.h"

#include "base/bytes.h"
#include "convert/step.h"

/* A commit writes each copy with a flush of its own. */
static void add_commits(struct coffer_work *w, uint64_t n)
{
	w->commits += n;
	w->flushes += 2 * n;
}

static void count_save(const struct coffer_work_facts *f, struct coffer_work *w)
{
	const uint64_t shift = f->geometry.shift;

	/* the head for its hash, and to its copy, both again to compare them, the copy once more
	 * for its hash; both records and the image */
	w->read = 5 * shift + f->image_size + 2 * (uint64_t)COFFER_BLOCK + f->prints;
	/* the record of saving, the copy, the image, the record of placing */
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
	/* transition block, veils, then all of [0,S) in three parts */
	w->written = COFFER_BLOCK + f->n_masked * (uint64_t)COFFER_BLOCK + f->geometry.shift;
	w->flushes = 5;
	count_erase(f, w);
}

static void count_finish_placing(const struct coffer_work_facts *f, struct coffer_work *w)
{
	add_commits(w, 1); /* the copies as they are, but the same writes */
	count_erase(f, w);
}

/* More than any job has. */
#define ALL (UINT64_C(1) << 62)

/* What the step [from, to) overwrites with something else than used bytes. */
static void count_jobs(
	const struct coffer_work_facts *f, uint64_t from, uint64_t to, struct coffer_works *ret)
{
	struct coffer_jobs jobs = coffer_jobs_of(&f->geometry, f->map, from, to);
	struct coffer_job job;

	while (coffer_jobs_next(&jobs, ALL, &job))
		if (job.kind == COFFER_JOB_SCRUB)
			ret->scrubbed += job.n;
		else if (job.kind == COFFER_JOB_FILL)
			ret->filled += job.n;
}

static void count_steps(const struct coffer_work_facts *f, struct coffer_works *ret)
{
	for (uint64_t p = f->pointer, q; f->map && p > 0; p = q) {
		q = coffer_next_step(&f->geometry, f->map, p);
		count_jobs(f, q, p, ret);
	}
	ret->steps = coffer_count_steps(&f->geometry, f->map, f->pointer);
}

/* As if all that is used lay at one end. */
static void estimate_steps(const struct coffer_work_facts *f, struct coffer_works *ret)
{
	const uint64_t used = min_u64(f->estimate, f->pointer);
	struct coffer_range range = {0, min_u64(round_up_u64(used, COFFER_BLOCK), f->pointer)};
	const struct coffer_used_map map = {
		.length = f->pointer, .used = &range, .n = 1, .fill = f->fill};

	ret->steps = coffer_count_steps(&f->geometry, &map, f->pointer);
	ret->filled = f->fill ? f->pointer - used : 0;
}

static void count_convert(const struct coffer_work_facts *f, struct coffer_works *ret)
{
	struct coffer_work *w = &ret->stage[COFFER_WORK_CONVERT];

	if (!f->map && f->estimate > 0) {
		estimate_steps(f, ret);
		w->moved = min_u64(f->estimate, f->pointer);
	} else {
		count_steps(f, ret);
		w->moved = coffer_used_map_bytes(f->map, 0, f->pointer);
	}
	w->written = ret->scrubbed + ret->filled;
	w->read = f->verify ? w->moved + w->written : 0;
	add_commits(w, 1 + ret->steps); /* the state as it is comes first */
	w->flushes += ret->steps;
}

static void count_end(const struct coffer_work_facts *f, bool again, struct coffer_work *w)
{
	add_commits(w, again ? 2 : 1);
	w->written = f->geometry.shift + f->map_size;
	w->flushes += 1;
}

static void count_restore(const struct coffer_work_facts *f, struct coffer_work *w)
{
	const uint64_t shift = f->geometry.shift;

	/* the hash, then the head from its copy */
	w->read = 2 * shift;
	/* record, two marks and the second copy's first block; all of the head; the reserve */
	w->written = 4 * (uint64_t)COFFER_BLOCK + f->n_masked * (uint64_t)COFFER_BLOCK + 3 * shift;
	w->flushes = 9;
}

/* Looks at the disk: one before each stage and one after the last. Whoever comes to a disk with a
 * header looks again under the volume's lock; who cannot have that looks again each time. */
static uint64_t count_looks(enum coffer_operation a, const struct coffer_work_facts *f)
{
	const uint64_t again = f->locked ? 0 : 1;

	switch (a) {
	case COFFER_OP_START: /* the lock is taken before the header is placed */
		return 4 + 2 * again;
	case COFFER_OP_REDO_PLACEMENT:
	case COFFER_OP_FINISH_PLACEMENT:
		return 5 + 2 * again;
	case COFFER_OP_CONVERT:
		return 4 + again;
	default: /* END and SYNC_FINAL */
		return 3;
	}
}

void coffer_work_count(
	enum coffer_operation a, const struct coffer_work_facts *f, struct coffer_works *ret)
{
	struct coffer_work *stage = ret->stage;

	*ret = (struct coffer_works){0};
	switch (a) {
	case COFFER_OP_START:
		count_save(f, &stage[COFFER_WORK_SAVE]);
		count_place(f, &stage[COFFER_WORK_PLACE]);
		break;
	case COFFER_OP_REDO_PLACEMENT:
		count_place(f, &stage[COFFER_WORK_PLACE]);
		break;
	case COFFER_OP_FINISH_PLACEMENT:
		count_finish_placing(f, &stage[COFFER_WORK_PLACE]);
		break;
	case COFFER_OP_CONVERT:
	case COFFER_OP_FINALIZE:
		break;
	case COFFER_OP_SYNC_FINAL:
		add_commits(&stage[COFFER_WORK_FINALIZE], 1);
		ret->looks = count_looks(a, f);
		return;
	case COFFER_OP_FINISH_UNDO:
		count_restore(f, &stage[COFFER_WORK_UNDO]);
		ret->looks = 2;
		return;
	case COFFER_OP_ENCRYPTED:
	case COFFER_OP_OTHER:
	case COFFER_OP_SHRUNK:
	case COFFER_OP_DAMAGED:
	case COFFER_OP_UNKNOWN:
	case COFFER_N_OPERATIONS:
		return;
	}
	if (a != COFFER_OP_FINALIZE)
		count_convert(f, ret);
	/* A run that did not do the last step itself makes sure of it first. */
	count_end(f, a == COFFER_OP_FINALIZE, &stage[COFFER_WORK_FINALIZE]);
	ret->looks = count_looks(a, f);
}

uint64_t coffer_work_committed(const struct coffer_work *w, uint64_t copy_size)
{
	return w->commits * 2 * copy_size;
}

uint64_t coffer_work_written(const struct coffer_work *w, uint64_t copy_size)
{
	return w->moved + w->written + coffer_work_committed(w, copy_size);
}
