/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* copy.h - one copy of a LUKS2 header: binary block and JSON area
 *
 * Reading never repairs, as libcryptsetup would. A copy that is intact here counts only if
 * libcryptsetup accepts its metadata, too (luks2/judge.h). Source: LUKS2 on-disk format 1.1,
 * chapter 2. Numbers on disk are big-endian. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/json.h"
#include "coffer/err.h"

#define COFFER_LUKS2_BIN      4096u   /* the binary block; the JSON area follows it */
#define COFFER_LUKS2_MIN_COPY 0x4000u /* smallest and largest size of one copy */
#define COFFER_LUKS2_MAX_COPY 0x400000u

/* The second copy begins where the first one ends, so its possible offsets are the possible sizes
 * of a copy: the powers of two from the smallest to the largest. */
static inline bool coffer_luks2_is_copy_size(uint64_t n)
{
	return n >= COFFER_LUKS2_MIN_COPY && n <= COFFER_LUKS2_MAX_COPY && (n & (n - 1)) == 0;
}

/* The next of them after *size, or the first one after 0. False after the last one. */
static inline bool coffer_luks2_next_copy_size(uint64_t *size)
{
	*size = *size ? *size * 2 : COFFER_LUKS2_MIN_COPY;
	return *size <= COFFER_LUKS2_MAX_COPY;
}

struct coffer_luks2_bin {
	uint64_t copy_size; /* binary block + JSON area; the second copy starts there */
	uint64_t seqid;
	char uuid[41];
	char checksum[33]; /* name of the digest */
};

/* Does @block begin with the LUKS magic of this copy? */
bool coffer_luks2_magic(const uint8_t *block, bool secondary);

/* Read the binary block of the copy that was found at byte @offset of the device.
 * -ENODATA: no magic or not version 2; -EBADMSG: invalid sizes or the wrong place. */
int coffer_luks2_bin_read(
	const uint8_t block[COFFER_LUKS2_BIN], uint64_t offset, struct coffer_luks2_bin *ret);

/* Do two binary blocks have the same label and subsystem? */
bool coffer_luks2_labels_equal(const uint8_t *a, const uint8_t *b);

/* Check the checksum of a copy of @bin->copy_size bytes, and the form of its JSON area: text from
 * its first byte, then NULs to the end. The text is *ret_json, inside @copy.
 * -EBADMSG: not intact; -EOPNOTSUPP: unknown checksum; -ENOMEM, -EIO (libcrypto). */
int coffer_luks2_copy_check(const uint8_t *copy, const struct coffer_luks2_bin *bin,
	const char **ret_json, size_t *ret_json_size);

/* Put @json and @seqid into a copy and seal it with a new checksum; @copy was checked before.
 * Its salt, UUID and label stay. -ENOSPC when the text does not fit. */
int coffer_luks2_copy_seal(uint8_t *copy, uint64_t seqid, const char *json, struct coffer_err *e);

/* Build the other copy from a good one: magic, offset and a @salt of its own, sealed. */
int coffer_luks2_copy_other(const uint8_t *from, uint8_t *to, const uint8_t salt[64]);

#define COFFER_LUKS2_LABEL  48 /* bytes of label and subsystem, or fewer and a NUL */
#define COFFER_LUKS2_REASON 200

struct coffer_luks2_copy {
	uint64_t offset;	     /* of the device */
	bool magic;		     /* a LUKS magic of this copy; the rest may be anything */
	bool luks1;		     /* of the first one: it is version 1, and not examined */
	bool intact;		     /* checksum and form are right, and the text is JSON */
	bool accepted;		     /* and libcryptsetup accepts it: luks2/judge.h */
	bool foreign;		     /* the second one: of another volume than the torn first one */
	struct coffer_luks2_bin bin; /* zeros without a valid binary block */
	char label[COFFER_LUKS2_LABEL + 1], subsystem[COFFER_LUKS2_LABEL + 1];
	const uint8_t *copy; /* borrowed; NULL where the sizes are invalid */
	const char *text;    /* in it, if intact */
	size_t text_size;
	struct json_object *json;	  /* if intact */
	char reason[COFFER_LUKS2_REASON]; /* "torn (...)": why it is not intact, or not accepted */
};
void coffer_luks2_copy_reset(struct coffer_luks2_copy *copy);

/* Examine the first @n @bytes of the copy at @copy->offset: COFFER_LUKS2_BIN at least, and all of
 * it if the device has it. Fills @copy except accepted. -ENOMEM, or -EIO (libcrypto). */
int coffer_luks2_copy_judge(const uint8_t *bytes, size_t n, struct coffer_luks2_copy *copy);

/* Which of the @usable copies libcryptsetup uses: 0, 1, or -1 for none. */
int coffer_luks2_counts(const struct coffer_luks2_copy copies[2], const bool usable[2]);

/* Are both intact and the same, but for what always differs: magic, salt, offset, checksum? */
bool coffer_luks2_copies_agree(const struct coffer_luks2_copy copies[2]);
