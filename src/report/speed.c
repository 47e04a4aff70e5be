/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* speed.c - small steps of a conversion on a scratch file, timed one by one */
#include "report/speed.h"

#include <errno.h>
#include <stdio.h>

#include "base/bytes.h"
#include "base/crypto.h"
#include "base/err.h"
#include "convert/engine.h"
#include "io/clock.h"
#include "io/scratch.h"

enum {
	PIECE = 1 << 20,
	MAX_BYTES = 8 << 20, /* of one step */
	AREAS = COFFER_TIMED_STEPS + 2,
	MAX_KEY = 64
};

static const double SLOW_WRITE = 0.06; /* seconds for a step's bytes; above, steps get smaller */
static const double TOO_LONG = 3;      /* seconds in all: the steps so far must do */

/* The scratch file has two header copies, then areas of one step each. The steps move each area to
 * the next one, from the last to the first, as those of a conversion do. The first step is not
 * counted: nothing was read ahead for it. */
struct bench {
	const struct coffer_speed_question *q;
	struct coffer_dev *dev;
	struct coffer_geometry g; /* S is the bytes of a step */
	uint8_t *buf, *copy;	  /* PIECE random bytes, a header copy */
};

/* Plain bytes below S are elsewhere for the engine, so the areas begin at S or above. */
static uint64_t areas_begin(const struct coffer_speed_question *q, uint64_t bytes)
{
	return bytes > 2 * q->copy_size ? bytes : round_up_u64(2 * q->copy_size, COFFER_BLOCK);
}

static uint64_t area(const struct bench *b, unsigned int i)
{
	return areas_begin(b->q, b->g.shift) + i * b->g.shift;
}

static uint64_t scratch_size(const struct coffer_speed_question *q, uint64_t bytes)
{
	return areas_begin(q, bytes) + AREAS * bytes;
}

static int write_area(struct bench *b, unsigned int i, struct coffer_err *e)
{
	for (uint64_t at = 0; at < b->g.shift; at += PIECE) {
		const int r = coffer_dev_write(b->dev, b->buf, PIECE, area(b, i) + at, e);

		if (r < 0)
			return r;
	}
	return coffer_dev_flush(b->dev, e);
}

/* What coffer_header_commit does: read the header, checksum and write each copy, with a flush. */
static int commit(struct bench *b, struct coffer_err *e)
{
	const uint64_t n = b->q->copy_size;
	uint8_t sum[COFFER_SHA256_SIZE];
	int r;

	r = coffer_dev_read(b->dev, b->copy, COFFER_BLOCK, 0, e);
	for (uint64_t i = 0; i < 2 && r == 0; i++) {
		r = coffer_sha256(b->copy, n, sum);
		if (r == 0)
			r = coffer_dev_write(b->dev, b->copy, n, i * n, e);
		if (r == 0)
			r = coffer_dev_flush(b->dev, e);
	}
	return r;
}

/* The first write to a block costs more than later ones, which are what a disk in use sees; and
 * a slow disk gets smaller steps. */
static int fill(struct bench *b, struct coffer_err *e)
{
	const double began = coffer_clock();
	uint64_t fitting;
	int r;

	r = write_area(b, AREAS - 1, e);
	if (r < 0)
		return r;
	fitting = (uint64_t)((double)b->g.shift * SLOW_WRITE / (coffer_clock() - began + 1e-9));
	b->g.shift = min_u64(b->g.shift, round_down_u64(fitting, PIECE) + PIECE);
	for (unsigned int i = 0; i < AREAS && r == 0 && !coffer_stop_wanted(&b->q->stop); i++)
		r = write_area(b, i, e);
	return r < 0 ? r : commit(b, e);
}

static int time_step(struct bench *b, struct coffer_engine *en, struct coffer_timed_step *ret,
	struct coffer_err *e)
{
	const double began = coffer_clock();
	struct coffer_step step;
	double moved;
	int r;

	r = coffer_engine_step(en, &step, e);
	if (r == 0)
		r = coffer_dev_flush(b->dev, e);
	moved = coffer_clock();
	if (r == 0)
		r = commit(b, e);
	*ret = (struct coffer_timed_step){
		.bytes = b->g.shift, .move = moved - began, .commit = coffer_clock() - moved};
	return r;
}

