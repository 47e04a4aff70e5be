/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* explore.h - record a run, build the disks that a power cut in it can leave, recover each once
 *
 * A scenario says what runs, how a cut of it is recovered, and what must come out. All else is
 * here: the choice of states, that equal ones count once, the processes that share the work. */
#pragma once
#include "crashjudge.h"
#include "traces.h"

/* Add one: a row in the table of test_crash.c. */
struct scenario {
	struct row row;
	/* Turn the content into the disk on which the run begins; NULL: it is that disk. */
	void (*prepare)(const struct row *row, uint8_t *disk);
	verb run; /* what is cut; closes the device */
	/* Instead of run: whatever is no single verb. */
	void (*record)(const struct row *row, const uint8_t *disk, struct traces *ret);
	verb recover; /* with depth above 1: what is run after a cut, and cut again */
	/* Recover the state in @l in every way, and say lab_fail where that is not the content. */
	void (*judge)(struct lab *l);
	/* Change the state before it is looked at; false: it is none for this scenario. */
	bool (*change)(struct lab *l, uint64_t seed);
	unsigned int
		depth;	/* of cuts: 0 and 1 one, 2 a cut in the recovery, 3 one in its recovery */
	uint64_t grown; /* bytes that the device grows by after the cut */
	unsigned int quick; /* states of the quick set, at most */
	unsigned int seeds; /* of it, random ones for each epoch; 0: one */
};

/* Options of the deep set, as the environment gives them. */
struct exploration {
	bool deep;
	unsigned int jobs;
	unsigned int share; /* of the quick set each so many-th state */
	uint64_t first_seed, last_seed;
	double minutes;	  /* 0: until all is done */
	const char *only; /* a word that the names of scenarios must have in them, or NULL */
	const char *keep; /* a folder for the images of lost states, or NULL */
	void (*check)(bool good, const char *what); /* a result */
};
void exploration_read(struct exploration *x);

/* Explore all, print a table, check that nothing is lost. *ret: the sums. */
void explore(const struct exploration *x, const struct scenario *s, size_t n, struct tally *ret);
