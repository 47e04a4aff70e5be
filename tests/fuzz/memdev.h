/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* memdev.h - for fuzz targets: a disk in memory, and the input as a list of changes to one
 *
 * Whoever writes to the disk, or reads at a place that the interface forbids, ends the run. */
#pragma once
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "io/dev.h"
#include "luks2/judge.h"
#include "luks2/libcryptsetup.h"

struct memdev {
	struct coffer_dev dev; /* first: the interface's calls get a pointer to it */
	const uint8_t *mem;
	uint64_t n; /* bytes there; zeros follow up to dev.size */
};

static int memdev_read(
	struct coffer_dev *d, void *buf, size_t n, uint64_t off, struct coffer_err *e)
{
	const struct memdev *m = (const struct memdev *)d;
	const uint64_t there = off < m->n ? min_u64(n, m->n - off) : 0;

	if (off % 512 || n % 512)
		abort();
	if (off > d->size || n > d->size - off)
		return coffer_err_set(e, EIO, "read beyond the end");
	memcpy(buf, m->mem + (there ? off : 0), there);
	memset((uint8_t *)buf + there, 0, n - there);
	return 0;
}

static int memdev_write(
	struct coffer_dev *d, const void *buf, size_t n, uint64_t off, struct coffer_err *e)
{
	(void)d, (void)buf, (void)n, (void)off, (void)e;
	abort();
}

static int memdev_flush(struct coffer_dev *d, struct coffer_err *e)
{
	(void)d, (void)e;
	return 0;
}

static void memdev_set_direct(struct coffer_dev *d, bool direct)
{
	(void)d, (void)direct;
}

static void memdev_forget(struct coffer_dev *d, uint64_t off, uint64_t n)
{
	(void)d, (void)off, (void)n;
}

static void memdev_close(struct coffer_dev *d)
{
	(void)d; /* it is on somebody's stack */
}

static const struct coffer_dev_ops memdev_ops = {.read = memdev_read,
	.write = memdev_write,
	.flush = memdev_flush,
	.set_direct = memdev_set_direct,
	.forget = memdev_forget,
	.close = memdev_close};

static inline struct memdev memdev_over(const uint8_t *mem, uint64_t n, uint64_t size)
{
	static char name[] = "fuzzed disk";
	static struct coffer_judge *judge;

	if (!judge)
		judge = coffer_judge_new(coffer_cryptsetup_judge); /* in this process */

	return (struct memdev){.dev = {.ops = &memdev_ops,
				       .name = name,
				       .size = size,
				       .read_only = true,
				       .logical_block = 512,
				       .fd = -1,
				       .judge = judge},
		.mem = mem,
		.n = n};
}

/* --- the input, byte by byte; beyond its end are zeros --- */

struct input {
	const uint8_t *p;
	size_t n;
};

static inline const uint8_t *input_take(struct input *in, size_t n, size_t *ret_n)
{
	const uint8_t *p = in->p;

	*ret_n = n < in->n ? n : in->n;
	in->p += *ret_n;
	in->n -= *ret_n;
	return p;
}

/* Little-endian, of so many bytes. */
static inline uint64_t input_number(struct input *in, size_t bytes)
{
	size_t n;
	const uint8_t *p = input_take(in, bytes, &n);
	uint64_t v = 0;

	while (n > 0)
		v = v << 8 | p[--n];
	return v;
}

/* --- changes that can be taken back --- */

enum {
	MAX_UNDO = 4096
};

struct undo {
	uint8_t *mem;
	uint64_t size;
	struct {
		uint32_t at;
		uint8_t was;
	} bytes[MAX_UNDO];
	size_t n;
};

/* What does not fit, on the disk or in the list, is left out. */
static inline void undo_put(struct undo *u, uint64_t at, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n && at + i < u->size && u->n < MAX_UNDO; i++) {
		if (u->mem[at + i] == p[i])
			continue;
		u->bytes[u->n].at = (uint32_t)(at + i);
		u->bytes[u->n++].was = u->mem[at + i];
		u->mem[at + i] = p[i];
	}
}

static inline void undo_all(struct undo *u)
{
	while (u->n > 0) {
		u->n--;
		u->mem[u->bytes[u->n].at] = u->bytes[u->n].was;
	}
}
