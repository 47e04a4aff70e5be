/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* engine.c - a bounded pipeline: read ahead and encrypt, write the step that may be written */
#include "convert/engine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "convert/step.h"
#include "io/clock.h"
#include "io/read_back.h"
#include "io/threads.h"

enum {
	PIECE = 1 << 20,
	SLOTS = 48,	/* pieces that are read ahead: three steps of the usual size */
	MAX_CHECKS = 4, /* pieces that are read back at the same time */
	AHEAD = 32	/* steps that are listed ahead; a small step has few pieces */
};

static const double ASK_STOP = 0.2; /* seconds between questions */

enum slot_state {
	FREE,
	FILLING, /* read and encrypted by a thread */
	READY,	 /* waits for its step */
	WRITING
};

/* A piece on its way. */
struct slot {
	enum slot_state state;
	uint64_t step; /* number of its step */
	struct coffer_job job;
	uint8_t *buf;
};

struct pending {
	struct coffer_step done;
	size_t open; /* pieces that were listed and are not yet written */
};

struct coffer_engine {
	struct coffer_engine_setup s; /* without the key */
	unsigned int threads;
	bool alone; /* all is done on the caller's thread, in order */
	struct coffer_xts *xts[COFFER_MAX_THREADS];
	uint8_t *bufs;				/* of all slots, in one piece */
	uint8_t *check_buf[COFFER_MAX_THREADS]; /* to read back: two pieces each */
	struct coffer_threads *workers;
	/* What follows is guarded by the threads' lock. */
	struct slot slot[SLOTS];
	bool quit;
	/* A failure ends it all once its step is due: what could not be read ahead leaves the steps
	 * above to be done. Of several the first step's counts. */
	int r;
	struct coffer_err e;
	uint64_t failed_step;
	struct pending steps[AHEAD];
	uint64_t first;	  /* number of the step that is written next, or now */
	uint64_t listing; /* ... that is being listed */
	bool any_listing; /* there is one */
	bool may_write;	  /* step @first may be written */
	uint64_t p;	  /* where the step after the one being listed ends */
	struct coffer_jobs jobs;
	double interval; /* seconds per byte, of the rate */
	double not_before;
	/* A step that is read back, while other threads read ahead. */
	struct coffer_jobs checks;
	bool checks_left;      /* there may be more pieces */
	unsigned int checking; /* threads that read one back */
};

/* --- one piece ----------------------------------------------------------------------------- */

static int fill_piece(struct coffer_engine *en, unsigned int thread, const struct coffer_job *j,
	uint8_t *buf, struct coffer_err *e)
{
	int r;

	if (j->kind == COFFER_JOB_MOVE) {
		r = coffer_dev_read(en->s.dev, buf, j->n, coffer_plain_offset(en->s.g, j->x), e);
		if (r < 0)
			return r;
	} else {
		/* The ciphertext of zeros looks like any other, and the volume has zeros there. */
		memset(buf, 0, j->n);
	}
	if (coffer_xts_encrypt(en->xts[thread], j->x, buf, j->n) < 0)
		return coffer_err_set(e, EIO, "libcrypto failed to encrypt");
	return 0;
}

/* Read back, decrypt, compare. @buf has space for two pieces. */
static int check_piece(struct coffer_engine *en, unsigned int thread, const struct coffer_job *j,
	struct coffer_err *e)
{
	const uint64_t at = j->x + en->s.g->shift;
	uint8_t *buf = en->check_buf[thread], *plain = buf + PIECE;
	int r;

	coffer_dev_forget(en->s.dev, at, j->n);
	r = coffer_dev_read(en->s.dev, buf, j->n, at, e);
	if (r < 0)
		return r;
	if (coffer_xts_decrypt(en->xts[thread], j->x, buf, j->n) < 0)
		return coffer_err_set(e, EIO, "libcrypto failed to decrypt");
	memset(plain, 0, j->n);
	/* No step writes over its own source, so it is what it was. */
	if (j->kind == COFFER_JOB_MOVE)
		r = coffer_dev_read(en->s.dev, plain, j->n, coffer_plain_offset(en->s.g, j->x), e);
	if (r < 0)
		return r;
	return memcmp(buf, plain, j->n) == 0 ? 0 : coffer_dev_mismatch(en->s.dev, at, e);
}

/* --- what comes next; with the lock --------------------------------------------------------- */

static struct pending *step_number(struct coffer_engine *en, uint64_t n)
{
	return &en->steps[n % AHEAD];
}

/* Begin to list the step below the last one. False: there is none, or there are enough. */
static bool begin_step(struct coffer_engine *en)
{
	struct pending *s;

	if (en->p <= en->s.to || en->listing - en->first >= AHEAD)
		return false;
	s = step_number(en, en->listing);
	*s = (struct pending){.done = {.to = en->p}};
	s->done.from = coffer_next_step(en->s.g, en->s.map, en->p);
	en->p = s->done.from;
	en->jobs = coffer_jobs_of(en->s.g, en->s.map, s->done.from, s->done.to);
	en->any_listing = true;
	return true;
}

