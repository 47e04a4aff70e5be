/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* copy.c - one copy of a LUKS2 header: binary block and JSON area */
#include "luks2/copy.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/bytes.h"
#include "base/crypto.h"
#include "base/err.h"

/* Offsets within the binary block. */
enum {
	AT_MAGIC = 0,
	AT_VERSION = 6,
	AT_COPY_SIZE = 8,
	AT_SEQID = 16,
	AT_LABEL = 24,
	AT_CHECKSUM_ALG = 72,
	AT_SALT = 104,
	AT_UUID = 168,
	AT_SUBSYSTEM = 208,
	AT_COPY_OFFSET = 256,
	AT_CHECKSUM = 448,
	CHECKSUM_SIZE = 64,
	SALT_SIZE = 64,
};

static const uint8_t magic_primary[6] = {'L', 'U', 'K', 'S', 0xba, 0xbe};
static const uint8_t magic_secondary[6] = {'S', 'K', 'U', 'L', 0xba, 0xbe};

bool coffer_luks2_magic(const uint8_t *block, bool secondary)
{
	return memcmp(block, secondary ? magic_secondary : magic_primary, 6) == 0;
}

/* A NUL-terminated text of at most @n bytes with its NUL; false when the NUL is missing. */
static bool get_text(const uint8_t *p, size_t n, char *ret)
{
	if (!memchr(p, 0, n))
		return false;
	memcpy(ret, p, n);
	return true;
}

int coffer_luks2_bin_read(
	const uint8_t block[COFFER_LUKS2_BIN], uint64_t offset, struct coffer_luks2_bin *ret)
{
	struct coffer_luks2_bin bin = {0};

	if (!coffer_luks2_magic(block, offset != 0) || get_be16(block + AT_VERSION) != 2)
		return -ENODATA;
	bin.copy_size = get_be64(block + AT_COPY_SIZE);
	bin.seqid = get_be64(block + AT_SEQID);
	if (bin.copy_size < COFFER_LUKS2_MIN_COPY || bin.copy_size > COFFER_LUKS2_MAX_COPY ||
		(bin.copy_size & (bin.copy_size - 1)) != 0)
		return -EBADMSG;
	if (get_be64(block + AT_COPY_OFFSET) != offset || (offset != 0 && offset != bin.copy_size))
		return -EBADMSG;
	if (!get_text(block + AT_UUID, 40, bin.uuid) ||
		!get_text(block + AT_CHECKSUM_ALG, 32, bin.checksum))
		return -EBADMSG;
	*ret = bin;
	return 0;
}

const char *coffer_luks2_label(const uint8_t *block)
{
	return (const char *)block + AT_LABEL;
}

const char *coffer_luks2_subsystem(const uint8_t *block)
{
	return (const char *)block + AT_SUBSYSTEM;
}

/* The checksum covers the copy with its checksum field as zeros. */
static int checksum(const uint8_t *copy, uint64_t copy_size, const char *alg,
	uint8_t ret[CHECKSUM_SIZE], size_t *ret_size)
{
	static const uint8_t zeros[CHECKSUM_SIZE];
	const size_t behind = AT_CHECKSUM + CHECKSUM_SIZE;
	_cleanup_digest_ struct coffer_digest *d = NULL;
	int r;

	memset(ret, 0, CHECKSUM_SIZE);
	r = coffer_digest_new(alg, &d);
	if (r < 0)
		return r;
	r = coffer_digest_add(d, copy, AT_CHECKSUM);
	if (r == 0)
		r = coffer_digest_add(d, zeros, CHECKSUM_SIZE);
	if (r == 0)
		r = coffer_digest_add(d, copy + behind, copy_size - behind);
	if (r < 0)
		return r;
	return coffer_digest_end(TAKE_PTR(d), ret, ret_size);
}

int coffer_luks2_copy_sum(const uint8_t *copy, const struct coffer_luks2_bin *bin)
{
	uint8_t sum[CHECKSUM_SIZE];
	size_t sum_size = 0;
	const int r = checksum(copy, bin->copy_size, bin->checksum, sum, &sum_size);

	if (r < 0)
		return r;
	return memcmp(copy + AT_CHECKSUM, sum, sum_size) == 0 ? 0 : -EBADMSG;
}

int coffer_luks2_copy_check(const uint8_t *copy, const struct coffer_luks2_bin *bin,
	const char **ret_json, size_t *ret_json_size)
{
	const char *json = (const char *)copy + COFFER_LUKS2_BIN;
	const size_t area = bin->copy_size - COFFER_LUKS2_BIN;
	const int r = coffer_luks2_copy_sum(copy, bin);
	size_t n;

	if (r < 0)
		return r;
	n = strnlen(json, area);
	if (n == 0 || n == area || json[0] != '{' || !bytes_are_zero(json + n, area - n))
		return -EBADMSG;
	*ret_json = json;
	*ret_json_size = n;
	return 0;
}

static int seal(uint8_t *copy, uint64_t copy_size)
{
	char alg[32];
	uint8_t sum[CHECKSUM_SIZE];
	int r;

	if (!get_text(copy + AT_CHECKSUM_ALG, sizeof(alg), alg))
		return -EBADMSG;
	r = checksum(copy, copy_size, alg, sum, NULL);
	if (r < 0)
		return r;
	memcpy(copy + AT_CHECKSUM, sum, CHECKSUM_SIZE);
	return 0;
}

int coffer_luks2_copy_seal(uint8_t *copy, uint64_t seqid, const char *json, struct coffer_err *e)
{
	const uint64_t copy_size = get_be64(copy + AT_COPY_SIZE);
	const size_t area = copy_size - COFFER_LUKS2_BIN;
	const size_t n = strlen(json);
	int r;

	if (n >= area)
		return coffer_err_set(e, ENOSPC,
			"the LUKS2 metadata of %zu bytes does not fit its area of %zu", n, area);
	put_be64(copy + AT_SEQID, seqid);
	memcpy(copy + COFFER_LUKS2_BIN, json, n); /* NOLINT: the memset ends it */
	memset(copy + COFFER_LUKS2_BIN + n, 0, area - n);
	r = seal(copy, copy_size);
	if (r < 0)
		return coffer_err_errno(e, -r, "checksum of the LUKS2 header");
	return 0;
}

int coffer_luks2_copy_other(const uint8_t *from, uint8_t *to, const uint8_t salt[64])
{
	const bool to_secondary = coffer_luks2_magic(from, false);
	const uint64_t copy_size = get_be64(from + AT_COPY_SIZE);

	memcpy(to, from, copy_size);
	memcpy(to + AT_MAGIC, to_secondary ? magic_secondary : magic_primary, 6);
	memcpy(to + AT_SALT, salt, SALT_SIZE);
	put_be64(to + AT_COPY_OFFSET, to_secondary ? copy_size : 0);
	return seal(to, copy_size);
}
