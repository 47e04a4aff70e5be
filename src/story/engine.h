/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* engine.h - what moves and encrypts the bytes of a step, on several threads
 *
 * It knows nothing of headers, commits and flushes: convert.c puts those around it, and so does the
 * measurement of a machine's speed. */
#pragma once
#include "base/crypto.h"
#include "model/geometry.h"
#include "os/dev.h"

enum {
	COFFER_MAX_THREADS = 16
};

struct coffer_engine {
	struct coffer_dev *dev;
	const struct coffer_geometry *g;
	unsigned int threads;
	struct coffer_xts *xts[COFFER_MAX_THREADS];
	uint8_t *buf[COFFER_MAX_THREADS];
	uint64_t from, to; /* the step under way: plain bytes [from, to) */
};

/* For @dev of layout @g, both borrowed; the key is copied. @threads 0: as many as processors, from
 * 2 to 4. To be closed also after a failure. */
int coffer_engine_open(struct coffer_engine *en, struct coffer_dev *dev,
	const struct coffer_geometry *g, const uint8_t *key, size_t key_size, unsigned int threads,
	struct coffer_err *e);
void coffer_engine_close(struct coffer_engine *en);

/* Read the plain bytes [from, to) where they lie, encrypt them, write them S further up. Not
 * flushed. @to - @from is S at most, see coffer_next_step. */
int coffer_engine_move(struct coffer_engine *en, uint64_t from, uint64_t to, struct coffer_err *e);
