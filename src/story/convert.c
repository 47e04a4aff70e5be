/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "story/convert.h"

#include <inttypes.h>

#include "base/err.h"
#include "story/engine.h"

/* Law 3: data durable, then header durable, and only then may the next step write. */
static int do_step(
	struct coffer_session *s, struct coffer_engine *en, uint64_t from, struct coffer_err *e)
{
	struct coffer_conversion *c = &s->disk.facts.conversion;
	int r;

	r = coffer_engine_move(en, from, c->pointer, e);
	if (r == 0)
		r = coffer_dev_flush(s->dev, e);
	if (r < 0)
		return r;
	s->result->moved += c->pointer - from;

	c->pointer = from;
	c->hot = false;
	r = coffer_conversion_write(s->disk.header->json, c, e);
	return r < 0 ? r : coffer_header_commit(s->dev, s->disk.header, e);
}

static int run_steps(struct coffer_session *s, struct coffer_engine *en, struct coffer_err *e)
{
	const struct coffer_conversion *c = &s->disk.facts.conversion;
	int r;

	while (c->pointer > 0) {
		const uint64_t at = c->pointer;

		r = coffer_session_check_stop(s, e);
		if (r < 0)
			return r;
		r = do_step(s, en, coffer_next_step(en->g, NULL, at), e);
		if (r < 0)
			return coffer_err_wrap(e, r, "convert below byte %" PRIu64, at);
		s->result->converted = en->g->length - c->pointer;
		coffer_session_progress(
			s, COFFER_PHASE_CONVERT, en->g->length - c->pointer, en->g->length);
	}
	s->converted = true;
	return 0;
}

int coffer_convert(struct coffer_session *s, struct coffer_err *e)
{
	struct coffer_conversion *c = &s->disk.facts.conversion;
	const struct coffer_geometry *g = &c->geometry;
	struct coffer_engine en;
	int r;

	r = coffer_engine_open(&en, s->dev, g, s->key->data, s->key->size, s->o->threads, e);
	if (r < 0) {
		coffer_engine_close(&en);
		return r;
	}
	coffer_use_direct(s->dev, g);
	coffer_session_progress(s, COFFER_PHASE_CONVERT, g->length - c->pointer, g->length);
	/* The pointer was read from the disk or from a cache in front of it, and a copy may be torn
	 * or behind. A commit of the same state first: then both copies say it, durably, before
	 * the first byte is written that an older state would need. */
	s->changed = true;
	c->hot = false;
	r = coffer_conversion_write(s->disk.header->json, c, e);
	if (r == 0)
		r = coffer_header_commit(s->dev, s->disk.header, e);
	if (r == 0)
		r = run_steps(s, &en, e);
	coffer_engine_close(&en);
	return r;
}
