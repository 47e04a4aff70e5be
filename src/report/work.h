/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* work.h - what a run would read, write and flush, counted from the order of its writes
 *
 * docs/crash-safety.md, "Writes and flushes", has that order; tests compare it with real runs. */
#pragma once
#include <stdint.h>

#include "convert/decide.h"
#include "convert/used_map.h"

enum coffer_work_phase {
	COFFER_WORK_UNDO,     /* an abort that is half done is finished */
	COFFER_WORK_SAVE,     /* head copy, image, record */
	COFFER_WORK_PLACE,    /* the header over the head */
	COFFER_WORK_CONVERT,  /* the steps */
	COFFER_WORK_FINALIZE, /* wipe and final header */
	COFFER_N_WORK_PHASES,
};

/* What a stage does; the looks at the disk before and after it are not counted. */
struct coffer_work {
	uint64_t moved;	  /* bytes read, encrypted and written */
	uint64_t read;	  /* bytes read besides */
	uint64_t written; /* bytes written besides, without the header's commits: all else that a
			   * step scrubs or fills, too */
	uint64_t commits; /* of the header: two copies, each with a flush of its own */
	uint64_t flushes; /* all of them */
};

struct coffer_works {
	struct coffer_work stage[COFFER_N_WORK_PHASES];
	uint64_t steps;
	uint64_t looks;		   /* each flushes once, so that it reads what is on the disk */
	uint64_t scrubbed, filled; /* parts of what is written besides, see convert/step.h */
};

struct coffer_work_facts {
	struct coffer_geometry geometry;
	uint64_t pointer; /* where the steps begin: L on a disk that is still plain */
	/* What counts as used; NULL: everything, or as many bytes as the estimate says, where that
	 * is not 0. */
	const struct coffer_used_map *map;
	uint64_t estimate;
	uint64_t prints;     /* bytes that the map's fingerprint is taken of */
	uint64_t map_size;   /* of the stored map, which goes at the end; 0: there is none */
	bool fill;	     /* for the estimate: free space is filled; a map says it itself */
	bool verify;	     /* each step is read back */
	uint64_t copy_size;  /* of one header copy */
	uint64_t image_size; /* of the placement */
	uint32_t n_masked;   /* likewise */
	bool locked; /* the volume's reencryption lock can be had; who has not got it looks twice */
};

/* The work from action @a to the end. For REDO_RESTORE only the restoring is counted, since what
 * comes after depends on what will be there; nothing for the actions that stop the story. The end
 * is counted with all of the head copy wiped, which a resumed run may find not to be safe. */
void coffer_work_count(
	enum coffer_operation a, const struct coffer_work_facts *f, struct coffer_works *ret);

/* Bytes that a stage's commits write, at most: the first one of a run writes both copies whole,
 * later ones leave out what has not changed. */
uint64_t coffer_work_committed(const struct coffer_work *w, uint64_t copy_size);

/* Bytes that a stage writes, its commits too: at most. Without them it is exact. */
uint64_t coffer_work_written(const struct coffer_work *w, uint64_t copy_size);
