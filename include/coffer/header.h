/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* coffer/header.h - check a LUKS2 header without writing
 *
 * cryptsetup repairs a header when it loads it, so it cannot report what was wrong. Read access is
 * enough. The device may be in use, and may be an image file, or a file with only a header, as made
 * by 'cryptsetup luksHeaderBackup'. Sizes and offsets are in bytes. */
#ifndef COFFER_HEADER_H
#define COFFER_HEADER_H

#include <stdbool.h>
#include <stdint.h>

#include "coffer/err.h"
#include "coffer/finding.h"

#ifdef __cplusplus
extern "C" {
#endif

struct coffer_header_check_options {
	const char *device; /* block device, image file or header file; required */
};

/* One of the two copies. */
struct coffer_header_copy {
	uint64_t offset; /* where it is, or was expected */
	bool found;	 /* it has a LUKS magic */
	bool intact;	 /* checksum and format are right */
	bool usable;	 /* intact, and libcryptsetup accepts the metadata */
	/* The rest is 0 or "" if the sizes in the copy are impossible. */
	uint64_t size;	   /* with the JSON area */
	uint64_t sequence; /* sequence number: the higher one counts */
	char checksum[33]; /* its algorithm, "sha256" */
	char uuid[41];
	char label[49];
	char subsystem[49];
	uint64_t text_size; /* of the metadata; 0: the copy is not intact */
};

struct coffer_header_report {
	char *device;  /* as the caller named it */
	uint64_t size; /* of the device or file */
	bool is_block;
	bool only_header; /* a file without data */
	bool locked;	  /* read under cryptsetup's lock; false: this user has no access to it */
	struct coffer_header_copy copies[2]; /* the first and the second one */
	int counts; /* index of the copy that libcryptsetup uses; -1: neither is usable */
	struct coffer_findings checks;
};

/* Check the header of @o->device: each copy, one against the other, the metadata, and what else
 * affects its use. *ret is set on success and with outcome NO or NEEDS_REPAIR; free it with
 * coffer_header_report_free.
 * Returns 0 if no finding is BAD, or a negative errno. Outcome NO with -EBADMSG: a finding is BAD;
 * NO with -ENOTSUP: no LUKS2 header found; NEEDS_REPAIR with -EUCLEAN: neither copy is usable;
 * REFUSED with -ENOTBLK: neither a block device nor a regular file; FAILED: it cannot be read. */
COFFER_API int coffer_header_check(const struct coffer_header_check_options *o,
	struct coffer_header_report **ret, struct coffer_err *e);
COFFER_API void coffer_header_report_free(struct coffer_header_report *r); /* NULL is fine */

#ifdef __cplusplus
}
#endif
#endif
