/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* speed.h - small steps of a conversion on a scratch file, timed one by one
 *
 * They go the way that a run goes: the device interface, the engine with its threads, a flush, two
 * header copies with a flush each. The disk itself is never written. */
#pragma once
#include "coffer/plan.h"
#include "io/dev.h"
#include "report/estimate.h"

enum {
	COFFER_MAX_ROUNDS = 9
};

/* What the run would be like. */
struct coffer_speed_question {
	const struct coffer_dev *disk; /* that the scratch file stands for */
	const char *folder;	       /* of the scratch file; NULL: the image's, else /var/tmp */
	uint64_t shift;		       /* S: the largest step */
	uint64_t copy_size;	       /* of a header copy */
	uint32_t sector_size;
	size_t key_size;	      /* bytes */
	unsigned int threads;	      /* 0: the usual */
	bool direct;		      /* the run would bypass the page cache */
	bool (*stop)(void *userdata); /* NULL: never */
	void *userdata;
};

struct coffer_timing {
	size_t n;
	uint64_t bytes; /* of data in each round */
	struct coffer_round rounds[COFFER_MAX_ROUNDS];
};

/* Measure. 0 also when nothing could be measured: @speed->why says what was in the way, and
 * @timing->n is 0 then. -EINTR: stop wanted it. */
int coffer_speed_measure(const struct coffer_speed_question *q, struct coffer_timing *timing,
	struct coffer_speed *speed, struct coffer_err *e);
