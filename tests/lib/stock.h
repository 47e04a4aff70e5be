/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* stock.h - headers made by the real libcryptsetup, and what it thinks of others
 *
 * Everything works on memfds; libcryptsetup's locks are switched off only in children. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "convert/geometry.h"

#define STOCK_PASSPHRASE "open sesame"

/* A header of coffer_luks2_build for @g in malloc'd memory of S bytes; NULL: it failed, and a
 * note says why. Cheap PBKDF2, copies of 16 KiB. */
uint8_t *stock_header(const struct coffer_geometry *g, const char *cipher, uint32_t key_size);

enum stock_verdict {
	STOCK_REJECTED, /* crypt_load refuses the header, or had to repair it */
	STOCK_NONE,	/* no reencryption under way */
	STOCK_CLEAN,	/* one that crypt_reencrypt_status calls clean */
	STOCK_CRASHED,	/* one that was cut inside a step */
	STOCK_INVALID,
};
/* Load the header of @n bytes. Where it is whole and tells of an encryption by datashift with a
 * shift of @shift bytes, that is the verdict; with another mode or shift it is STOCK_INVALID. */
enum stock_verdict stock_judge(const uint8_t *header, size_t n, uint64_t shift);

/* The volume key, or 0 bytes when the passphrase opens nothing. */
size_t stock_key(const uint8_t *header, size_t n, uint8_t key[64]);

/* Let it resume the conversion on @disk of @size bytes for @steps steps (0: to the end), in
 * place. False, with a note, when it fails. */
bool stock_resume(uint8_t *disk, uint64_t size, unsigned int steps);