static int time_steps(struct bench *b, struct coffer_timing *ret, struct coffer_err *e)
{
	_cleanup_engine_ struct coffer_engine *en = NULL;
	uint8_t key[MAX_KEY];
	struct coffer_engine_setup setup = {.dev = b->dev,
		.g = &b->g,
		.key = key,
		.key_size = b->q->key_size,
		.threads = b->q->threads};
	const double began = coffer_clock();
	struct coffer_timed_step first;
	int r;

	if (coffer_random(key, sizeof(key)) < 0)
		return coffer_err_set(e, EIO, "libcrypto has no random bytes");
	r = fill(b, e);
	if (r < 0)
		return r;
	coffer_dev_forget(b->dev, area(b, 0), AREAS * b->g.shift);
	setup.from = area(b, AREAS - 1);
	setup.to = area(b, 0);
	r = coffer_engine_open(&setup, &en, e);
	if (r < 0)
		return r;
	r = time_step(b, en, &first, e);
	while (r == 0 && ret->n < COFFER_TIMED_STEPS && !coffer_stop_wanted(&b->q->stop) &&
		(ret->n == 0 || coffer_clock() - began < TOO_LONG))
		r = time_step(b, en, &ret->steps[ret->n++], e);
	return r;
}

/* In the folder that was asked for; else beside the image, or where large temporary files go. */
static int open_scratch(const struct coffer_speed_question *q, uint64_t bytes,
	struct coffer_dev **ret, struct coffer_speed *speed, struct coffer_err *e)
{
	const char *folder = q->folder ? q->folder : coffer_temp_folder();
	char image[PATH_MAX];
	int r;

	if (!q->folder && !q->disk->is_block && coffer_image_folder(q->disk, image) == 0)
		folder = image;
	r = coffer_scratch_open(
		folder, scratch_size(q, PIECE), scratch_size(q, bytes), q->disk, ret, e);
	if (r < 0)
		return r;
	(void)snprintf(speed->where, sizeof(speed->where), "%s", folder);
	speed->same_filesystem = coffer_same_filesystem(q->disk, *ret);
	return 0;
}

static int measure(const struct coffer_speed_question *q, struct coffer_timing *ret,
	struct coffer_speed *speed, struct coffer_err *e)
{
	_cleanup_dev_ struct coffer_dev *dev = NULL;
	_cleanup_free_ uint8_t *buf = coffer_dev_buffer(PIECE);
	_cleanup_free_ uint8_t *copy =
		coffer_dev_buffer(q->copy_size ? q->copy_size : COFFER_BLOCK);
	struct bench b = {.q = q, .buf = buf, .copy = copy};
	uint64_t bytes = round_down_u64(min_u64(q->shift, MAX_BYTES), PIECE);
	int r;

	if (!buf || !copy)
		return coffer_err_errno(e, ENOMEM, "measure the speed");
	if (coffer_random(buf, PIECE) < 0)
		return coffer_err_set(e, EIO, "libcrypto has no random bytes");
	r = open_scratch(q, bytes, &dev, speed, e);
	if (r < 0)
		return r;
	while (bytes > PIECE && scratch_size(q, bytes) > dev->size)
		bytes -= PIECE;
	b.dev = dev;
	b.g = (struct coffer_geometry){
		.device = dev->size, .shift = bytes, .sector_size = q->sector_size};
	coffer_dev_set_direct(dev, q->direct);
	speed->direct = coffer_dev_is_direct(dev);
	return time_steps(&b, ret, e);
}

int coffer_speed_measure(const struct coffer_speed_question *q, struct coffer_timing *ret,
	struct coffer_speed *speed, struct coffer_err *e)
{
	struct coffer_err why = {0};
	int r;

	*ret = (struct coffer_timing){0};
	*speed = (struct coffer_speed){.measured = true};
	r = measure(q, ret, speed, &why);
	if (coffer_stop_wanted(&q->stop)) {
		(void)coffer_err_set(e, EINTR, "stopped on request");
		coffer_err_outcome(e, COFFER_INTERRUPTED);
		return -EINTR;
	}
	if (r == 0)
		return 0;
	*ret = (struct coffer_timing){0};
	*speed = (struct coffer_speed){0};
	(void)snprintf(speed->why, sizeof(speed->why), "%s", why.msg);
	return 0;
}
