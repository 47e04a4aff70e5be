/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* crypto.h - OpenSSL: digests, PBKDF2, AES-XTS over sectors, random bytes */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "coffer/err.h"

#define COFFER_SHA256_SIZE     32
#define COFFER_MAX_DIGEST_SIZE 64

/* SHA-256 of @n bytes. -ENOMEM, -EIO (libcrypto failed). */
int coffer_sha256(const void *p, size_t n, uint8_t ret[COFFER_SHA256_SIZE]);

/* The SHA-256 of @n bytes that have the sum itself at byte @at: taken with zeros there. Put it in
 * place; or compare: -EBADMSG when it differs. -ENOMEM, -EIO (libcrypto). */
int coffer_sum_put(uint8_t *p, size_t n, size_t at);
int coffer_sum_check(const uint8_t *p, size_t n, size_t at);

/* A running digest, @name as OpenSSL knows it ("sha256", "sha512"; 64 bytes of result at most).
 * coffer_digest_end writes the result and its size and frees the digest.
 * -EOPNOTSUPP for an unknown or longer digest, -ENOMEM, -EIO when libcrypto fails. */
struct coffer_digest;
int coffer_digest_new(const char *name, struct coffer_digest **ret);
int coffer_digest_add(struct coffer_digest *d, const void *p, size_t n);
int coffer_digest_end(struct coffer_digest *d, uint8_t *ret, size_t *ret_size);
void coffer_digest_free(struct coffer_digest *d);
DEFINE_CLEANUP(struct coffer_digest *, digest, coffer_digest_free);
#define _cleanup_digest_ _cleanup_(cleanup_digest)

/* Bytes of digest @name's result; 0: libcrypto does not have it here. */
size_t coffer_digest_size(const char *name);

/* PBKDF2-HMAC-@hash. -EOPNOTSUPP (hash), -EIO. */
int coffer_pbkdf2(const char *hash, const void *password, size_t password_size, const void *salt,
	size_t salt_size, uint32_t iterations, uint8_t *ret, size_t ret_size);

/* Compare in constant time. */
bool coffer_equal_secret(const void *a, const void *b, size_t n);

/* AES-XTS with "plain64" tweaks: the sector's number in units of 512 bytes, with 4096-byte sectors,
 * too (dm-crypt without iv_large_sectors). @key is 32 bytes (AES-128) or 64 (AES-256), borrowed for
 * the call. A context serves one thread at a time. */
struct coffer_xts;
int coffer_xts_new(const uint8_t *key, size_t key_size, uint32_t sector_size,
	struct coffer_xts **ret, struct coffer_err *e);
void coffer_xts_free(struct coffer_xts *x);
DEFINE_CLEANUP(struct coffer_xts *, xts, coffer_xts_free);
#define _cleanup_xts_ _cleanup_(cleanup_xts)

/* In place. @offset is in bytes within the volume; @offset and @n are multiples of the sector size.
 * -EIO. */
int coffer_xts_encrypt(struct coffer_xts *x, uint64_t offset, void *buf, size_t n);
int coffer_xts_decrypt(struct coffer_xts *x, uint64_t offset, void *buf, size_t n);

/* Decode padded base64 from @text, which may be NULL, into @buf. -EBADMSG: invalid; -ENOSPC: @size
 * must be three times the groups of four characters, padding or not. */
int coffer_base64_decode(const char *text, uint8_t *buf, size_t size, size_t *ret_size);

/* Random bytes for keys. -EIO. */
int coffer_random(void *buf, size_t n);
