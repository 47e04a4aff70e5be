/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* coffer/header.h - check a LUKS2 header without writing
 *
 * Stock tools repair headers when they load them, so they cannot report what is wrong with one.
 * Read access is enough. The device may be in use, and may be an image, or a file with only a
 * header ('cryptsetup luksHeaderBackup'). */
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
	uint64_t offset; /* where it is, or was expected */
	bool found;	 /* there is a LUKS magic */
	bool whole;	 /* checksum and format are right */
	bool usable;	 /* and libcryptsetup accepts the metadata */
	/* 0 and "" if the sizes in it are impossible */
	uint64_t size;	   /* bytes, with the JSON area */
	uint64_t sequence; /* counts the changes */
	char checksum[33];
	char uuid[41];
	char label[49];
	char subsystem[49];
	uint64_t text_size; /* bytes of metadata; 0: the copy is not whole */
};

struct coffer_header_report {
	char *device;
	uint64_t size; /* bytes, now */
	bool is_block;
	bool only_header; /* a file without data */
	bool locked;	  /* read under cryptsetup's lock, so both copies are of one moment */
	struct coffer_header_copy copies[2];
	int counts; /* the copy that libcryptsetup uses; -1: neither is usable */
	struct coffer_findings checks;
};

/* Check the header of @o->device: each copy, both against each other, the metadata, and what else
 * affects reading it. *ret is for coffer_header_report_free, and is also set with outcome NO or
 * NEEDS_REPAIR.
 * 0: no finding is BAD. NO with -EBADMSG: one is; NO with -ENOTSUP: there is no LUKS2 header;
 * NEEDS_REPAIR with -EUCLEAN: no copy is usable; FAILED: it cannot be read. */
COFFER_API int coffer_header_check(const struct coffer_header_check_options *o,
	struct coffer_header_report **ret, struct coffer_err *e);
COFFER_API void coffer_header_report_free(struct coffer_header_report *r); /* NULL is fine */

#ifdef __cplusplus
}
#endif
#endif
