/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* crypto.c - OpenSSL: digests, PBKDF2, AES-XTS over sectors, random bytes */
#include "base/crypto.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "base/bytes.h"
#include "base/err.h"

struct coffer_digest {
	EVP_MD_CTX *ctx;
};

struct coffer_xts {
	EVP_CIPHER_CTX *enc;
	EVP_CIPHER_CTX *dec;
	uint32_t sector_size;
};

/* The errno of the libcrypto call that just failed, with errno 0 before it. Callers must tell a
 * lack of memory from a wrong checksum. */
static int failure(void)
{
	const int reason = ERR_GET_REASON(ERR_peek_last_error());

	if (errno == ENOMEM || reason == ERR_R_MALLOC_FAILURE)
		return -ENOMEM;
	/* A known name, but no provider for it. */
	return reason == ERR_R_UNSUPPORTED ? -EOPNOTSUPP : -EIO;
}

int coffer_digest_new(const char *name, struct coffer_digest **ret)
{
	_cleanup_digest_ struct coffer_digest *d = calloc(1, sizeof(*d));
	const EVP_MD *md = EVP_get_digestbyname(name);

	if (!md || EVP_MD_get_size(md) <= 0 || EVP_MD_get_size(md) > COFFER_MAX_DIGEST_SIZE)
		return -EOPNOTSUPP;
	if (!d)
		return -ENOMEM;
	errno = 0;
	d->ctx = EVP_MD_CTX_new();
	if (!d->ctx)
		return -ENOMEM;
	if (EVP_DigestInit_ex(d->ctx, md, NULL) != 1)
		return failure();
	*ret = TAKE_PTR(d);
	return 0;
}

int coffer_digest_add(struct coffer_digest *d, const void *p, size_t n)
{
	return EVP_DigestUpdate(d->ctx, p, n) == 1 ? 0 : -EIO;
}

int coffer_digest_end(struct coffer_digest *d, uint8_t *ret, size_t *ret_size)
{
	unsigned int n = 0;
	const int ok = EVP_DigestFinal_ex(d->ctx, ret, &n);

	coffer_digest_free(d);
	if (ok != 1)
		return -EIO;
	if (ret_size)
		*ret_size = n;
	return 0;
}

void coffer_digest_free(struct coffer_digest *d)
{
	if (!d)
		return;
	EVP_MD_CTX_free(d->ctx);
	free(d);
}

size_t coffer_digest_size(const char *name)
{
	const EVP_MD *md = EVP_get_digestbyname(name);
	uint8_t out[EVP_MAX_MD_SIZE];

	if (!md)
		return 0;
	errno = 0;
	/* A known name may have no provider. Without memory to try it the name counts; the caller
	 * that needs the digest fails then. */
	if (EVP_Digest("", 0, out, NULL, md, NULL) != 1 && failure() != -ENOMEM)
		return 0;
	return (size_t)EVP_MD_get_size(md);
}

int coffer_sha256(const void *p, size_t n, uint8_t ret[COFFER_SHA256_SIZE])
{
	errno = 0;
	return EVP_Digest(p, n, ret, NULL, EVP_sha256(), NULL) == 1 ? 0 : failure();
}

static int sum_of(const uint8_t *p, size_t n, size_t at, uint8_t ret[COFFER_SHA256_SIZE])
{
	static const uint8_t zeros[COFFER_SHA256_SIZE];
	_cleanup_digest_ struct coffer_digest *d = NULL;
	const int r = coffer_digest_new("sha256", &d);

	if (r < 0)
		return r == -ENOMEM ? r : -EIO;
	if (coffer_digest_add(d, p, at) < 0 || coffer_digest_add(d, zeros, sizeof(zeros)) < 0 ||
		coffer_digest_add(d, p + at + sizeof(zeros), n - at - sizeof(zeros)) < 0)
		return -EIO;
	return coffer_digest_end(TAKE_PTR(d), ret, NULL);
}

int coffer_sum_put(uint8_t *p, size_t n, size_t at)
{
	uint8_t sum[COFFER_SHA256_SIZE];
	const int r = sum_of(p, n, at, sum);

	if (r == 0)
		memcpy(p + at, sum, sizeof(sum));
	return r;
}

int coffer_sum_check(const uint8_t *p, size_t n, size_t at)
{
	uint8_t sum[COFFER_SHA256_SIZE];
	const int r = sum_of(p, n, at, sum);

	if (r < 0)
		return r;
	return memcmp(sum, p + at, sizeof(sum)) == 0 ? 0 : -EBADMSG;
}

