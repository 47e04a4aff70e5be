/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* speed.c - small steps of a conversion on a scratch file, timed one by one */
#include "report/speed.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/crypto.h"
#include "base/err.h"
#include "convert/engine.h"
#include "io/clock.h"
#include "io/scratch.h"

enum {
	PIECE = 1 << 20,
	MAX_BYTES = 8 << 20, /* of data in one round */
	MIN_ROUNDS = 3,	     /* fewer tell nothing of the spread */
	USUAL_ROUNDS = 5,
	AREAS = COFFER_MAX_ROUNDS + 2,
	MAX_KEY = 64
};

static const double SLOW_WRITE = 0.06; /* seconds for a round's bytes; above, rounds get smaller */
static const double ENOUGH = 1.6;      /* seconds in all: the usual number of rounds will do */
static const double TOO_LONG = 6;      /* seconds in all: whatever there is must do */

/* The scratch file: header copies first, then areas that each hold one round's bytes. First each
 * round reads one and writes another; then each moves one to the next one further up, and the
 * rounds go downwards, as a conversion's steps do: reading ahead across the commits. */
struct bench {
	const struct coffer_speed_question *q;
	struct coffer_dev *dev;
	struct coffer_geometry g; /* S is the bytes of a round */
	struct coffer_engine *en;
	uint8_t *buf; /* PIECE random bytes */
	uint8_t *copy;
	double started;
};

/* Plain bytes below S lie elsewhere for the engine, so the areas begin at S or above. */
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

static int read_area(struct bench *b, unsigned int i, struct coffer_err *e)
{
	int r = 0;

	for (uint64_t at = 0; at < b->g.shift && r == 0; at += PIECE)
		r = coffer_dev_read(b->dev, b->copy, PIECE, area(b, i) + at, e);
	return r;
}

static int write_area(struct bench *b, unsigned int i, struct coffer_err *e)
{
	int r = 0;

	for (uint64_t at = 0; at < b->g.shift && r == 0; at += PIECE)
		r = coffer_dev_write(b->dev, b->buf, PIECE, area(b, i) + at, e);
	return r < 0 ? r : coffer_dev_flush(b->dev, e);
}

/* What coffer_header_commit does: look at the header, seal two copies, write them one by one. */
static int commit(struct bench *b, struct coffer_err *e)
{
	const uint64_t n = b->q->copy_size;
	uint8_t sum[COFFER_SHA256_SIZE];
	int r;

	r = coffer_dev_read(b->dev, b->copy, COFFER_BLOCK, 0, e);
	for (int i = 0; i < 2 && r == 0; i++)
		r = coffer_sha256(b->copy, n, sum);
	for (uint64_t i = 0; i < 2 && r == 0; i++) {
		r = coffer_dev_write(b->dev, b->copy, n, i * n, e);
		if (r == 0)
			r = coffer_dev_flush(b->dev, e);
	}
	return r;
}

static void forget(struct bench *b, unsigned int i)
{
	coffer_dev_forget(b->dev, area(b, i), b->g.shift);
}

/* Read one area, write another one. */
static int time_transfers(
	struct bench *b, unsigned int i, struct coffer_round *ret, struct coffer_err *e)
{
	double t[3];
	int r;

	/* What is read in a round is not what one before it wrote, so that a drive's own cache has
	 * no part in it. */
	forget(b, i + 1);
	t[0] = coffer_clock();
	r = read_area(b, i + 1, e);
	t[1] = coffer_clock();
	if (r == 0)
		r = write_area(b, AREAS - 1 - i, e);
	t[2] = coffer_clock();
	ret->read = t[1] - t[0];
	ret->write = t[2] - t[1];
	return r;
}

/* The next step, and its commit. */
static int time_step(struct bench *b, struct coffer_round *ret, struct coffer_err *e)
{
	struct coffer_step step;
	double t[3];
	int r;

	t[0] = coffer_clock();
	r = coffer_engine_step(b->en, &step, e);
	if (r == 0)
		r = coffer_dev_flush(b->dev, e);
	t[1] = coffer_clock();
	if (r == 0)
		r = commit(b, e);
	t[2] = coffer_clock();
	ret->move = t[1] - t[0];
	ret->commit = t[2] - t[1];
	return r;
}

