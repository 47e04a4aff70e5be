/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* convert.c - move and encrypt the data, step by step, with a commit after each */
#include "convert/convert.h"

#include <inttypes.h>

#include "base/bytes.h"
#include "base/err.h"
#include "convert/engine.h"
#include "convert/step.h"

/* A slow device takes long for a large one, and a wish to stop should not wait for it. */
#define DISCARD_PIECE (UINT64_C(1) << 30)

/* How far the conversion is, in used bytes. */
static void tell_progress(struct coffer_session *s)
{
	const struct coffer_conversion *c = &s->disk.facts.conversion;
	const uint64_t length = c->geometry.length;

	s->result->converted = length - c->pointer;
	coffer_session_progress(s, COFFER_PHASE_CONVERT,
		coffer_used_map_bytes(coffer_session_map(s), c->pointer, length),
		coffer_used_map_bytes(coffer_session_map(s), 0, length));
}

static int commit(struct coffer_session *s, struct coffer_err *e)
{
	int r;

	s->disk.facts.conversion.hot = false;
	r = coffer_conversion_write(s->disk.header->json, &s->disk.facts.conversion, e);
	return r < 0 ? r : coffer_header_commit(s->dev, s->disk.header, e);
}

/* False: no more of it in this run, since the device cannot or somebody wants to stop. Nothing
 * depends on it, so that is no reason to fail, but the result must not claim it. */
static bool discard_piece(struct coffer_session *s, uint64_t off, uint64_t n)
{
	const struct coffer_stop stop = {s->o->callbacks.stop, s->o->callbacks.userdata};

	if (coffer_stop_wanted(&stop) || coffer_dev_discard(s->dev, off, n, NULL) < 0) {
		s->no_discard = true;
		s->result->free_space = COFFER_FREE_KEEP;
		return false;
	}
	s->result->discarded += n;
	return true;
}

/* Give back what is free in [@from, @to) of the plain bytes, at its place behind them, where by now
 * neither ciphertext nor a plain byte that is still needed lies: the step that covers it is
 * committed. What a cut leaves out is made up for when the run goes on. */
static void discard(struct coffer_session *s, uint64_t from, uint64_t to)
{
	const struct coffer_geometry *g = &s->disk.facts.conversion.geometry;
	const struct coffer_used_map *map = coffer_session_map(s);
	struct coffer_jobs jobs = coffer_jobs_of(g, map, from, to);
	struct coffer_range f;

	if (!map || s->stored->free_space != COFFER_FREE_DISCARD || s->no_discard)
		return;
	while (coffer_jobs_next_free(&jobs, &f))
		for (uint64_t at = f.start; at < f.end; at += DISCARD_PIECE)
			if (!discard_piece(s, at + g->shift, min_u64(DISCARD_PIECE, f.end - at)))
				return;
}

/* Law 3: data durable, then header durable, and only then may the next step write. */
static int do_step(struct coffer_session *s, struct coffer_engine *en, struct coffer_err *e)
{
	struct coffer_step step;
	int r;

	r = coffer_engine_step(en, &step, e);
	if (r == 0)
		r = coffer_dev_flush(s->dev, e);
	if (r == 0 && s->o->verify)
		r = coffer_engine_verify(en, &step, e);
	if (r < 0)
		return r;
	s->result->moved += step.moved;
	s->result->scrubbed += step.scrubbed;
	s->result->filled += step.filled;
	s->disk.facts.conversion.pointer = step.from;
	r = commit(s, e);
	if (r == 0)
		discard(s, step.from, step.to);
	return r;
}

static int run_steps(struct coffer_session *s, struct coffer_engine *en, struct coffer_err *e)
{
	const struct coffer_conversion *c = &s->disk.facts.conversion;
	int r;

	r = coffer_engine_begin(en, c->pointer, 0, e);
	while (r == 0 && c->pointer > 0) {
		const uint64_t at = c->pointer;

		r = coffer_session_check_stop(s, e);
		if (r < 0)
			return r;
		r = do_step(s, en, e);
		if (r < 0)
			return coffer_err_wrap(e, r, "convert below byte %" PRIu64, at);
		tell_progress(s);
	}
	s->converted = r == 0;
	return r;
}

int coffer_convert(struct coffer_session *s, struct coffer_err *e)
{
	const struct coffer_conversion *c = &s->disk.facts.conversion;
	const struct coffer_engine_setup setup = {
		.dev = s->dev,
		.g = &c->geometry,
		.map = coffer_session_map(s),
		.key = s->key->data,
		.key_size = s->key->size,
		.threads = s->o->threads,
		.verify = s->o->verify,
		.max_rate = s->o->max_rate,
		.stop = {s->o->callbacks.stop, s->o->callbacks.userdata},
	};
	_cleanup_engine_ struct coffer_engine *en = NULL;
	int r;

	r = coffer_engine_open(&setup, &en, e);
	if (r < 0)
		return r;
	coffer_dev_use_direct(s->dev, &c->geometry);
	tell_progress(s);
	/* The pointer was read from the disk or from a cache in front of it, and a copy may be torn
	 * or behind. A commit of the same state first: then both copies say it, durably, before
	 * the first byte is written that an older state would need. */
	s->changed = true;
	r = commit(s, e);
	if (r < 0)
		return r;
	discard(s, c->pointer, c->geometry.length);
	return run_steps(s, en, e);
}
