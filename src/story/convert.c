/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "story/convert.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/bytes.h"
#include "base/crypto.h"
#include "base/err.h"
#include "os/pool.h"

enum {
	PIECE = 1 << 20,
	MAX_THREADS = 16,
	USUAL_THREADS = 4
};

struct engine {
	struct coffer_session *s;
	const struct coffer_geometry *g;
	unsigned int threads;
	struct coffer_xts *xts[MAX_THREADS];
	uint8_t *buf[MAX_THREADS];
	uint64_t from, to; /* the step under way: plain bytes [from, to) */
};

static void engine_close(struct engine *en)
{
	for (unsigned int i = 0; i < en->threads; i++) {
		coffer_xts_free(en->xts[i]);
		free(en->buf[i]);
	}
}

/* A cipher context and a buffer for each thread: memory does not depend on S or D. */
static int engine_open(struct engine *en, struct coffer_session *s, struct coffer_err *e)
{
	const unsigned int cpus = coffer_processors();
	unsigned int threads = s->o->threads	      ? s->o->threads
			       : cpus > USUAL_THREADS ? USUAL_THREADS
						      : cpus;
	int r;

	/* Two threads even on one processor: one waits for the disk while the other encrypts. */
	if (!s->o->threads && threads < 2)
		threads = 2;
	*en = (struct engine){.s = s, .g = &s->disk.facts.conversion.geometry};
	for (; en->threads < threads && en->threads < MAX_THREADS; en->threads++) {
		r = coffer_xts_new(
			s->key->data, s->key->size, en->g->sector_size, &en->xts[en->threads], e);
		en->buf[en->threads] = coffer_dev_buffer(PIECE);
		if (r == 0 && !en->buf[en->threads])
			r = coffer_err_errno(e, ENOMEM, "set up the engine");
		if (r < 0) {
			en->threads++;
			return r;
		}
	}
	return 0;
}

/* One piece of a step: read where the plain bytes are, encrypt, write where they belong. */
static int move_piece(void *arg, unsigned int thread, size_t i, struct coffer_err *e)
{
	const struct engine *en = arg;
	const uint64_t x = en->from + i * PIECE;
	const size_t n = min_u64(PIECE, en->to - x);
	uint8_t *buf = en->buf[thread];
	int r;

	r = coffer_dev_read(en->s->dev, buf, n, coffer_plain_offset(en->g, x), e);
	if (r < 0)
		return r;
	if (coffer_xts_encrypt(en->xts[thread], x, buf, n) < 0)
		return coffer_err_set(e, EIO, "libcrypto failed to encrypt");
	/* [from+S, to+S) holds no plain byte that is not somewhere else: a step is S bytes at
	 * most, so its ciphertext lies above its own source, over what earlier steps, whose
	 * commits are durable, have moved up by S; the first one lies in the gap. */
	return coffer_dev_write(en->s->dev, buf, n, x + en->g->shift, e);
}

/* Law 3: data durable, then header durable, and only then may the next step write. */
static int do_step(struct engine *en, uint64_t from, struct coffer_err *e)
{
	struct coffer_session *s = en->s;
	struct coffer_conversion *c = &s->disk.facts.conversion;
	int r;

	en->from = from;
	en->to = c->pointer;
	r = coffer_pool_run(
		en->threads, (en->to - en->from + PIECE - 1) / PIECE, move_piece, en, e);
	if (r == 0)
		r = coffer_dev_flush(s->dev, e);
	if (r < 0)
		return r;
	s->result->moved += en->to - en->from;

	c->pointer = from;
	c->hot = false;
	r = coffer_conversion_write(s->disk.header->json, c, e);
	return r < 0 ? r : coffer_header_commit(s->dev, s->disk.header, e);
}

static int run_steps(struct engine *en, struct coffer_err *e)
{
	struct coffer_session *s = en->s;
	const struct coffer_conversion *c = &s->disk.facts.conversion;
	int r;

	while (c->pointer > 0) {
		const uint64_t at = c->pointer;

		r = coffer_session_check_stop(s, e);
		if (r < 0)
			return r;
		r = do_step(en, coffer_next_step(en->g, NULL, at), e);
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
	struct engine en = {0};
	int r;

	r = engine_open(&en, s, e);
	if (r < 0) {
		engine_close(&en);
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
		r = run_steps(&en, e);
	engine_close(&en);
	return r;
}
