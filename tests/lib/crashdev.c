/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* crashdev.c - a device in memory that records, fails and forgets */
#include "crashdev.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "luks2/judge.h"
#include "luks2/libcryptsetup.h"
#include "prng.h"

const char *const crash_policy_names[N_CRASH_POLICIES] = {
	[CRASH_ALL] = "all written",
	[CRASH_LOST] = "unflushed lost",
	[CRASH_TORN] = "last torn",
	[CRASH_LAST] = "only the last written",
	[CRASH_RANDOM] = "random sectors",
};

const char *const crash_call_names[N_CRASH_CALLS] = {
	[CRASH_READ] = "read",
	[CRASH_WRITE] = "write",
	[CRASH_FLUSH] = "flush",
	[CRASH_DISCARD] = "discard",
};

/* Where a closed device leaves what the test wants to see. */
struct kept {
	struct crashdev d;
	struct crash_log *into;
};

static void begin(struct crashdev *d, enum crash_call call)
{
	if (__atomic_load_n(&d->failed, __ATOMIC_ACQUIRE))
		__atomic_add_fetch(&d->after[call], 1, __ATOMIC_RELAXED);
	pthread_mutex_lock(&d->mutex);
}

static bool fails(struct crashdev *d, enum crash_call call)
{
	const bool now = ++d->calls[call] == d->fail_at && d->fail_call == call;

	d->failing = d->failing || now;
	return now;
}

/* As the last of a call: @failed is true of the one that fails. */
static void end(struct crashdev *d, bool failed)
{
	const bool wait = d->failing && !failed && d->hold > 0;

	pthread_mutex_unlock(&d->mutex);
	if (failed)
		__atomic_store_n(&d->failed, true, __ATOMIC_RELEASE);
	if (wait)
		(void)usleep(d->hold * 1000);
}

static int mem_read(struct coffer_dev *dev, void *buf, size_t n, uint64_t off, struct coffer_err *e)
{
	struct crashdev *d = (struct crashdev *)dev;
	bool failed = false;
	int r = 0;

	begin(d, CRASH_READ);
	if (off > dev->size || n > dev->size - off)
		r = coffer_err_set(e, EIO, "test: read beyond the end");
	else if ((failed = fails(d, CRASH_READ)))
		r = coffer_err_set(e, EIO, "test: injected read error");
	else
		memcpy(buf, (d->cache ? d->cache : d->mem) + off, n);
	end(d, failed);
	return r;
}

static void record(struct crashdev *d, bool flush, const void *buf, size_t n, uint64_t off)
{
	struct crash_op *op;

	if (!d->recording)
		return;
	d->log = realloc(d->log, (d->n_log + 1) * sizeof(*d->log));
	if (!d->log)
		abort();
	op = &d->log[d->n_log++];
	*op = (struct crash_op){.flush = flush, .off = off, .n = n};
	if (n > 0) {
		op->data = malloc(n);
		if (!op->data)
			abort();
		memcpy(op->data, buf, n);
	}
}

static void put(struct crashdev *d, const void *buf, size_t n, uint64_t off)
{
	if (n == 0)
		return;
	record(d, false, buf, n, off);
	if (d->layer && !d->swallows)
		layer_write(d->layer, off, buf, n);
	else if (!d->swallows)
		memcpy(d->mem + off, buf, n);
	if (d->cache)
		memcpy(d->cache + off, buf, n);
}

static int mem_write(
	struct coffer_dev *dev, const void *buf, size_t n, uint64_t off, struct coffer_err *e)
{
	struct crashdev *d = (struct crashdev *)dev;
	bool failed = false;
	int r = 0;

	begin(d, CRASH_WRITE);
	if (off > dev->size || n > dev->size - off || off % 512 || n % 512) {
		r = coffer_err_set(e, EIO, "test: write out of bounds or alignment");
	} else if ((failed = fails(d, CRASH_WRITE))) {
		put(d, buf, n / 1024 * 512, off); /* short: the first half arrived */
		r = coffer_err_set(e, EIO, "test: injected write error");
	} else {
		put(d, buf, n, off);
	}
	end(d, failed);
	return r;
}

static int mem_flush(struct coffer_dev *dev, struct coffer_err *e)
{
	struct crashdev *d = (struct crashdev *)dev;
	bool failed;
	int r = 0;

	begin(d, CRASH_FLUSH);
	failed = fails(d, CRASH_FLUSH);
	if (failed)
		r = coffer_err_set(e, EIO, "test: injected flush error");
	else
		record(d, true, NULL, 0, 0);
	end(d, failed);
	return r;
}

static void mem_set_direct(struct coffer_dev *dev, bool direct)
{
	(void)dev;
	(void)direct;
}

static void mem_forget(struct coffer_dev *dev, uint64_t off, uint64_t n)
{
	struct crashdev *d = (struct crashdev *)dev;

	pthread_mutex_lock(&d->mutex);
	if (d->cache && off <= dev->size && n <= dev->size - off)
		memcpy(d->cache + off, d->mem + off, n);
	pthread_mutex_unlock(&d->mutex);
}

/* What a device may give back for what it was told to forget: here neither what was there nor
 * zeros. It is a write like any other, which a cut may lose, or tear. */
