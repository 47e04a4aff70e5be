/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* traces.h - runs that were recorded, and recoveries of them that are to be cut again */
#pragma once
#include "crashlab.h"

/* A run on some disk, recorded. */
struct trail {
	uint8_t *base; /* the disk before */
	struct crash_log log;
	char from[160]; /* the cuts before this run; "": none */
};

struct traces {
	struct trail *items;
	size_t n;
};
/* Runs on @base, records, and adds that. 0; what @run returned, then nothing is added. */
typedef int (*verb)(const struct row *row, struct coffer_dev *d, struct coffer_err *e);
int trails_record(struct traces *t, const struct row *row, const uint8_t *base, verb run,
	const char *from, struct coffer_err *e);
/* A recorded run that is no single verb: takes @log and a copy of @base over. */
void trails_add(struct traces *t, const struct row *row, const uint8_t *base, struct crash_log *log,
	const char *from);

void trails_free(struct traces *t);

/* The state of @cut in @l, which was begun on @t's base. *@at: the operations of the log that are
 * durable in it, 0 at first; cuts come in the order of their epochs. */
void trail_cut(const struct trail *t, struct lab *l, const struct crash_cut *cut, size_t *at);

/* Cut @t at @count of its flushes, at random within them, and record what @recover does then. What
 * that has nothing to do with, or may not touch any more, is no recovery to be cut. */
void trails_cut_again(
	struct traces *ret, struct lab *l, const struct trail *t, verb recover, size_t count);
