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

/* A step that is read back, while the other threads read ahead. */
struct check {
	struct coffer_jobs jobs;
	bool open; /* there may be more pieces */
	int r;	   /* the first failure, and its error */
	struct coffer_err e;
	unsigned int n, n_free;	  /* buffers, and those that no thread uses now */
	uint8_t *buf[MAX_CHECKS]; /* two pieces each */
	uint8_t *free_buf[MAX_CHECKS];
};

struct coffer_engine {
	struct coffer_dev *dev;
	const struct coffer_geometry *g;
	const struct coffer_used_map *map;
	struct coffer_stop stop;
	struct coffer_threads *workers; /* NULL: all on the caller's thread */
	unsigned int threads;
	struct coffer_xts *xts[COFFER_MAX_THREADS];
	uint8_t *bufs; /* of all slots, in one piece */
	struct slot slot[SLOTS];
	/* What follows is guarded by the threads' lock. */
	bool quit;
	int r; /* the failure that ends it all, and its error */
	struct coffer_err e;
	/* What could not be read ahead fails only when its step is due: the steps above can still
	 * be done. */
	int ahead_r;
	struct coffer_err ahead_e;
	uint64_t ahead_step;
	struct pending steps[AHEAD];
	uint64_t first;	   /* number of the step that is written next, or now */
	uint64_t listing;  /* ... that is being listed */
	bool any_listing;  /* there is one */
	bool may_write;	   /* step @first may be written */
	uint64_t p, floor; /* where the step after the one being listed ends; where all end */
	struct coffer_jobs jobs;
	double interval; /* seconds per byte, of the rate */
	double not_before;
	struct check check;
};

static void lock(struct coffer_engine *en)
{
	if (en->workers)
		coffer_threads_lock(en->workers);
}

static void unlock_and_wake(struct coffer_engine *en)
{
	if (!en->workers)
		return;
	coffer_threads_wake(en->workers);
	coffer_threads_unlock(en->workers);
}

/* --- one piece ----------------------------------------------------------------------------- */

