/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* coffer/header.h - judge a LUKS2 header, and write nothing
 *
 * Stock tools repair headers when they load them, so they cannot be asked what is wrong with one.
 * This only reads: a device in use as well, an image, or a file with nothing but a header,
 * as 'cryptsetup luksHeaderBackup' makes. Read access is enough. */
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
	const char *device; /* block device, image, or header file */
};

/* One of the two copies. */
struct coffer_header_copy {
	uint64_t offset; /* where it is, or was looked for */
	bool found;	 /* a LUKS2 magic is there */
	bool whole;	 /* its checksum and its form are right */
	bool usable;	 /* and its metadata are such that libcryptsetup goes by them */
	/* of a copy whose sizes are possible ones, else 0 and "" */
	uint64_t size;	   /* bytes, with its JSON area */
	uint64_t sequence; /* number that each change counts up */
	char checksum[33];
	char uuid[41];
	char label[49];
	char subsystem[49];
	uint64_t text_size; /* bytes of metadata; of a whole copy, else 0 */
};

struct coffer_header_report {
	char *device;
	uint64_t size; /* bytes, now */
	bool is_block;
	bool only_header; /* a file that holds no data */
	bool locked;	  /* read under cryptsetup's lock, so both copies are of one moment */
	struct coffer_header_copy copies[2];
	int counts; /* which of them libcryptsetup goes by; -1: none is usable */
	struct coffer_findings checks;
};

/* Judge the header of @o->device: both copies by themselves and against each other, every rule of
 * the metadata, and what else bears on whether it can be read. *ret, for
 * coffer_header_report_free, is also set where the outcome is NO or NEEDS_REPAIR.
 * 0: no check is BAD. Outcome NO with -EBADMSG: one is BAD; NO with -ENOTSUP: there is no LUKS2
 * header; NEEDS_REPAIR with -EUCLEAN: there is one, but no usable copy of it; FAILED: it cannot be
 * read. */
COFFER_API int coffer_header_check(const struct coffer_header_check_options *o,
	struct coffer_header_report **ret, struct coffer_err *e);
COFFER_API void coffer_header_report_free(struct coffer_header_report *r); /* NULL is fine */

#ifdef __cplusplus
}
#endif
#endif
