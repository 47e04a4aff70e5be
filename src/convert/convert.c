/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* convert.c - move and encrypt the data, step by step, with a commit after each */
#include "convert/operations.h"

#include <inttypes.h>

#include "base/bytes.h"
#include "base/err.h"
#include "convert/engine.h"

/* A slow device takes long for a large piece, and a stop must not wait for it. */
#define DISCARD_PIECE (UINT64_C(1) << 30)

struct run {
	struct coffer_session *s;
	struct coffer_conversion *c; /* the state of the disk, in s->disk */
	struct coffer_engine *en;
	bool discard; /* unused blocks are discarded, and the device can do that */
};

/* Progress counts used bytes. */
static void report_progress(struct run *run)
{
	const struct coffer_used_map *map = coffer_session_map(run->s);
	const uint64_t length = run->c->geometry.length;
	struct coffer_encrypt_result *result = run->s->result;

	result->converted = coffer_used_map_bytes(map, run->c->pointer, length);
	coffer_session_progress(run->s, COFFER_PHASE_CONVERT, result->converted, result->used);
}

static int commit(struct run *run, struct coffer_err *e)
{
	struct coffer_header *h = run->s->disk.header;
	int r;

	run->c->hot = false;
	r = coffer_conversion_write(h->json, run->c, e);
	return r < 0 ? r : coffer_header_commit(run->s->dev, h, e);
}

/* Discard what is free in [@from, @to) of the plain bytes, at its place S bytes above: the step
 * that covers it is committed, so neither ciphertext nor a plain byte that is still needed lies
 * there. What a power cut leaves out is discarded when the run is resumed. */
static void discard(struct run *run, uint64_t from, uint64_t to)
{
	const struct coffer_stop stop = coffer_session_stop(run->s);
	const struct coffer_geometry *g = &run->c->geometry;
	struct coffer_jobs jobs = coffer_jobs_of(g, coffer_session_map(run->s), from, to);
	struct coffer_encrypt_result *result = run->s->result;
	struct coffer_range f;

	while (run->discard && coffer_jobs_next_free(&jobs, &f))
		for (uint64_t at = f.start, n; at < f.end && run->discard; at += n) {
			n = min_u64(DISCARD_PIECE, f.end - at);
			run->discard = !coffer_stop_wanted(&stop) &&
				       coffer_dev_discard(run->s->dev, at + g->shift, n, NULL) == 0;
			/* No failure, but the result must not claim a discard. */
			if (!run->discard)
				result->free_space = COFFER_FREE_KEEP;
			else
				result->discarded += n;
		}
}

/* Law 3: data durable, then header durable, and only then may the next step write. */
static int do_step(struct run *run, struct coffer_err *e)
{
	struct coffer_session *s = run->s;
	struct coffer_step step;
	int r;

	r = coffer_engine_step(run->en, &step, e);
	if (r < 0)
		return r;
	r = coffer_dev_flush(s->dev, e);
	if (r < 0)
		return r;
	if (s->o->verify) {
		r = coffer_engine_verify(run->en, &step, e);
		if (r < 0)
			return r;
	}
	s->result->moved += step.bytes[COFFER_JOB_MOVE];
	s->result->scrubbed += step.bytes[COFFER_JOB_SCRUB];
	s->result->filled += step.bytes[COFFER_JOB_FILL];
	run->c->pointer = step.from;
	r = commit(run, e);
	if (r < 0)
		return r;
	discard(run, step.from, step.to);
	return 0;
}

static int run_steps(struct run *run, struct coffer_err *e)
{
	int r;

	while (run->c->pointer > 0) {
		const uint64_t at = run->c->pointer;

		r = coffer_session_check_stop(run->s, e);
		if (r < 0)
			return r;
		r = do_step(run, e);
		if (r < 0)
			return coffer_err_wrap(e, r, "convert below byte %" PRIu64, at);
		report_progress(run);
	}
	run->s->converted = true;
	return 0;
}

int coffer_convert(struct coffer_session *s, struct coffer_err *e)
{
	struct coffer_conversion *c = &s->disk.facts.conversion;
	const struct coffer_engine_setup setup = {
		.dev = s->dev,
		.g = &c->geometry,
		.map = coffer_session_map(s),
		.from = c->pointer,
		.key = s->own.key->data,
		.key_size = s->own.key->size,
		.threads = s->o->threads,
		.verify = s->o->verify,
		.max_rate = s->o->max_rate,
		.stop = coffer_session_stop(s),
	};
	_cleanup_engine_ struct coffer_engine *en = NULL;
	struct run run = {.s = s, .c = c};
	int r;

	coffer_dev_set_direct(s->dev, coffer_geometry_fits_direct(&c->geometry));
	r = coffer_engine_open(&setup, &en, e);
	if (r < 0)
		return r;
	run.en = en;
	run.discard = setup.map && s->own.stored->free_space == COFFER_FREE_DISCARD;
	report_progress(&run);
	/* The pointer may come from a cache in front of the disk, and one header copy may be torn
	 * or late. So the same state is committed first: both copies say it, durably, before the
	 * first byte is written that an older state would need. */
	s->changed = true;
	r = commit(&run, e);
	if (r < 0)
		return r;
	discard(&run, c->pointer, c->geometry.length);
	return run_steps(&run, e);
}