static int fill_piece(struct coffer_engine *en, unsigned int thread, const struct coffer_job *j,
	uint8_t *buf, struct coffer_err *e)
{
	int r;

	if (j->kind == COFFER_JOB_MOVE) {
		r = coffer_dev_read(en->dev, buf, j->n, coffer_plain_offset(en->g, j->x), e);
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

static int write_piece(struct coffer_engine *en, const struct coffer_job *j, const uint8_t *buf,
	struct coffer_err *e)
{
	/* [from+S, to+S) holds no plain byte that is not somewhere else: by the rule for steps no
	 * used byte lies in [from+S, to), so this goes over what earlier steps, whose commits are
	 * durable, have moved up by S, over what is free, or into the gap. */
	return coffer_dev_write(en->dev, buf, j->n, j->x + en->g->shift, e);
}

/* Read back, decrypt, compare. @buf has room for two pieces. */
static int check_piece(struct coffer_engine *en, unsigned int thread, const struct coffer_job *j,
	uint8_t *buf, struct coffer_err *e)
{
	const uint64_t at = j->x + en->g->shift;
	uint8_t *plain = buf + PIECE;
	int r;

	coffer_dev_forget(en->dev, at, j->n);
	r = coffer_dev_read(en->dev, buf, j->n, at, e);
	if (r < 0)
		return r;
	if (coffer_xts_decrypt(en->xts[thread], j->x, buf, j->n) < 0)
		return coffer_err_set(e, EIO, "libcrypto failed to decrypt");
	memset(plain, 0, j->n);
	/* No step writes over its own source, so it is what it was. */
	if (j->kind == COFFER_JOB_MOVE)
		r = coffer_dev_read(en->dev, plain, j->n, coffer_plain_offset(en->g, j->x), e);
	if (r < 0)
		return r;
	if (memcmp(buf, plain, j->n) == 0)
		return 0;
	return coffer_dev_mismatch(en->dev, at, e);
}

static void count_piece(struct coffer_step *s, const struct coffer_job *j)
{
	switch (j->kind) {
	case COFFER_JOB_MOVE:
		s->moved += j->n;
		break;
	case COFFER_JOB_SCRUB:
		s->scrubbed += j->n;
		break;
	case COFFER_JOB_FILL:
		s->filled += j->n;
		break;
	}
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

	if (en->p <= en->floor || en->listing - en->first >= AHEAD)
		return false;
	s = step_number(en, en->listing);
	*s = (struct pending){.done = {.to = en->p}};
	s->done.from = coffer_next_step(en->g, en->map, en->p);
	en->p = s->done.from;
	en->jobs = coffer_jobs_of(en->g, en->map, s->done.from, s->done.to);
	en->any_listing = true;
	return true;
}

/* The next piece of all, in order, of step @last at most. */
static bool next_job(
	struct coffer_engine *en, uint64_t last, uint64_t *ret_step, struct coffer_job *ret)
{
	while (en->listing <= last) {
		if (!en->any_listing && !begin_step(en))
			return false;
		if (coffer_jobs_next(&en->jobs, PIECE, ret)) {
			*ret_step = en->listing;
			step_number(en, en->listing)->open++;
			return true;
		}
		en->any_listing = false;
		en->listing++;
		if (en->workers)
			coffer_threads_wake(
				en->workers); /* its last piece may be written already */
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

/* --- the threads ---------------------------------------------------------------------------- */

static struct slot *find_slot(struct coffer_engine *en, enum slot_state state)
{
	for (unsigned int i = 0; i < SLOTS; i++)
		if (en->slot[i].state == state && (state == FREE || en->slot[i].step == en->first))
			return &en->slot[i];
	return NULL;
}

static void note_failure(struct coffer_engine *en, int r, const struct coffer_err *e)
{
	if (en->r == 0) {
		en->r = r;
		en->e = *e;
	}
	coffer_threads_wake(en->workers);
}

/* Write a piece of the step that may be written. False: none is ready. */
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
	r = write_piece(en, &s->job, s->buf, &e);
	coffer_threads_lock(en->workers);
	s->state = FREE;
	step = step_number(en, s->step);
	step->open--;
	count_piece(&step->done, &s->job);
	if (r < 0)
		note_failure(en, r, &e);
	/* Room for another piece, or the step's end. */
	coffer_threads_wake(en->workers);
	return true;
}

/* Of several the one of the highest step counts, which is due first. */
static void note_failure_ahead(
	struct coffer_engine *en, uint64_t step, int r, const struct coffer_err *e)
{
	if (en->ahead_r == 0 || step < en->ahead_step) {
		en->ahead_r = r;
		en->ahead_e = *e;
		en->ahead_step = step;
	}
	coffer_threads_wake(en->workers);
}

/* Is the step due that could not be read? */
static bool cannot_go_on(const struct coffer_engine *en)
{
	return en->ahead_r < 0 && en->ahead_step <= en->first;
}

/* Read and encrypt the next piece. False: there is none, or no room, or it is too early. */
static bool fill_one(struct coffer_engine *en, unsigned int thread)
{
	struct slot *s = held_up(en) > 0 || en->ahead_r < 0 ? NULL : find_slot(en, FREE);
	struct coffer_err e = {0};
	int r;

	if (!s || !next_job(en, UINT64_MAX, &s->step, &s->job))
		return false;
	count_rate(en, s->job.n);
	s->state = FILLING;
	coffer_threads_unlock(en->workers);
	r = fill_piece(en, thread, &s->job, s->buf, &e);
	coffer_threads_lock(en->workers);
	s->state = r < 0 ? FREE : READY;
	if (r < 0)
		note_failure_ahead(en, s->step, r, &e);
	return true;
}

/* The next piece to read back. False: there is none left, or one was not as it must be. */
static bool next_check(struct check *c, struct coffer_job *ret)
{
	c->open = c->open && c->r == 0 && coffer_jobs_next(&c->jobs, PIECE, ret);
	return c->open;
}

/* Read back one piece. False: there is none, or enough threads do that. */
static bool check_one(struct coffer_engine *en, unsigned int thread)
{
	struct check *c = &en->check;
	struct coffer_err e = {0};
	struct coffer_job job;
	uint8_t *buf;
	int r;

	if (!c->open || c->n_free == 0)
		return false;
	if (!next_check(c, &job)) {
		coffer_threads_wake(en->workers);
		return false;
	}
	buf = c->free_buf[--c->n_free];
	coffer_threads_unlock(en->workers);
	r = check_piece(en, thread, &job, buf, &e);
	coffer_threads_lock(en->workers);
	c->free_buf[c->n_free++] = buf;
	if (r < 0 && c->r == 0) {
		c->r = r;
		c->e = e;
	}
	coffer_threads_wake(en->workers);
	return true;
}

static void work(void *arg, unsigned int thread)
{
	struct coffer_engine *en = arg;

	coffer_threads_lock(en->workers);
	while (!en->quit && en->r == 0) {
		double wait;

		if (check_one(en, thread) || write_one(en) || fill_one(en, thread))
			continue;
		wait = held_up(en);
		coffer_threads_wait(en->workers, wait > 0 ? wait : -1);
	}
	coffer_threads_unlock(en->workers);
}

/* --- steps ---------------------------------------------------------------------------------- */

/* Everything on the caller's thread, piece by piece in order. */
static int step_alone(struct coffer_engine *en, struct coffer_err *e)
{
	struct pending *step = step_number(en, en->first);
	struct coffer_job job;
	uint64_t number;
	int r = 0;

	while (r == 0 && next_job(en, en->first, &number, &job)) {
		double wait;

		while ((wait = held_up(en)) > 0 && !coffer_stop_wanted(&en->stop))
			coffer_sleep(wait < ASK_STOP ? wait : ASK_STOP);
		count_rate(en, job.n);
		r = fill_piece(en, 0, &job, en->slot[0].buf, e);
		if (r == 0)
			r = write_piece(en, &job, en->slot[0].buf, e);
		step->open--;
		count_piece(&step->done, &job);
	}
	return r;
}

static int step_together(struct coffer_engine *en, struct coffer_err *e)
{
	int r;

	coffer_threads_lock(en->workers);
	en->may_write = true;
	coffer_threads_wake(en->workers);
	while (en->r == 0 && !cannot_go_on(en) && !is_written(en)) {
		coffer_threads_wait(en->workers, ASK_STOP);
		if (en->interval > 0 && coffer_stop_wanted(&en->stop)) {
			en->interval = 0;
			coffer_threads_wake(en->workers);
		}
	}
	en->may_write = false;
	if (en->r == 0 && cannot_go_on(en))
		note_failure(en, en->ahead_r, &en->ahead_e);
	r = en->r;
	if (r < 0 && e)
		*e = en->e;
	coffer_threads_unlock(en->workers);
	return r;
}

int coffer_engine_step(struct coffer_engine *en, struct coffer_step *ret, struct coffer_err *e)
{
	const int r = en->workers ? step_together(en, e) : step_alone(en, e);

	if (r < 0)
		return r;
	/* The threads list further steps, so the number goes on under their lock. */
	lock(en);
	*ret = step_number(en, en->first)->done;
	en->first++;
	unlock_and_wake(en);
	return 0;
}

int coffer_engine_begin(struct coffer_engine *en, uint64_t p, uint64_t floor, struct coffer_err *e)
{
	lock(en);
	en->p = p;
	en->floor = floor;
	unlock_and_wake(en);
	if (en->threads == 1 || en->workers)
		return 0;
	en->workers = coffer_threads_new();
	if (!en->workers)
		return coffer_err_errno(e, ENOMEM, "set up the engine");
	if (coffer_threads_start(en->workers, en->threads, work, en) == 0) {
		coffer_threads_join(TAKE_PTR(en->workers));
		en->threads = 1; /* no thread can be had: the caller's does the same work */
	}
	return 0;
}

/* --- reading back --------------------------------------------------------------------------- */

static int check_alone(struct coffer_engine *en, struct coffer_err *e)
{
	struct check *c = &en->check;
	struct coffer_job job;

	while (next_check(c, &job))
		c->r = check_piece(en, 0, &job, c->buf[0], e);
	return c->r;
}

static int check_together(struct coffer_engine *en, struct coffer_err *e)
{
	struct check *c = &en->check;

	coffer_threads_lock(en->workers);
	c->open = true;
	coffer_threads_wake(en->workers);
	while (c->n_free < c->n || (c->open && c->r == 0))
		coffer_threads_wait(en->workers, -1);
	c->open = false;
	if (c->r < 0 && e)
		*e = c->e;
	coffer_threads_unlock(en->workers);
	return c->r;
}

int coffer_engine_verify(
	struct coffer_engine *en, const struct coffer_step *s, struct coffer_err *e)
{
	struct check *c = &en->check;

	/* No thread looks at these while @open is false. */
	c->jobs = coffer_jobs_of(en->g, en->map, s->from, s->to);
	c->r = 0;
	if (en->workers)
		return check_together(en, e);
	c->open = true;
	return check_alone(en, e);
}

/* --- set-up --------------------------------------------------------------------------------- */

static unsigned int number_of_threads(unsigned int wanted)
{
	const unsigned int cpus = coffer_processors();

	if (wanted == 0)
		wanted = cpus > COFFER_USUAL_THREADS ? cpus : COFFER_USUAL_THREADS;
	return wanted < COFFER_MAX_THREADS ? wanted : COFFER_MAX_THREADS;
}

static int open_check(struct check *c, unsigned int threads, struct coffer_err *e)
{
	while (c->n < threads && c->n < MAX_CHECKS) {
		c->buf[c->n] = coffer_dev_buffer(2 * (size_t)PIECE);
		if (!c->buf[c->n])
			return coffer_err_errno(e, ENOMEM, "set up the engine");
		c->free_buf[c->n_free++] = c->buf[c->n++];
	}
	return 0;
}

static int open_all(
	struct coffer_engine *en, const struct coffer_engine_setup *s, struct coffer_err *e)
{
	const unsigned int slots = en->threads == 1 ? 1 : SLOTS;
	int r;

	for (unsigned int i = 0; i < en->threads; i++) {
		r = coffer_xts_new(s->key, s->key_size, s->g->sector_size, &en->xts[i], e);
		if (r < 0)
			return r;
	}
	en->bufs = coffer_dev_buffer(slots * (size_t)PIECE);
	if (!en->bufs)
		return coffer_err_errno(e, ENOMEM, "set up the engine");
	for (unsigned int i = 0; i < slots; i++)
		en->slot[i].buf = en->bufs + i * (size_t)PIECE;
	return s->verify ? open_check(&en->check, en->threads, e) : 0;
}

int coffer_engine_open(
	const struct coffer_engine_setup *s, struct coffer_engine **ret, struct coffer_err *e)
{
	_cleanup_engine_ struct coffer_engine *en = calloc(1, sizeof(*en));
	int r;

	if (!en)
		return coffer_err_errno(e, ENOMEM, "set up the engine");
	en->dev = s->dev;
	en->g = s->g;
	en->map = s->map;
	en->stop = s->stop;
	en->threads = number_of_threads(s->threads);
	en->interval = s->max_rate ? 1.0 / (double)s->max_rate : 0;
	r = open_all(en, s, e);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(en);
	return 0;
}

void coffer_engine_close(struct coffer_engine *en)
{
	if (!en)
		return;
	lock(en);
	en->quit = true;
	unlock_and_wake(en);
	coffer_threads_join(en->workers);
	free(en->bufs);
	for (unsigned int i = 0; i < COFFER_MAX_THREADS; i++)
		coffer_xts_free(en->xts[i]);
	for (unsigned int i = 0; i < en->check.n; i++)
		free(en->check.buf[i]);
	free(en);
}
