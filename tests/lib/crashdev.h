/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* crashdev.h - a device in memory that records its writes, dies at a chosen call, or fails one
 *
 * A power cut is a call after which every call fails; what the disk holds then is built from the
 * recorded log: everything before the last flush, and of the writes since then whatever subset,
 * whole or torn, the policy says. */
#pragma once
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "crashlayer.h"
#include "io/dev.h"

struct crash_op {
	bool flush;
	uint64_t off;
	size_t n;
	uint8_t *data;
};

enum crash_call {
	CRASH_READ,
	CRASH_WRITE,
	CRASH_FLUSH,
	CRASH_DISCARD,
	N_CRASH_CALLS
};
extern const char *const crash_call_names[N_CRASH_CALLS];

struct crashdev {
	struct coffer_dev dev; /* first: the interface's calls get a pointer to it */
	uint8_t *mem;	       /* what a reader sees, unless there is a cache */
	struct layer *layer;   /* whose memory it is; NULL: the device's own */
	/* NULL, or what a kernel shows after a flush that failed: all that was written, though it
	 * gave up writing it and calls it clean. What is forgotten is read from the disk again. */
	uint8_t *cache;
	bool swallows; /* what is written gets no further than there */
	bool recording;
	struct crash_op *log;
	size_t n_log;
	uint64_t calls[N_CRASH_CALLS];
	uint64_t discarded; /* bytes */
	/* Fail the call number fail_at (from 1) of kind fail_call with -EIO; 0: never. Of a failing
	 * write or discard a part has arrived. A failing flush has made nothing durable: it ends no
	 * epoch of the log. */
	enum crash_call fail_call;
	uint64_t fail_at;
	/* What is under way with the call that fails, or comes after it, returns so many
	 * milliseconds later: by then whoever got the failure has told the others. */
	unsigned int hold;
	bool failing, failed;	       /* that call has begun, has returned */
	uint64_t after[N_CRASH_CALLS]; /* calls that began when it had returned */
	pthread_mutex_t mutex;
};

/* A device with a copy of @content. Close it with coffer_dev_close, or let the verbs do it: then
 * fetch the content and the log before by setting @keep. */
struct crashdev *crashdev_new(const uint8_t *content, uint64_t size);
/* A device that is this layer: what it writes is there, marked, when it is closed. */
struct crashdev *crashdev_over(struct layer *l);

/* Let its reader see @cache, which is copied, until he forgets it. */
void crashdev_cache(struct crashdev *d, const uint8_t *cache);

/* What outlives the device's close: the log and the content belong to the caller after that. */
struct crash_log {
	struct crash_op *ops;
	size_t n;
	uint8_t *mem; /* NULL for a device over a layer */
	uint64_t size;
	uint64_t calls[N_CRASH_CALLS];
	uint64_t after[N_CRASH_CALLS];
	bool failed;
	uint64_t discarded;
};
void crashdev_keep(struct crashdev *d, struct crash_log *into);
void crash_log_free(struct crash_log *l);
size_t crash_log_writes(const struct crash_log *l);

enum crash_policy {
	CRASH_ALL,    /* every write so far reached the disk */
	CRASH_LOST,   /* nothing since the last flush did */
	CRASH_TORN,   /* all, but the last write only up to a sector in its middle */
	CRASH_LAST,   /* only the last write did */
	CRASH_RANDOM, /* each write since the last flush: lost, whole, or random sectors of it */
	N_CRASH_POLICIES,
};
extern const char *const crash_policy_names[N_CRASH_POLICIES];

/* The disk's content after the first @k operations of @log on @base; @ret has the same size. */
void crash_state(const uint8_t *base, uint64_t size, const struct crash_log *log, size_t k,
	enum crash_policy policy, uint64_t seed, uint8_t *ret);
