/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* coffer/plan.h - what 'coffer encrypt' would do, how long it takes, and what prevents it
 *
 * Only reads the device; read access is enough. The speed is measured with a scratch file that has
 * no name. Sizes are in bytes. */
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

/* The measurement of the speed: small steps like those of a conversion, on a scratch file. */
struct coffer_speed {
	bool measured; /* false: why gives the reason, all else is 0 or "" */
	char why[1024];
	char where[4096];     /* directory of the scratch file */
	bool direct;	      /* without the page cache; false: the run may take longer */
	bool same_filesystem; /* as the image file; false: it may be another disk */
};

/* One phase of the run. The strings are static. */
struct coffer_plan_phase {
	const char *phase; /* "undo", "save", "place", "convert", "finalize" */
	const char *does;  /* a sentence */
	const char *worst; /* the worst effect of a power cut in it, a sentence */
	uint64_t bytes;	   /* written in it, at most */
};

struct coffer_plan {
	struct coffer_status *status; /* of the disk as it is now */
	bool possible;		      /* no preflight check is BAD */
	enum coffer_outcome outcome;  /* DONE if possible; otherwise REFUSED or NEEDS_REPAIR */
	struct coffer_findings preflight;
	uint64_t to_move;   /* bytes to read, encrypt and write */
	uint64_t to_write;  /* bytes to write in total, at most */
	uint64_t to_commit; /* of these, bytes of header commits, at most: later commits leave out
			     * unchanged blocks */
	uint64_t steps;	    /* each ends with a commit */
	uint64_t flushes;   /* of the device */
	bool used_only;	    /* the run would follow a map of the used blocks */
	bool exact;	    /* false: used bytes, and what depends on them, are estimates */
	enum coffer_free_space free_space; /* handling of unused blocks; DEFAULT: none is skipped */
	char all_because[256];		   /* why everything counts as used, if not asked for */
	/* The layout; 0 or "" if it is unknown, as after most BAD checks. */
	uint64_t device_size, data_offset, data_size;
	uint32_t sector_size;
	char cipher[64];
	struct coffer_speed speed;
	/* The time of the run by the fastest, the median and the slowest measured step, without the
	 * key derivation; 0: unknown. */
	double seconds_low, seconds, seconds_high;
	struct coffer_plan_phase *phases;
	size_t n_phases;
};

struct coffer_plan_options {
	/* Options of the run, required. Of its callbacks only stop is used. */
	const struct coffer_encrypt_options *encrypt;
	const char *scratch; /* directory of the scratch file; NULL: that of the image file; for a
			      * block device $TMPDIR or /var/tmp */
	bool no_speed;	     /* do not measure the speed */
};

/* Plan the encryption of @o->encrypt->device, or the rest of an interrupted run. *ret is set on
 * success only; free it with coffer_plan_free.
 * Returns 0, even if a preflight check is BAD (then possible is false), or a negative errno.
 * Outcome USAGE: libcryptsetup does not accept a value in @o->encrypt; REFUSED with -ENOTBLK:
 * neither a block device nor a regular file; INTERRUPTED with -EINTR: stop returned true; FAILED:
 * the disk cannot be read. */
COFFER_API int coffer_plan(
	const struct coffer_plan_options *o, struct coffer_plan **ret, struct coffer_err *e);
COFFER_API void coffer_plan_free(struct coffer_plan *p); /* NULL is fine */

#ifdef __cplusplus
}
#endif
#endif
