/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* copy_check.h - one copy of a LUKS2 header, looked at closely; and two held against each other
 *
 * luks2/copy.h tells whether a copy counts; this tells all that is odd about it, and whether
 * libcryptsetup would go by it. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/json.h"
#include "coffer/finding.h"
#include "luks2/copy.h"

#define COFFER_LUKS2_REASON 200

struct coffer_luks2_copy {
	uint64_t offset; /* of the device, where it was looked for */
	bool magic;	 /* a LUKS magic of this copy; the rest may be anything */
	bool luks1;	 /* of the first one: it is of version 1, and not to be judged here */
	bool whole;	 /* checksum and form are right, and the text is JSON */
	bool accepted;	 /* and libcryptsetup takes what it says: luks2/judge.h */
	char reason[COFFER_LUKS2_REASON]; /* why it does not */
	bool foreign; /* the second one is of another volume than the torn first one says */
	struct coffer_luks2_bin bin; /* of a possible binary block, else zeros */
	char label[49], subsystem[49];
	const uint8_t *copy; /* borrowed, where the sizes are possible; else NULL */
	const char *text;    /* within it, of a whole one */
	size_t text_size;
	struct json_object *json; /* of a whole one */
};
void coffer_luks2_copy_reset(struct coffer_luks2_copy *look);

/* Bytes of the copy that begins with @block at byte @offset of a device; 0: its binary block is no
 * possible one. */
uint64_t coffer_luks2_copy_size(const uint8_t block[COFFER_LUKS2_BIN], uint64_t offset);

/* Look at the first @n bytes of the copy at @look->offset: COFFER_LUKS2_BIN at least, and all of it
 * where coffer_luks2_copy_size tells its size and the device has so many. Fills @look but for
 * accepted; what is wrong is added to @l, if that is not NULL, as "header-primary" or
 * "header-secondary", as well as one line when nothing is.
 * -ENOMEM, or -EIO (libcrypto). */
int coffer_luks2_copy_judge(
	const uint8_t *copy, size_t n, struct coffer_luks2_copy *look, struct coffer_findings *l);

/* Which of two copies libcryptsetup goes by, of those that are @usable: 0, 1, or -1 for none. */
int coffer_luks2_counts(const struct coffer_luks2_copy look[2], const bool usable[2]);

/* Do both, where they are whole, say the same? "copies" is added to @l. */
int coffer_luks2_compare(const struct coffer_luks2_copy look[2], struct coffer_findings *l);
