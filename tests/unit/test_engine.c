/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test_engine.c - the engine on a device in memory
 *
 * The engine on a device in memory: every map, every number of threads, and each call that fails.
 * Each used block has content of its own, so what is lost, moved wrongly or left over is seen. */
#include "convert/engine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "convert/step.h"
#include "io/clock.h"
#include "lib/crashdev.h"
#include "tap.h"

#define MIB   (UINT64_C(1) << 20)
#define BLOCK UINT64_C(4096)

static uint8_t key[64];

/* A small generator: a failing seed can be repeated. */
static uint64_t state;
static uint64_t rnd(uint64_t below)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (state >> 33) % below;
}

/* Content of plain block @i, other than that of all other blocks. */
static void content(uint64_t i, uint8_t *block)
{
	for (uint64_t k = 0; k < BLOCK; k += 8)
		put_le64(block + k, (i + 1) * 0x9e3779b97f4a7c15u + k);
}

static bool is_content(const uint8_t *p, uint64_t i)
{
	uint8_t block[BLOCK];

	content(i, block);
	return memcmp(p, block, BLOCK) == 0;
}

struct disk {
	struct coffer_geometry g;
	struct coffer_used_map *map; /* NULL: everything */
	struct crashdev *dev;
};

static bool is_used(const struct disk *d, uint64_t x)
{
	return coffer_used_map_bytes(d->map, x, x + BLOCK) > 0;
}

/* The plain bytes as a conversion finds them after the placement: moved segment at D-S. */
static struct disk make_disk(uint64_t seed, bool everything, bool fill)
{
	struct disk d = {.g = {.shift = MIB, .sector_size = seed % 2 ? 512 : 4096}};
	struct coffer_range free_ranges[40];
	uint8_t *mem;
	size_t n;

	state = seed;
	d.g.length = MIB + rnd(9 * 256) * BLOCK;
	d.g.device = d.g.length + 2 * MIB;
	n = rnd(ARRAY_SIZE(free_ranges));
	for (size_t i = 0; i < n; i++) {
		const uint64_t at = rnd(d.g.length / BLOCK) * BLOCK;

		free_ranges[i] =
			(struct coffer_range){at, at + (1 + rnd(rnd(2) ? 8 : 900)) * BLOCK};
	}
	if (!everything && coffer_used_map_new(free_ranges, n, d.g.length, &d.map) < 0)
		abort();
	if (d.map)
		d.map->fill = fill;
	mem = calloc(1, d.g.device);
	if (!mem)
		abort();
	for (uint64_t x = 0; x < d.g.length; x += BLOCK)
		content(x / BLOCK, mem + coffer_plain_offset(&d.g, x));
	d.dev = crashdev_new(mem, d.g.device);
	free(mem);
	return d;
}

static void free_disk(struct disk *d)
{
	coffer_used_map_free(d->map);
	coffer_dev_close(&d->dev->dev);
}

static struct coffer_engine *open_engine(struct disk *d, unsigned int threads, uint64_t from)
{
	const struct coffer_engine_setup setup = {.dev = &d->dev->dev,
		.g = &d->g,
		.map = d->map,
		.from = from,
		.key = key,
		.key_size = sizeof(key),
		.threads = threads,
		.verify = true};
	struct coffer_engine *en = NULL;

	if (coffer_engine_open(&setup, &en, NULL) < 0)
		abort();
	return en;
}

/* Law 2 at pointer @q: no used plain block in [q+S, D-S), of the used ones only unless filled. */
static bool nothing_left(const struct disk *d, uint64_t q)
{
	for (uint64_t y = q + d->g.shift; y < d->g.length; y += BLOCK)
		if ((is_used(d, y) || d->map->fill) && is_content(d->dev->mem + y, y / BLOCK))
			return false;
	return true;
}

/* Below the pointer everything used waits where it was. */
static bool sources_there(const struct disk *d, uint64_t q)
{
	for (uint64_t x = 0; x < q; x += BLOCK)
		if (is_used(d, x) &&
			!is_content(d->dev->mem + coffer_plain_offset(&d->g, x), x / BLOCK))
			return false;
	return true;
}

static bool all_encrypted(const struct disk *d)
{
	struct coffer_xts *xts = NULL;
	uint8_t block[BLOCK];
	bool good = true;

	if (coffer_xts_new(key, sizeof(key), d->g.sector_size, &xts, NULL) < 0)
		abort();
	for (uint64_t x = 0; x < d->g.length && good; x += BLOCK) {
		memcpy(block, d->dev->mem + x + d->g.shift, BLOCK);
		if (coffer_xts_decrypt(xts, x, block, BLOCK) < 0)
			abort();
		if (is_used(d, x))
			good = is_content(block, x / BLOCK);
		else if (d->map->fill)
			good = bytes_are_zero(block, BLOCK);
	}
	coffer_xts_free(xts);
	return good;
}