static int mem_discard(struct coffer_dev *dev, uint64_t off, uint64_t n, struct coffer_err *e)
{
	struct crashdev *d = (struct crashdev *)dev;
	uint8_t *garbage;
	bool failed;
	int r = 0;

	if (off > dev->size || n > dev->size - off || off % 512 || n % 512)
		return coffer_err_set(e, EIO, "test: discard out of bounds or alignment");
	garbage = malloc(n);
	if (!garbage)
		abort();
	memset(garbage, 0xdb, n);
	begin(d, CRASH_DISCARD);
	failed = fails(d, CRASH_DISCARD);
	if (failed)
		r = coffer_err_set(e, EIO, "test: injected discard error");
	put(d, garbage, failed ? n / 1024 * 512 : n, off);
	d->discarded += failed ? 0 : n;
	end(d, failed);
	free(garbage);
	return r;
}

static void mem_close(struct coffer_dev *dev)
{
	struct kept *k = (struct kept *)dev;
	struct crash_log log = {.ops = k->d.log,
		.n = k->d.n_log,
		.mem = k->d.layer ? NULL : k->d.mem,
		.size = dev->size,
		.failed = k->d.failed,
		.discarded = k->d.discarded};

	memcpy(log.calls, k->d.calls, sizeof(log.calls));
	memcpy(log.after, k->d.after, sizeof(log.after));
	if (k->into)
		*k->into = log;
	else
		crash_log_free(&log);
	pthread_mutex_destroy(&k->d.mutex);
	free(k->d.cache);
	free(dev->name);
	free(k);
}

static const struct coffer_dev_ops mem_ops = {
	.read = mem_read,
	.write = mem_write,
	.flush = mem_flush,
	.set_direct = mem_set_direct,
	.forget = mem_forget,
	.discard = mem_discard,
	.close = mem_close,
};

/* libcryptsetup itself, asked in this process: states by the hundred thousand have few headers. */
static struct coffer_judge *shared_judge(void)
{
	static struct coffer_judge *judge;

	if (!judge)
		judge = coffer_judge_new(coffer_cryptsetup_judge);
	if (!judge)
		abort();
	return judge;
}

static struct crashdev *new_device(uint8_t *mem, uint64_t size, struct layer *l)
{
	struct kept *k = calloc(1, sizeof(*k));

	if (!k || !mem)
		abort();
	k->d.dev.ops = &mem_ops;
	k->d.dev.name = strdup("test-disk");
	k->d.dev.size = size;
	k->d.dev.logical_block = 512;
	k->d.dev.fd = -1;
	k->d.dev.judge = shared_judge();
	k->d.mem = mem;
	k->d.layer = l;
	if (!k->d.dev.name)
		abort();
	pthread_mutex_init(&k->d.mutex, NULL);
	return &k->d;
}

struct crashdev *crashdev_new(const uint8_t *content, uint64_t size)
{
	uint8_t *mem = malloc(size);

	if (!mem)
		abort();
	memcpy(mem, content, size);
	return new_device(mem, size, NULL);
}

struct crashdev *crashdev_over(struct layer *l)
{
	return new_device(l->mem, l->size, l);
}

void crashdev_keep(struct crashdev *d, struct crash_log *into)
{
	((struct kept *)d)->into = into;
}

void crashdev_cache(struct crashdev *d, const uint8_t *cache)
{
	d->cache = malloc(d->dev.size);
	if (!d->cache)
		abort();
	memcpy(d->cache, cache, d->dev.size);
}

void crash_log_free(struct crash_log *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->ops[i].data);
	free(l->ops);
	free(l->mem);
	*l = (struct crash_log){0};
}

size_t crash_log_writes(const struct crash_log *l)
{
	size_t n = 0;

	for (size_t i = 0; i < l->n; i++)
		n += !l->ops[i].flush;
	return n;
}

static void apply_sectors(const struct crash_op *op, uint8_t *mem, uint64_t *rng)
{
	const unsigned int how = (unsigned int)(next_random(rng) % 4);
	/* Some disks tear at 512 bytes, some at 4096. */
	const size_t atom = next_random(rng) % 2 ? 512 : 4096;

	if (how == 0)
		return; /* lost */
	for (size_t at = 0; at < op->n; at += atom) {
		const size_t n = op->n - at < atom ? op->n - at : atom;

		if (how == 1 || next_random(rng) % 2)
			memcpy(mem + op->off + at, op->data + at, n);
	}
}

void crash_state(const uint8_t *base, uint64_t size, const struct crash_log *log, size_t k,
	enum crash_policy policy, uint64_t seed, uint8_t *ret)
{
	uint64_t rng = seed * 1000003 + k;
	size_t durable = 0;

	memcpy(ret, base, size);
	for (size_t i = 0; i < k; i++)
		if (log->ops[i].flush)
			durable = i;
	for (size_t i = 0; i < k; i++) {
		const struct crash_op *op = &log->ops[i];
		const bool last = i == k - 1;

		if (op->flush)
			continue;
		if (i < durable || policy == CRASH_ALL || (policy == CRASH_TORN && !last) ||
			(policy == CRASH_LAST && last))
			memcpy(ret + op->off, op->data, op->n);
		else if (policy == CRASH_TORN)
			memcpy(ret + op->off, op->data, (op->n / 512 + 1) / 2 * 512);
		else if (policy == CRASH_RANDOM)
			apply_sectors(op, ret, &rng);
	}
}
