/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* coffer/plan.h - what 'coffer encrypt' would do, how long it takes, and what prevents it
 *
 * Only reads the device, and read access is enough. The speed is measured on a scratch file without
 * a name. Sizes are bytes. */
#ifndef COFFER_PLAN_H
#define COFFER_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "coffer/encrypt.h"
#include "coffer/err.h"
#include "coffer/finding.h"
#include "coffer/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* How the time was measured: with small steps of a conversion on a scratch file. */
struct coffer_speed {
	bool measured; /* false: why has the reason, all else is 0 */
	char why[1024];
	char where[4096];     /* folder of the scratch file */
	bool direct;	      /* without the page cache; else the run may take longer */
	bool same_filesystem; /* the image is there too; else it may be another disk */
};

/* One phase of the run, and the worst effect of a power cut in it. */
struct coffer_plan_phase {
	const char *phase; /* "undo", "save", "place", "convert", "finalize" */
	const char *does;
	const char *worst;
	uint64_t bytes; /* that it writes */
};

struct coffer_plan {
	struct coffer_status *status; /* of the disk as it is now */
	bool possible;		      /* every preflight check passed */
	enum coffer_outcome outcome;  /* DONE; otherwise REFUSED or NEEDS_REPAIR */
	struct coffer_findings preflight;
	uint64_t to_move;   /* bytes of data that are read, encrypted and written */
	uint64_t to_write;  /* bytes written in all, at most: data, copies, header commits */
	uint64_t to_commit; /* of these, those of commits: later commits leave out unchanged blocks
			     */
	uint64_t steps;	    /* commits of progress */
	uint64_t flushes;
	bool used_only; /* the run would use a map of the used blocks */
	bool exact; /* false: used bytes, and all figures that depend on them, are an estimate */
	enum coffer_free_space
		free_space;    /* handling of unused blocks; DEFAULT: no block is left out */
	char all_because[256]; /* why everything counts as used, if that was not requested */
	/* The layout; 0 if a preflight check failed. */
	uint64_t device_size, data_offset, data_size;
	uint32_t sector_size;
	char cipher[64];
	struct coffer_speed speed;
	/* As the fastest, the median and the slowest timed step have it; without the key
	 * derivation. 0: unknown. */
	double seconds_low, seconds, seconds_high;
	struct coffer_plan_phase *phases;
	size_t n_phases;
};

struct coffer_plan_options {
	const struct coffer_encrypt_options
		*encrypt;    /* of the run; of the callbacks only stop is used */
	const char *scratch; /* folder of the scratch file; NULL: the image's, or /var/tmp */
	bool no_speed;	     /* measure nothing */
};

/* Plan the encryption of @o->encrypt->device, or the rest of an interrupted one. *ret is for
 * coffer_plan_free. 0 also if a preflight check failed: possible is false then. -errno if the disk
 * cannot be read; outcome USAGE if libcryptsetup rejects the value of an option. */
COFFER_API int coffer_plan(
	const struct coffer_plan_options *o, struct coffer_plan **ret, struct coffer_err *e);
COFFER_API void coffer_plan_free(struct coffer_plan *p); /* NULL is fine */

#ifdef __cplusplus
}
#endif
#endif
