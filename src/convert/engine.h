/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* engine.h - what moves and encrypts the bytes of a conversion, on several threads
 *
 * Its caller puts flush and commit around each step. Reading and encrypting run ahead of the step
 * that may be written, across commits, as far as the buffers reach; nothing of a step is written
 * before it is asked for. */
#pragma once
#include "base/crypto.h"
#include "coffer/encrypt.h"
#include "convert/step.h"
#include "io/child.h"
#include "io/dev.h"

struct coffer_engine_setup {
	struct coffer_dev *dev; /* borrowed, as all that follows but the key */
	const struct coffer_geometry *g;
	const struct coffer_used_map *map; /* NULL: everything is used */
	uint64_t from, to;		   /* the steps go from this pointer down to that one */
	const uint8_t *key;		   /* copied */
	size_t key_size;
	/* As in coffer/encrypt.h. 1: all work is done on the caller's thread, in order. */
	unsigned int threads;
	bool verify;	   /* coffer_engine_verify will be called */
	uint64_t max_rate; /* bytes per second; 0: no limit */
	/* Asked while a step waits for its bytes; once it is wanted, no rate holds the step up. */
	struct coffer_stop stop;
};

struct coffer_engine;

/* Reading begins at once: the device is in the mode that it keeps until coffer_engine_close. */
int coffer_engine_open(
	const struct coffer_engine_setup *s, struct coffer_engine **ret, struct coffer_err *e);
/* Waits for what is under way. NULL is fine. */
void coffer_engine_close(struct coffer_engine *en);
DEFINE_CLEANUP(struct coffer_engine *, engine, coffer_engine_close);
#define _cleanup_engine_ _cleanup_(cleanup_engine)

/* What a step has written. */
struct coffer_step {
	uint64_t from, to; /* plain bytes */
	uint64_t bytes[COFFER_N_JOB_KINDS];
};

/* Write the next step: what it moves, scrubs and fills. Not flushed. */
int coffer_engine_step(struct coffer_engine *en, struct coffer_step *ret, struct coffer_err *e);

/* Read back what step @s has written, after its flush, and compare it with the plain bytes, which
 * are where they were until its commit. -EIO when they differ. */
int coffer_engine_verify(
	struct coffer_engine *en, const struct coffer_step *s, struct coffer_err *e);
