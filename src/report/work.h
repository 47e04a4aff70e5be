/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* work.h - what a run would read, write and flush, and how long it would take
 *
 * docs/crash-safety.md, "Writes and flushes", has the order of writes; tests compare this with real
 * runs. */
#pragma once
#include <stdint.h>

#include "convert/decide.h"
#include "convert/used_map.h"

enum coffer_work_phase {
	COFFER_WORK_UNDO,
	COFFER_WORK_SAVE,
	COFFER_WORK_PLACE,
	COFFER_WORK_CONVERT,
	COFFER_WORK_FINALIZE,
	COFFER_N_WORK_PHASES,
};

/* The work of one phase, without the examinations before and after it. */
struct coffer_work {
	uint64_t moved;	  /* bytes read, encrypted and written */
	uint64_t read;	  /* bytes read besides */
	uint64_t written; /* bytes written besides: scrubbed and filled too, without the commits */
	uint64_t commits; /* of the header: two copies, with a flush after each */
	uint64_t flushes; /* all of them */
};

struct coffer_works {
	struct coffer_work phases[COFFER_N_WORK_PHASES];
	uint64_t steps;
	uint64_t examinations; /* each has one flush */
};

struct coffer_work_facts {
	struct coffer_geometry geometry;
	uint64_t pointer;		   /* where the steps begin: L on a plain disk */
	const struct coffer_used_map *map; /* NULL: everything is used */
	uint64_t fingerprint;		   /* bytes that the map's fingerprint covers */
	uint64_t map_size;   /* of the stored map, which is overwritten at the end; 0: none */
	bool verify;	     /* each step is read back */
	uint64_t copy_size;  /* of one header copy */
	uint64_t image_size; /* of the placement */
	uint32_t n_masked;   /* likewise */
	bool locked;	     /* without the reencryption lock a run examines the disk twice */
};

/* The work from operation @a to the end; none for operations that end a run. For FINISH_UNDO only
 * the undo is counted, since the rest depends on what the disk holds then. The finalize phase
 * counts the wipe of the whole moved-segment copy, which a resumed run may find unsafe. */
void coffer_work_count(
	enum coffer_operation a, const struct coffer_work_facts *f, struct coffer_works *ret);

/* All bytes that @w writes, at most: later commits of a run leave out what is the same. */
uint64_t coffer_work_written(const struct coffer_work *w, uint64_t copy_size);

/* One step of a conversion on this machine. */
struct coffer_timed_step {
	uint64_t bytes;
	double move;   /* seconds to read, encrypt, write and flush them */
	double commit; /* seconds to write two header copies, with a flush after each */
};

/* Seconds that @w takes where a step takes @t. */
double coffer_work_seconds(const struct coffer_works *w, const struct coffer_timed_step *t);
