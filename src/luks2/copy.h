/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* copy.h - one copy of a LUKS2 header: binary block and JSON area
 *
 * Only what progress commits need and libcryptsetup cannot do: judge a copy without repairing it,
 * and seal a changed one. Everything else about LUKS2 stays in libcryptsetup
 * (luks2/libcryptsetup.h). Source: LUKS2 on-disk format 1.1, chapter 2. Numbers on disk are
 * big-endian. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "coffer/err.h"

#define COFFER_LUKS2_BIN      4096u   /* the binary block; the JSON area follows it */
#define COFFER_LUKS2_MIN_COPY 0x4000u /* smallest and largest size of one copy */
#define COFFER_LUKS2_MAX_COPY 0x400000u

/* The second copy begins where the first one ends, so the places where it can lie are the sizes
 * that a copy can have: the powers of two from the smallest to the largest. */
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

/* Is there a LUKS magic (either copy's) at @block? Says nothing about the rest. */
bool coffer_luks2_magic(const uint8_t *block, bool secondary);

/* Read the binary block of the copy that was found at byte @offset of the device.
 * -ENODATA: no magic or not version 2; -EBADMSG: impossible sizes or the wrong place. */
int coffer_luks2_bin_read(
	const uint8_t block[COFFER_LUKS2_BIN], uint64_t offset, struct coffer_luks2_bin *ret);

/* Label and subsystem of a binary block: COFFER_LUKS2_LABEL bytes, or fewer and a NUL. */
#define COFFER_LUKS2_LABEL 48
const char *coffer_luks2_label(const uint8_t *block);
const char *coffer_luks2_subsystem(const uint8_t *block);

/* Is the checksum of a copy of @bin->copy_size bytes right? -EBADMSG when it is not, -EOPNOTSUPP
 * for an unknown one; -ENOMEM, -EIO (libcrypto): it is not known. */
int coffer_luks2_copy_sum(const uint8_t *copy, const struct coffer_luks2_bin *bin);

/* Judge such a copy as a whole: checksum, and the JSON area's form (text from its first byte, NULs
 * from its end to the end of the area). The text is *ret_json, inside @copy. -EBADMSG when it is
 * not whole, others as above. */
int coffer_luks2_copy_check(const uint8_t *copy, const struct coffer_luks2_bin *bin,
	const char **ret_json, size_t *ret_json_size);

/* Put @json and @seqid into a copy and seal it with a new checksum; @copy was checked before.
 * Its salt, UUID and label stay. -ENOSPC when the text does not fit. */
int coffer_luks2_copy_seal(uint8_t *copy, uint64_t seqid, const char *json, struct coffer_err *e);

/* Build the other copy from a good one: magic, offset and a new @salt of its own, sealed. */
int coffer_luks2_copy_other(const uint8_t *from, uint8_t *to, const uint8_t salt[64]);