/* Rounds of as many bytes as the disk writes in a moment, so that a slow one is asked no more of
 * than a fast one. */
static int choose_bytes(struct bench *b, struct coffer_err *e)
{
	const double began = coffer_clock();
	double fitting;
	int r;

	r = write_area(b, AREAS - 1, e);
	if (r < 0)
		return r;
	fitting = (double)b->g.shift * SLOW_WRITE / (coffer_clock() - began);
	if (fitting < (double)b->g.shift)
		b->g.shift = round_down_u64((uint64_t)fitting, PIECE);
	if (b->g.shift < PIECE)
		b->g.shift = PIECE;
	return 0;
}

static bool stop_wanted(const struct bench *b)
{
	return b->q->stop && b->q->stop(b->q->userdata);
}

/* The first write of a block costs more than the later ones, which are what a disk in use sees. */
static int fill(struct bench *b, struct coffer_err *e)
{
	int r = coffer_dev_write(b->dev, b->copy, b->q->copy_size, 0, e);

	if (r == 0)
		r = coffer_dev_write(b->dev, b->copy, b->q->copy_size, b->q->copy_size, e);
	for (unsigned int i = 0; i < AREAS && r == 0 && !stop_wanted(b); i++)
		r = write_area(b, i, e);
	return r;
}

static bool has_enough(const struct bench *b, size_t n)
{
	const double t = coffer_clock() - b->started;

	return n == COFFER_MAX_ROUNDS || (n >= USUAL_ROUNDS && t > ENOUGH / 2) || t > TOO_LONG / 2;
}

/* As many steps as there were rounds of transfers. One before them is not counted: nothing was read
 * ahead for it. */
static int time_steps(struct bench *b, struct coffer_timing *timing, struct coffer_err *e)
{
	const unsigned int n = (unsigned int)timing->n;
	struct coffer_round first;
	unsigned int done = 0;
	int r;

	for (unsigned int i = 0; i < AREAS; i++)
		forget(b, i);
	coffer_engine_begin(b->en, area(b, AREAS - 1), area(b, AREAS - 2 - n));
	r = time_step(b, &first, e);
	while (r == 0 && done < n && !stop_wanted(b) &&
		(done < MIN_ROUNDS || coffer_clock() - b->started < TOO_LONG)) {
		r = time_step(b, &timing->rounds[done], e);
		done++;
	}
	timing->n = done;
	return r;
}

static int run_rounds(struct bench *b, struct coffer_timing *timing, struct coffer_err *e)
{
	uint8_t key[MAX_KEY];
	const struct coffer_engine_setup setup = {.dev = b->dev,
		.g = &b->g,
		.key = key,
		.key_size = b->q->key_size,
		.threads = b->q->threads};
	int r;

	if (coffer_random(key, sizeof(key)) < 0)
		return coffer_err_set(e, EIO, "libcrypto has no random bytes");
	r = choose_bytes(b, e);
	if (r == 0)
		r = fill(b, e);
	while (r == 0 && !stop_wanted(b) && !has_enough(b, timing->n)) {
		r = time_transfers(b, (unsigned int)timing->n, &timing->rounds[timing->n], e);
		if (r == 0)
			timing->n++;
	}
	timing->bytes = b->g.shift;
	if (r == 0)
		r = coffer_engine_open(&setup, &b->en, e);
	if (r == 0 && !stop_wanted(b))
		r = time_steps(b, timing, e);
	if (r == 0 && timing->n < MIN_ROUNDS && !stop_wanted(b))
		r = coffer_err_set(e, ETIME, "the disk is too slow for a short measurement");
	return r;
}

/* The image's own folder if a file can be made there, or where large temporary files go. A folder
 * that was asked for is the only one. */
