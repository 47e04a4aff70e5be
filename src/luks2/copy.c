/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* copy.c - one copy of a LUKS2 header: binary block and JSON area */
#include "luks2/copy.h"

#include <errno.h>
#include <stdio.h>
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
	CHECKSUM_ALG_SIZE = 32,
	CHECKSUM_SIZE = 64,
	SALT_SIZE = 64,
	UUID_SIZE = 40,
};

static const uint8_t magic_primary[6] = {'L', 'U', 'K', 'S', 0xba, 0xbe};
static const uint8_t magic_secondary[6] = {'S', 'K', 'U', 'L', 0xba, 0xbe};

bool coffer_luks2_magic(const uint8_t *block, bool secondary)
{
	return memcmp(block, secondary ? magic_secondary : magic_primary, 6) == 0;
}

static bool is_terminated(const uint8_t *text, size_t n)
{
	return memchr(text, 0, n) != NULL;
}

/* What is wrong with a binary block that has a magic; NULL: nothing. */
static const char *find_error(const uint8_t *block, uint64_t offset)
{
	const uint64_t size = get_be64(block + AT_COPY_SIZE);

	if (get_be16(block + AT_VERSION) != 2)
		return "unknown version";
	if (!coffer_luks2_is_copy_size(size) || (offset != 0 && size != offset))
		return "invalid size";
	if (get_be64(block + AT_COPY_OFFSET) != offset)
		return "wrong offset";
	if (!is_terminated(block + AT_UUID, UUID_SIZE))
		return "unterminated UUID";
	if (!is_terminated(block + AT_CHECKSUM_ALG, CHECKSUM_ALG_SIZE))
		return "unterminated checksum name";
	return NULL;
}

int coffer_luks2_bin_read(
	const uint8_t block[COFFER_LUKS2_BIN], uint64_t offset, struct coffer_luks2_bin *ret)
{
	if (!coffer_luks2_magic(block, offset != 0) || get_be16(block + AT_VERSION) != 2)
		return -ENODATA;
	if (find_error(block, offset))
		return -EBADMSG;
	*ret = (struct coffer_luks2_bin){
		.copy_size = get_be64(block + AT_COPY_SIZE), .seqid = get_be64(block + AT_SEQID)};
	memcpy(ret->uuid, block + AT_UUID, UUID_SIZE);
	memcpy(ret->checksum, block + AT_CHECKSUM_ALG, CHECKSUM_ALG_SIZE);
	return 0;
}

bool coffer_luks2_labels_equal(const uint8_t *a, const uint8_t *b)
{
	return memcmp(a + AT_LABEL, b + AT_LABEL, COFFER_LUKS2_LABEL) == 0 &&
	       memcmp(a + AT_SUBSYSTEM, b + AT_SUBSYSTEM, COFFER_LUKS2_LABEL) == 0;
}

/* The checksum covers the copy with its checksum field as zeros. */
static int checksum(const uint8_t *copy, uint64_t copy_size, const char *alg,
	uint8_t ret[CHECKSUM_SIZE], size_t *ret_size)
{
	static const uint8_t zeros[CHECKSUM_SIZE];
	const size_t after = AT_CHECKSUM + CHECKSUM_SIZE;
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
		r = coffer_digest_add(d, copy + after, copy_size - after);
	if (r < 0)
		return r;
	return coffer_digest_end(TAKE_PTR(d), ret, ret_size);
}

static int check_sum(const uint8_t *copy, const struct coffer_luks2_bin *bin)
{
	uint8_t sum[CHECKSUM_SIZE];
	size_t sum_size = 0;
	const int r = checksum(copy, bin->copy_size, bin->checksum, sum, &sum_size);

	if (r < 0)
		return r;
	return memcmp(copy + AT_CHECKSUM, sum, sum_size) == 0 ? 0 : -EBADMSG;
}

static int find_text(const uint8_t *copy, const struct coffer_luks2_bin *bin, const char **ret_json,
	size_t *ret_json_size)
{
	const char *json = (const char *)copy + COFFER_LUKS2_BIN;
	const size_t area = bin->copy_size - COFFER_LUKS2_BIN, n = strnlen(json, area);

	if (n == 0 || n == area || json[0] != '{' || !bytes_are_zero(json + n, area - n))
		return -EBADMSG;
	*ret_json = json;
	*ret_json_size = n;
	return 0;
}