/* The next piece of all, in order. */
static bool next_job(struct coffer_engine *en, uint64_t *ret_step, struct coffer_job *ret)
{
	while (!en->alone || en->listing == en->first) {
		if (!en->any_listing && !begin_step(en))
			return false;
		if (coffer_jobs_next(&en->jobs, PIECE, ret)) {
			*ret_step = en->listing;
			step_number(en, en->listing)->open++;
			return true;
		}
		en->any_listing = false;
		en->listing++;
		coffer_threads_wake(en->workers); /* its last piece may be written already */
	}
	return false;
}

/* Is all of the step written? */
static bool is_written(struct coffer_engine *en)
{
	return en->listing > en->first && step_number(en, en->first)->open == 0;
}

/* Seconds until the next piece may be begun. */
static double held_up(struct coffer_engine *en)
{
	return en->interval > 0 ? en->not_before - coffer_clock() : 0;
}

static void count_rate(struct coffer_engine *en, uint64_t n)
{
	const double now = en->interval > 0 ? coffer_clock() : 0;

	if (en->not_before < now)
		en->not_before = now;
	en->not_before += (double)n * en->interval;
}

static void note_failure(struct coffer_engine *en, uint64_t step, int r, const struct coffer_err *e)
{
	if (r == 0 || (en->r < 0 && en->failed_step <= step))
		return;
	en->r = r;
	en->e = *e;
	en->failed_step = step;
	coffer_threads_wake(en->workers);
}

/* The steps before the one that failed can still be written, and a written one be verified. */
static bool has_failed(const struct coffer_engine *en)
{
	return en->r < 0 && en->failed_step < en->first + en->may_write;
}

/* --- work: with the lock, which is released for the work itself ------------------------------- */

static struct slot *find_slot(struct coffer_engine *en, enum slot_state state)
{
	for (unsigned int i = 0; i < (en->alone ? 1 : SLOTS); i++)
		if (en->slot[i].state == state && (state == FREE || en->slot[i].step == en->first))
			return &en->slot[i];
	return NULL;
}

/* Write a piece of the step that may be written. False: none is ready.
 * [from+S, to+S) holds no plain byte that is not somewhere else: by the rule for steps no used byte
 * lies in [from+S, to), so this goes over what earlier steps, whose commits are durable, have moved
 * up by S, over what is free, or into the gap. */
static bool write_one(struct coffer_engine *en)
{
	struct slot *s = en->may_write ? find_slot(en, READY) : NULL;
	struct coffer_err e = {0};
	struct pending *step;
	int r;

	if (!s)
		return false;
	s->state = WRITING;
	coffer_threads_unlock(en->workers);
	r = coffer_dev_write(en->s.dev, s->buf, s->job.n, s->job.x + en->s.g->shift, &e);
	coffer_threads_lock(en->workers);
	s->state = FREE;
	step = step_number(en, s->step);
	step->open--;
	step->done.bytes[s->job.kind] += s->job.n;
	note_failure(en, s->step, r, &e);
	/* There is a free slot, or the step's end. */
	coffer_threads_wake(en->workers);
	return true;
}

/* Read and encrypt the next piece. False: there is none, or no free slot, or it is too early. */
static bool fill_one(struct coffer_engine *en, unsigned int thread)
{
	struct slot *s = held_up(en) > 0 || en->r < 0 ? NULL : find_slot(en, FREE);
	struct coffer_err e = {0};
	int r;

	if (!s || !next_job(en, &s->step, &s->job))
		return false;
	count_rate(en, s->job.n);
	s->state = FILLING;
	coffer_threads_unlock(en->workers);
	r = fill_piece(en, thread, &s->job, s->buf, &e);
	coffer_threads_lock(en->workers);
	s->state = r < 0 ? FREE : READY;
	note_failure(en, s->step, r, &e);
	return true;
}

/* Read back one piece. False: there is none, or enough threads do that. */
static bool check_one(struct coffer_engine *en, unsigned int thread)
{
	struct coffer_err e = {0};
	struct coffer_job job;
	int r;

	if (!en->checks_left || en->checking == MAX_CHECKS)
		return false;
	en->checks_left = coffer_jobs_next(&en->checks, PIECE, &job);
	coffer_threads_wake(en->workers);
	if (!en->checks_left)
		return true;
	en->checking++;
	coffer_threads_unlock(en->workers);
	r = check_piece(en, thread, &job, &e);
	coffer_threads_lock(en->workers);
	en->checking--;
	note_failure(en, 0, r, &e);
	coffer_threads_wake(en->workers);
	return true;
}

/* False: nothing can be done now. */
static bool work_once(struct coffer_engine *en, unsigned int thread)
{
	return check_one(en, thread) || write_one(en) || fill_one(en, thread);
}