static int open_scratch(const struct coffer_speed_question *q, uint64_t bytes,
	struct coffer_dev **ret, struct coffer_speed *speed, struct coffer_err *e)
{
	const uint64_t least = scratch_size(q, PIECE), most = scratch_size(q, bytes);
	char image[PATH_MAX];
	const char *folder = q->folder;
	int r = -ENOENT;

	if (!folder && !q->disk->is_block && coffer_image_folder(q->disk, image) == 0) {
		r = coffer_scratch_open(image, least, most, q->disk, ret, e);
		folder = image;
	}
	if (r < 0) {
		folder = q->folder ? q->folder : coffer_temp_folder();
		r = coffer_scratch_open(folder, least, most, q->disk, ret, e);
	}
	if (r < 0)
		return r;
	(void)snprintf(speed->where, sizeof(speed->where), "%s", folder);
	speed->same_filesystem = coffer_same_filesystem(q->disk, *ret);
	return 0;
}

static int measure(const struct coffer_speed_question *q, struct coffer_timing *timing,
	struct coffer_speed *speed, struct coffer_err *e)
{
	_cleanup_dev_ struct coffer_dev *dev = NULL;
	_cleanup_free_ uint8_t *buf = coffer_dev_buffer(PIECE);
	const size_t copy_size = q->copy_size > PIECE ? q->copy_size : PIECE;
	_cleanup_free_ uint8_t *copy = coffer_dev_buffer(copy_size);
	struct bench b = {.q = q, .buf = buf, .copy = copy, .started = coffer_clock()};
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
	b.g = (struct coffer_geometry){.device = dev->size, .shift = bytes};
	b.g.sector_size = q->sector_size;
	coffer_dev_set_direct(dev, q->direct);
	speed->direct = coffer_dev_is_direct(dev);
	r = run_rounds(&b, timing, e);
	coffer_engine_close(b.en);
	return r;
}

/* Bytes per second. A step is one of the conversion, with @shift bytes. */
static void tell_rates(const struct coffer_timing *t, uint64_t shift, struct coffer_speed *speed)
{
	double rd[COFFER_MAX_ROUNDS], wr[COFFER_MAX_ROUNDS], st[COFFER_MAX_ROUNDS];
	struct coffer_spread range;

	for (size_t i = 0; i < t->n; i++) {
		const struct coffer_round *r = &t->rounds[i];

		rd[i] = (double)t->bytes / r->read;
		wr[i] = (double)t->bytes / r->write;
		st[i] = (double)shift / coffer_estimate_step(r, t->bytes, shift);
	}
	speed->measured = true;
	speed->rounds = (unsigned int)t->n;
	speed->bytes = t->bytes;
	range = coffer_spread_of(rd, t->n);
	speed->read_low = range.low;
	speed->read_median = range.median;
	speed->read_high = range.high;
	range = coffer_spread_of(wr, t->n);
	speed->write_low = range.low;
	speed->write_median = range.median;
	speed->write_high = range.high;
	range = coffer_spread_of(st, t->n);
	speed->step_low = range.low;
	speed->step_median = range.median;
	speed->step_high = range.high;
}

int coffer_speed_measure(const struct coffer_speed_question *q, struct coffer_timing *timing,
	struct coffer_speed *speed, struct coffer_err *e)
{
	struct coffer_err why = {0};
	int r;

	*timing = (struct coffer_timing){0};
	*speed = (struct coffer_speed){0};
	r = measure(q, timing, speed, &why);
	if (q->stop && q->stop(q->userdata)) {
		(void)coffer_err_set(e, EINTR, "stopped as asked");
		coffer_err_outcome(e, COFFER_INTERRUPTED);
		return -EINTR;
	}
	if (r < 0) {
		*timing = (struct coffer_timing){0};
		*speed = (struct coffer_speed){0};
		(void)snprintf(speed->why, sizeof(speed->why), "%s", why.msg);
		return 0;
	}
	tell_rates(timing, q->shift, speed);
	return 0;
}