int coffer_pbkdf2(const char *hash, const void *password, size_t password_size, const void *salt,
	size_t salt_size, uint32_t iterations, uint8_t *ret, size_t ret_size)
{
	const EVP_MD *md = EVP_get_digestbyname(hash);

	if (!md)
		return -EOPNOTSUPP;
	if (password_size > INT_MAX || salt_size > INT_MAX || iterations > INT_MAX ||
		ret_size > INT_MAX)
		return -EINVAL;
	if (PKCS5_PBKDF2_HMAC(password, (int)password_size, salt, (int)salt_size, (int)iterations,
		    md, (int)ret_size, ret) != 1)
		return -EIO;
	return 0;
}

bool coffer_equal_secret(const void *a, const void *b, size_t n)
{
	return CRYPTO_memcmp(a, b, n) == 0;
}

int coffer_xts_new(const uint8_t *key, size_t key_size, uint32_t sector_size,
	struct coffer_xts **ret, struct coffer_err *e)
{
	_cleanup_xts_ struct coffer_xts *x = calloc(1, sizeof(*x));
	const EVP_CIPHER *cipher = key_size == 64   ? EVP_aes_256_xts()
				   : key_size == 32 ? EVP_aes_128_xts()
						    : NULL;

	if (!cipher)
		return coffer_err_set(
			e, EINVAL, "AES-XTS takes a key of 256 or 512 bits, not %zu", key_size * 8);
	if (!x)
		return coffer_err_errno(e, ENOMEM, "set up AES-XTS");
	x->sector_size = sector_size;
	x->enc = EVP_CIPHER_CTX_new();
	x->dec = EVP_CIPHER_CTX_new();
	if (!x->enc || !x->dec)
		return coffer_err_errno(e, ENOMEM, "set up AES-XTS");
	if (EVP_EncryptInit_ex(x->enc, cipher, NULL, key, NULL) != 1 ||
		EVP_DecryptInit_ex(x->dec, cipher, NULL, key, NULL) != 1)
		return coffer_err_set(e, EIO, "libcrypto refused the AES-XTS key");
	*ret = TAKE_PTR(x);
	return 0;
}

void coffer_xts_free(struct coffer_xts *x)
{
	if (!x)
		return;
	EVP_CIPHER_CTX_free(x->enc); /* wipes the key schedule */
	EVP_CIPHER_CTX_free(x->dec);
	free(x);
}

static int xts_run(
	EVP_CIPHER_CTX *ctx, uint32_t sector_size, uint64_t offset, uint8_t *buf, size_t n)
{
	uint8_t tweak[16] = {0};
	int done;

	if (offset % sector_size || n % sector_size)
		return -EIO;
	for (size_t at = 0; at < n; at += sector_size) {
		put_le64(tweak, (offset + at) / 512);
		if (EVP_CipherInit_ex(ctx, NULL, NULL, NULL, tweak, -1) != 1 ||
			EVP_CipherUpdate(ctx, buf + at, &done, buf + at, (int)sector_size) != 1 ||
			done != (int)sector_size)
			return -EIO;
	}
	return 0;
}

int coffer_xts_encrypt(struct coffer_xts *x, uint64_t offset, void *buf, size_t n)
{
	return xts_run(x->enc, x->sector_size, offset, buf, n);
}

int coffer_xts_decrypt(struct coffer_xts *x, uint64_t offset, void *buf, size_t n)
{
	return xts_run(x->dec, x->sector_size, offset, buf, n);
}

int coffer_base64_decode(const char *text, uint8_t *buf, size_t size, size_t *ret_size)
{
	const size_t n = text ? strlen(text) : 0;
	size_t padding = 0;
	int r;

	if (n == 0 || n % 4 || n > INT_MAX)
		return -EBADMSG;
	if (n / 4 * 3 > size)
		return -ENOSPC;
	r = EVP_DecodeBlock(buf, (const unsigned char *)text, (int)n);
	if (r < 0 || (size_t)r != n / 4 * 3)
		return -EBADMSG;
	while (padding < 2 && text[n - 1 - padding] == '=')
		padding++;
	if (strcspn(text, "=") != n - padding) /* libcrypto accepts it anywhere, as a zero */
		return -EBADMSG;
	*ret_size = (size_t)r - padding;
	return 0;
}

int coffer_random(void *buf, size_t n)
{
	return RAND_bytes_ex(NULL, buf, n, 0) == 1 ? 0 : -EIO;
}
