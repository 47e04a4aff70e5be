/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* crashcut.h - the states that a power cut can leave of a recorded run
 *
 * The disk has a volatile cache. What was written before a flush is durable once that has
 * returned. Of the writes of an epoch, from one flush to the next, any may have arrived, in any
 * order, each of them whole or in any of its sectors of 512 bytes; a sector is whole. */
#pragma once
#include "crashdev.h"

enum crash_cut_kind {
	CUT_SET,     /* these writes of the epoch arrived */
	CUT_FRONT,   /* of one write the first bytes */
	CUT_BACK,    /* of one write the last bytes */
	CUT_SECTORS, /* of one write these sectors */
	CUT_RANDOM,  /* of each write none, all, or some units */
};

struct crash_cut {
	enum crash_cut_kind kind;
	uint32_t epoch;	 /* number of the flush, counted from 0, that never returned */
	uint32_t write;	 /* of the epoch, the one that is torn */
	bool earlier;	 /* those before it arrived ... */
	bool later;	 /* ... and those after it */
	uint64_t detail; /* writes or sectors, bit by bit; bytes; the seed */
};

/* Which of the many. */
struct crash_depth {
	unsigned int subsets; /* all subsets of an epoch's writes, up to so many writes */
	bool all_sectors;     /* all subsets of the sectors of a block, else one in and one out */
	bool all_orders;      /* a torn write also with those after it, else never */
	bool systematic;      /* false: the random ones only */
	uint64_t seeds, seed; /* random ones for each epoch, and the seed of the first */
};

/* One epoch of @log; false: there are no more. */
struct crash_epoch {
	size_t first, n; /* log->ops[first] to log->ops[first + n - 1] are its writes */
};
bool crash_epoch(const struct crash_log *log, uint32_t number, struct crash_epoch *ret);

/* The cuts of @log, ordered by epoch; malloc'd. */
struct crash_cut *crash_cuts(const struct crash_log *log, const struct crash_depth *d, size_t *ret);

/* Write to @l, which is what was durable when the epoch began, what has arrived. */
void crash_cut_apply(const struct crash_log *log, const struct crash_cut *c, struct layer *l);

/* For people, and enough to find the state again in a run with the same options. */
void crash_cut_name(const struct crash_log *log, const struct crash_cut *c, char ret[160]);
