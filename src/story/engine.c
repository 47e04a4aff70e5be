/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "story/engine.h"

#include <errno.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/err.h"
#include "os/pool.h"

enum {
	PIECE = 1 << 20,
	USUAL_THREADS = 4
};

void coffer_engine_close(struct coffer_engine *en)
{
	for (unsigned int i = 0; i < en->threads; i++) {
		coffer_xts_free(en->xts[i]);
		free(en->buf[i]);
	}
	*en = (struct coffer_engine){0};
}

/* Two threads even on one processor: one waits for the disk while the other encrypts. */
static unsigned int usual_threads(void)
{
	const unsigned int cpus = coffer_processors();

	return cpus < 2 ? 2 : cpus > USUAL_THREADS ? USUAL_THREADS : cpus;
}

/* A cipher context and a buffer for each thread: memory does not depend on S or D. */
int coffer_engine_open(struct coffer_engine *en, struct coffer_dev *dev,
	const struct coffer_geometry *g, const uint8_t *key, size_t key_size, unsigned int threads,
	struct coffer_err *e)
{
	int r;

	*en = (struct coffer_engine){.dev = dev, .g = g};
	if (threads == 0)
		threads = usual_threads();
	for (; en->threads < threads && en->threads < COFFER_MAX_THREADS; en->threads++) {
		r = coffer_xts_new(key, key_size, g->sector_size, &en->xts[en->threads], e);
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
	const struct coffer_engine *en = arg;
	const uint64_t x = en->from + i * PIECE;
	const size_t n = min_u64(PIECE, en->to - x);
	uint8_t *buf = en->buf[thread];
	int r;

	r = coffer_dev_read(en->dev, buf, n, coffer_plain_offset(en->g, x), e);
	if (r < 0)
		return r;
	if (coffer_xts_encrypt(en->xts[thread], x, buf, n) < 0)
		return coffer_err_set(e, EIO, "libcrypto failed to encrypt");
	/* [from+S, to+S) holds no plain byte that is not somewhere else: a step is S bytes at
	 * most, so its ciphertext lies above its own source, over what earlier steps, whose
	 * commits are durable, have moved up by S; the first one lies in the gap. */
	return coffer_dev_write(en->dev, buf, n, x + en->g->shift, e);
}

int coffer_engine_move(struct coffer_engine *en, uint64_t from, uint64_t to, struct coffer_err *e)
{
	en->from = from;
	en->to = to;
	return coffer_pool_run(en->threads, (to - from + PIECE - 1) / PIECE, move_piece, en, e);
}
