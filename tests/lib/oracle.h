/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* oracle.h - judge a disk without coffer's code: libcryptsetup for the key, OpenSSL for the data */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct span {
	uint64_t start, end; /* [start, end) */
};

/* Knows a content, and what it looks like encrypted under the keys that it has met: thousands of
 * states have the same one. @plain is borrowed. */
struct oracle;
struct oracle *oracle_new(const uint8_t *plain, uint64_t n);
void oracle_free(struct oracle *o);

/* Is the finished volume in @disk of @size bytes, whose data begin at @offset, equal to the content
 * in all bytes of @spans, which are multiples of its sectors? A sector is encrypted to what it was
 * encrypted to, and to nothing else. @why gets a sentence when not. */
bool oracle_equals(struct oracle *o, const uint8_t *disk, uint64_t size, const char *passphrase,
	uint64_t offset, const struct span *spans, size_t n_spans, char why[256]);

/* The first @n bytes of the finished volume, a multiple of its sector size, into @ret. */
bool oracle_volume_read(const uint8_t *disk, uint64_t size, const char *passphrase, uint64_t offset,
	uint8_t *ret, uint64_t n, char why[256]);

/* Does stock load a LUKS2 header from the first @n bytes of the disk? On a copy: it may repair it.
 */
bool oracle_loads(const uint8_t *disk, uint64_t n, uint64_t size);

/* And does the passphrase open it? */
bool oracle_unlocks(const uint8_t *disk, uint64_t n, uint64_t size, const char *passphrase);

/* Run stock cryptsetup on the state: repair if asked for, then resume. The result replaces @disk.
 * Returns true when it finished. */
bool oracle_stock_resume(
	uint8_t *disk, uint64_t size, const char *passphrase, bool repair_first, char why[256]);