/* A whole conversion; "" or what was wrong. */
static const char *convert(struct disk *d, unsigned int threads)
{
	struct coffer_engine *en = open_engine(d, threads, d->g.length);
	uint64_t p = d->g.length, moved = 0;
	const char *wrong = "";

	while (!wrong[0] && p > 0) {
		struct coffer_step step;

		if (coffer_engine_step(en, &step, NULL) < 0)
			wrong = "a step fails";
		else if (step.to != p || step.from != coffer_next_step(&d->g, d->map, p))
			wrong = "a step is another one";
		else if (coffer_engine_verify(en, &step, NULL) < 0)
			wrong = "what was written is not there";
		else if (d->map && !nothing_left(d, step.from))
			wrong = "used plaintext is left behind";
		else if (!sources_there(d, step.from))
			wrong = "a source is gone";
		moved += step.bytes[COFFER_JOB_MOVE];
		p = step.from;
	}
	coffer_engine_close(en);
	if (!wrong[0] && moved != coffer_used_map_bytes(d->map, 0, d->g.length))
		wrong = "not all that is used was moved";
	if (!wrong[0] && !all_encrypted(d))
		wrong = "the content is another one";
	return wrong;
}

static void check_conversions(void)
{
	static const struct {
		const char *name;
		unsigned int threads;
		bool everything, fill;
	} rows[] = {
		{"one thread", 1, false, false},
		{"two threads", 2, false, false},
		{"sixteen threads", 16, false, false},
		{"the usual threads, fill", 0, false, true},
		{"one thread, fill", 1, false, true},
		{"the usual threads, everything", 0, true, false},
		{"one thread, everything", 1, true, false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		unsigned int bad = 0;

		for (uint64_t seed = 1; seed <= 25; seed++) {
			struct disk d = make_disk(seed, rows[i].everything, rows[i].fill);
			const char *wrong = convert(&d, rows[i].threads);

			if (wrong[0] && bad++ < 5)
				note("seed %llu: %s", (unsigned long long)seed, wrong);
			free_disk(&d);
		}
		ok(bad == 0, "25 maps: %s", rows[i].name);
	}
}

/* Steps until one fails, and that one's error; 0: none did. */
static int run_to_failure(struct disk *d, unsigned int threads, bool verify, uint64_t *ret_p)
{
	struct coffer_engine *en = open_engine(d, threads, d->g.length);
	struct coffer_step step;
	uint64_t p = d->g.length;
	int r = 0;

	while (r == 0 && p > 0) {
		r = coffer_engine_step(en, &step, NULL);
		if (r == 0 && verify)
			r = coffer_engine_verify(en, &step, NULL);
		if (r == 0)
			p = step.from;
	}
	coffer_engine_close(en);
	*ret_p = p;
	return r;
}

/* Whatever call fails: the error comes out, nothing hangs, and all that was not reported as written
 * is still where it was. */
static void check_failures(void)
{
	static const struct {
		const char *name;
		enum crash_call call;
		unsigned int threads;
	} rows[] = {
		{"read, one thread", CRASH_READ, 1},
		{"read, four threads", CRASH_READ, 4},
		{"write, one thread", CRASH_WRITE, 1},
		{"write, four threads", CRASH_WRITE, 4},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		unsigned int bad = 0, failed = 0;

		for (uint64_t at = 1; at <= 14; at++) {
			struct disk d = make_disk(3, false, false);
			uint64_t p;

			d.dev->fail_call = rows[i].call;
			d.dev->fail_at = at;
			if (run_to_failure(&d, rows[i].threads, false, &p) == -EIO) {
				failed++;
				bad += !sources_there(&d, p);
			} else {
				bad += p > 0;
			}
			free_disk(&d);
		}
		ok(bad == 0 && failed > 3, "a failing %s stops it", rows[i].name);
	}
}

/* A bad sector in the third MiB of the disk. */
#define BAD (2 * MIB + 512)
static int (*good_read)(
	struct coffer_dev *d, void *buf, size_t n, uint64_t off, struct coffer_err *e);
static int bad_read(struct coffer_dev *d, void *buf, size_t n, uint64_t off, struct coffer_err *e)
{
	return BAD - off < n ? -EIO : good_read(d, buf, n, off, e);
}

/* Bug: a bad sector that was read ahead failed the steps above it */
/* What cannot be read is met while reading ahead, but the steps above it are done. */
static void check_bad_sector(void)
{
	/* Bug: the read-ahead that meets the sector ended the verification of the step before. */
	for (unsigned int i = 0; i < 6; i++) {
		const unsigned int threads = 1U << (i / 2 * 2);
		const bool verify = i % 2;
		struct disk d = make_disk(3, true, false);
		struct coffer_dev_ops ops = *d.dev->dev.ops;
		uint64_t p;
		int r;

		good_read = ops.read;
		ops.read = bad_read;
		d.dev->dev.ops = &ops;
		r = run_to_failure(&d, threads, verify, &p);
		ok(r == -EIO && p > BAD && p - BAD <= d.g.shift && sources_there(&d, p),
			"a bad sector stops its own step and no earlier one: %u threads%s, at %llu",
			threads, verify ? ", verify" : "", (unsigned long long)p);
		free_disk(&d);
	}
}

/* Read back on the caller's thread, and by threads that read ahead meanwhile. */
static void check_verify(unsigned int threads)
{
	struct disk d = make_disk(2, true, false);
	struct coffer_engine *en = open_engine(&d, threads, d.g.length);
	struct coffer_jobs jobs;
	struct coffer_job job;
	struct coffer_step step;
	struct coffer_err e = {0};
	uint64_t p = d.g.length;
	int r = 0;

	/* Not the last step: threads read ahead below it. */
	while (r == 0 && p > 2 * d.g.shift) {
		r = coffer_engine_step(en, &step, NULL);
		if (r == 0)
			r = coffer_engine_verify(en, &step, NULL);
		p = step.from;
	}
	ok(r == 0 && p > 0, "verify, %u threads: what was written is there", threads);
	jobs = coffer_jobs_of(&d.g, d.map, step.from, step.to);
	ok(coffer_jobs_next(&jobs, MIB, &job), "verify: the step has a job");
	d.dev->mem[job.x + d.g.shift + job.n - 1] ^= 1;
	ok(coffer_engine_verify(en, &step, &e) == -EIO, "verify: one bit is another one");
	ok(strstr(e.msg, "read-back mismatch at byte") != NULL, "verify: it says so: %s", e.msg);
	d.dev->mem[job.x + d.g.shift + job.n - 1] ^= 1;
	coffer_engine_close(en); /* a failure is final */
	en = open_engine(&d, 1, 0);
	ok(coffer_engine_verify(en, &step, NULL) == 0, "verify: and it is right again");
	coffer_engine_close(en);
	free_disk(&d);
}

static bool never(void *userdata)
{
	(void)userdata;
	return false;
}

static bool always(void *userdata)
{
	(void)userdata;
	return true;
}

static void check_rate(void)
{
	static const struct {
		const char *name;
		unsigned int threads;
		bool (*stop)(void *userdata);
		double least;
	} rows[] = {
		{"one thread is held back", 1, never, 0.4},
		{"a stop lifts the rate, one thread", 1, always, 0},
		{"four threads are held back", 4, never, 0.4},
		{"a stop lifts the rate, four threads", 4, always, 0},
	};
	double held = 0; /* the row before, with as many threads */

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct disk d = make_disk(2, true, false);
		const struct coffer_engine_setup setup = {.dev = &d.dev->dev,
			.g = &d.g,
			.from = d.g.length,
			.key = key,
			.key_size = sizeof(key),
			.threads = rows[i].threads,
			.max_rate = 4 * MIB,
			.stop = {rows[i].stop, NULL}};
		struct coffer_engine *en = NULL;
		struct coffer_step step;
		double began = coffer_clock(), took;
		int r;

		r = coffer_engine_open(&setup, &en, NULL);
		for (unsigned int k = 0; k < 3 && r == 0; k++)
			r = coffer_engine_step(en, &step, NULL);
		took = coffer_clock() - began;
		ok(r == 0 && took >= rows[i].least && (rows[i].least > 0 || took < held),
			"rate: %s (%.2f s)", rows[i].name, took);
		held = took;
		coffer_engine_close(en);
		free_disk(&d);
	}
}

int main(void)
{
	for (size_t i = 0; i < sizeof(key); i++) /* XTS wants two different halves */
		key[i] = (uint8_t)(i * 7 + 1);
	check_conversions();
	check_failures();
	check_bad_sector();
	check_verify(1);
	check_verify(4);
	check_verify(COFFER_MAX_THREADS);
	check_rate();
	return done_testing();
}
