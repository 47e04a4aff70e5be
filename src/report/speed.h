/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* speed.h - small steps of a conversion on a scratch file, timed one by one
 *
 * They go the way of a run: the device interface, the engine with its threads, a flush, two header
 * copies with a flush each. The disk itself is never written. */
#pragma once
#include "coffer/plan.h"
#include "io/child.h"
#include "io/dev.h"
#include "report/work.h"

enum {
	COFFER_TIMED_STEPS = 5
};

/* The run that is to be estimated. */
struct coffer_speed_question {
	const struct coffer_dev *disk;
	const char *folder; /* of the scratch file; NULL: the image's, or for a disk $TMPDIR or
			       /var/tmp */
	uint64_t shift;
	uint64_t copy_size; /* of a header copy */
	uint32_t sector_size;
	size_t key_size;      /* bytes */
	unsigned int threads; /* 0: the default */
	bool direct;	      /* the run bypasses the page cache */
	struct coffer_stop stop;
};

struct coffer_timing {
	size_t n;
	struct coffer_timed_step steps[COFFER_TIMED_STEPS];
};

/* Time steps. 0 also if that is not possible: then @speed->why has the reason, and @ret->n is 0.
 * -EINTR: stopped on request. */
int coffer_speed_measure(const struct coffer_speed_question *q, struct coffer_timing *ret,
	struct coffer_speed *speed, struct coffer_err *e);
