/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* step.h - what a step has to do, piece by piece
 *
 * A step [q, p) moves its used bytes, and sees to it that no used plaintext is left in [q+S, D-S)
 * before its commit (law 2). Most of [q+S, p+S) is covered by its own ciphertext. Where a byte y of
 * it held something that was moved before (y >= p, used) and the byte that belongs there now is
 * free (y-S), nothing would cover it: that is scrubbed, with the ciphertext of zeros. */
#pragma once
#include "convert/geometry.h"
#include "convert/used_map.h"

enum coffer_job_kind {
	COFFER_JOB_MOVE,  /* read the plain bytes at x, encrypt them, write them at x + S */
	COFFER_JOB_SCRUB, /* encrypt zeros as the bytes at x, write them at x + S */
	COFFER_JOB_FILL,  /* likewise, for a map with fill */
	COFFER_N_JOB_KINDS
};

struct coffer_job {
	enum coffer_job_kind kind;
	uint64_t x; /* plain byte */
	uint64_t n; /* bytes */
};

/* A walk over the jobs of [from, to), a step of @g under @map (NULL: everything is used). */
struct coffer_jobs {
	const struct coffer_geometry *g;
	const struct coffer_used_map *map;
	uint64_t to;
	uint64_t at;
};

static inline struct coffer_jobs coffer_jobs_of(const struct coffer_geometry *g,
	const struct coffer_used_map *map, uint64_t from, uint64_t to)
{
	return (struct coffer_jobs){g, map, to, from};
}

/* The next job, of @max bytes (a multiple of 4096) at most; false: there is none left. Ascending;
 * one never crosses S, since below it plain bytes lie elsewhere. */
bool coffer_jobs_next(struct coffer_jobs *j, uint64_t max, struct coffer_job *ret);

/* The next free range of plain bytes [x, ...) in [from, to), scrubbed ones among them. Once the
 * step is committed, nothing needs what lies at [x+S, ...): that is where a discard may go. */
bool coffer_jobs_next_free(struct coffer_jobs *j, struct coffer_range *ret);