static void work(void *arg, unsigned int thread)
{
	struct coffer_engine *en = arg;

	coffer_threads_lock(en->workers);
	while (!en->quit && !has_failed(en)) {
		const double wait = held_up(en);

		if (!work_once(en, thread))
			coffer_threads_wait(en->workers, wait > 0 ? wait : -1);
	}
	coffer_threads_unlock(en->workers);
}

/* --- steps ---------------------------------------------------------------------------------- */

/* Work, or let the threads work, until @done or a failure. */
static int wait_until(
	struct coffer_engine *en, bool (*done)(struct coffer_engine *en), struct coffer_err *e)
{
	coffer_threads_wake(en->workers);
	while (!has_failed(en) && !done(en)) {
		const double wait = en->alone ? held_up(en) : ASK_STOP;

		if (en->alone && work_once(en, 0))
			continue;
		if (wait > 0)
			coffer_threads_wait(en->workers, wait < ASK_STOP ? wait : ASK_STOP);
		/* Nothing holds up a step that is not to be followed by another one. */
		if (en->interval > 0 && coffer_stop_wanted(&en->s.stop)) {
			en->interval = 0;
			coffer_threads_wake(en->workers);
		}
	}
	return has_failed(en) ? coffer_err_pass(e, en->r, &en->e) : 0;
}

int coffer_engine_step(struct coffer_engine *en, struct coffer_step *ret, struct coffer_err *e)
{
	int r;

	coffer_threads_lock(en->workers);
	en->may_write = true;
	r = wait_until(en, is_written, e);
	en->may_write = false;
	if (r == 0) {
		*ret = step_number(en, en->first)->done;
		en->first++;
		coffer_threads_wake(en->workers);
	}
	coffer_threads_unlock(en->workers);
	return r;
}

static bool is_checked(struct coffer_engine *en)
{
	return !en->checks_left && en->checking == 0;
}

int coffer_engine_verify(
	struct coffer_engine *en, const struct coffer_step *s, struct coffer_err *e)
{
	int r;

	coffer_threads_lock(en->workers);
	en->checks = coffer_jobs_of(en->s.g, en->s.map, s->from, s->to);
	en->checks_left = true;
	r = wait_until(en, is_checked, e);
	coffer_threads_unlock(en->workers);
	return r;
}

/* --- set-up --------------------------------------------------------------------------------- */

static unsigned int number_of_threads(unsigned int wanted)
{
	const unsigned int cpus = coffer_processors();

	if (wanted == 0)
		wanted = cpus > COFFER_USUAL_THREADS ? cpus : COFFER_USUAL_THREADS;
	return wanted < COFFER_MAX_THREADS ? wanted : COFFER_MAX_THREADS;
}

static int allocate(struct coffer_engine *en, const uint8_t *key, struct coffer_err *e)
{
	const unsigned int slots = en->alone ? 1 : SLOTS;

	en->workers = coffer_threads_new();
	en->bufs = coffer_dev_buffer(slots * (size_t)PIECE);
	if (!en->workers || !en->bufs)
		return coffer_err_errno(e, ENOMEM, "set up the engine");
	for (unsigned int i = 0; i < slots; i++)
		en->slot[i].buf = en->bufs + i * (size_t)PIECE;
	for (unsigned int i = 0; i < en->threads; i++) {
		const int r =
			coffer_xts_new(key, en->s.key_size, en->s.g->sector_size, &en->xts[i], e);

		if (r < 0)
			return r;
		if (!en->s.verify)
			continue;
		en->check_buf[i] = coffer_dev_buffer(2 * (size_t)PIECE);
		if (!en->check_buf[i])
			return coffer_err_errno(e, ENOMEM, "set up the engine");
	}
	return 0;
}

int coffer_engine_open(
	const struct coffer_engine_setup *s, struct coffer_engine **ret, struct coffer_err *e)
{
	_cleanup_engine_ struct coffer_engine *en = calloc(1, sizeof(*en));
	int r;

	if (!en)
		return coffer_err_errno(e, ENOMEM, "set up the engine");
	en->s = *s;
	en->s.key = NULL;
	en->p = s->from;
	en->threads = number_of_threads(s->threads);
	en->alone = en->threads == 1;
	en->interval = s->max_rate ? 1.0 / (double)s->max_rate : 0;
	r = allocate(en, s->key, e);
	if (r < 0)
		return r;
	/* Where no thread can be had, the caller's does the same work. */
	if (!en->alone && coffer_threads_start(en->workers, en->threads, work, en) == 0)
		en->alone = true;
	*ret = TAKE_PTR(en);
	return 0;
}

void coffer_engine_close(struct coffer_engine *en)
{
	if (!en)
		return;
	if (en->workers) {
		coffer_threads_lock(en->workers);
		en->quit = true;
		coffer_threads_wake(en->workers);
		coffer_threads_unlock(en->workers);
	}
	coffer_threads_join(en->workers);
	free(en->bufs);
	for (unsigned int i = 0; i < COFFER_MAX_THREADS; i++) {
		coffer_xts_free(en->xts[i]);
		free(en->check_buf[i]);
	}
	free(en);
}