int coffer_luks2_copy_check(const uint8_t *copy, const struct coffer_luks2_bin *bin,
	const char **ret_json, size_t *ret_json_size)
{
	const int r = check_sum(copy, bin);

	return r < 0 ? r : find_text(copy, bin, ret_json, ret_json_size);
}

static int seal(uint8_t *copy, uint64_t copy_size)
{
	const uint8_t *alg = copy + AT_CHECKSUM_ALG;
	uint8_t sum[CHECKSUM_SIZE];
	int r;

	if (!is_terminated(alg, CHECKSUM_ALG_SIZE))
		return -EBADMSG;
	r = checksum(copy, copy_size, (const char *)alg, sum, NULL);
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
			"LUKS2 metadata of %zu bytes does not fit into %zu bytes", n, area);
	put_be64(copy + AT_SEQID, seqid);
	memcpy(copy + COFFER_LUKS2_BIN, json, n); /* NOLINT: the memset ends it */
	memset(copy + COFFER_LUKS2_BIN + n, 0, area - n);
	r = seal(copy, copy_size);
	if (r < 0)
		return coffer_err_errno(e, -r, "compute the checksum of the LUKS2 header");
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

/* --- examine a copy --- */

static int refuse(struct coffer_luks2_copy *copy, const char *kind, const char *reason)
{
	(void)snprintf(copy->reason, sizeof(copy->reason), "%s (%s)", kind, reason);
	return 0;
}

static int examine_content(const uint8_t *bytes, struct coffer_luks2_copy *copy)
{
	const char *text;
	size_t n;
	int r;

	r = check_sum(bytes, &copy->bin);
	if (r == -EOPNOTSUPP)
		return refuse(copy, "invalid", "unknown checksum algorithm");
	if (r == -EBADMSG)
		return refuse(copy, "torn", "the checksum is wrong");
	if (r == 0)
		r = find_text(bytes, &copy->bin, &text, &n);
	if (r == 0)
		r = coffer_json_parse(text, n, &copy->json);
	if (r == -EBADMSG)
		return refuse(copy, "invalid", "malformed JSON area");
	if (r < 0)
		return r;
	copy->intact = true;
	copy->text = text;
	copy->text_size = n;
	return 0;
}

int coffer_luks2_copy_judge(const uint8_t *bytes, size_t n, struct coffer_luks2_copy *copy)
{
	const bool second = copy->offset != 0;
	const char *error;

	copy->magic = coffer_luks2_magic(bytes, second);
	copy->luks1 = copy->magic && !second && get_be16(bytes + AT_VERSION) == 1;
	if (!copy->magic || copy->luks1)
		return 0;
	error = find_error(bytes, copy->offset);
	if (error || coffer_luks2_bin_read(bytes, copy->offset, &copy->bin) < 0)
		return refuse(copy, "invalid", error);
	memcpy(copy->label, bytes + AT_LABEL, COFFER_LUKS2_LABEL);
	memcpy(copy->subsystem, bytes + AT_SUBSYSTEM, COFFER_LUKS2_LABEL);
	if (n < copy->bin.copy_size)
		return refuse(copy, "invalid", "it does not end on the device");
	copy->copy = bytes;
	return examine_content(bytes, copy);
}

void coffer_luks2_copy_reset(struct coffer_luks2_copy *copy)
{
	coffer_json_free(copy->json);
	*copy = (struct coffer_luks2_copy){.offset = copy->offset};
}

/* --- two copies --- */

int coffer_luks2_counts(const struct coffer_luks2_copy copies[2], const bool usable[2])
{
	if (usable[0] && usable[1])
		return copies[1].bin.seqid > copies[0].bin.seqid;
	return usable[0] ? 0 : usable[1] ? 1 : -1;
}

bool coffer_luks2_copies_agree(const struct coffer_luks2_copy copies[2])
{
	const struct coffer_luks2_copy *a = &copies[0], *b = &copies[1];

	return a->intact && b->intact &&
	       memcmp(a->copy + AT_VERSION, b->copy + AT_VERSION, AT_SALT - AT_VERSION) == 0 &&
	       memcmp(a->copy + AT_UUID, b->copy + AT_UUID, AT_COPY_OFFSET - AT_UUID) == 0 &&
	       a->text_size == b->text_size && memcmp(a->text, b->text, a->text_size) == 0;
}
