/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fuzz_luks2.c - fuzz target: one LUKS2 header copy
 *
 * Input: the first 512 bytes of a LUKS2 header copy, then its JSON text. The zeros between and
 * after them are put in here, and a right checksum: else nothing would get past it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "convert/volume.h"
#include "lib/conversion_equals.h"
#include "luks2/copy.h"
#include "luks2/keyslots.h"
#include "luks2/reencrypt_digest.h"

enum {
	BINARY = 512,
	MAX_COPY = 65536
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static int limit_iterations(const char *name, struct json_object *digest, void *arg)
{
	uint32_t n;

	(void)name;
	(void)arg;
	if (coffer_json_u32(digest, "iterations", &n) == 0 && n > 10)
		(void)coffer_json_put_u64(digest, "iterations", 10);
	return 0;
}

/* A conversion that was taken is one that can be walked to its end, step by step. */
static void walk(struct json_object *json, struct coffer_conversion c)
{
	struct coffer_conversion back;
	enum coffer_luks2_kind kind;

	if (coffer_geometry_check(&c.geometry, NULL) < 0 ||
		!coffer_pointer_ok(&c.geometry, c.pointer) || (c.hot && c.pointer == 0))
		abort();
	c.hot = false;
	for (unsigned int steps = 0; steps < 4; steps++) {
		if (coffer_conversion_write(json, &c, NULL) < 0 ||
			coffer_conversion_read(json, &kind, &back, NULL) < 0 ||
			kind != COFFER_LUKS2_CONVERTING || !conversion_equals(&c, &back))
			abort();
		if (c.pointer == 0)
			break;
		c.pointer = steps < 2 ? coffer_next_step(&c.geometry, NULL, c.pointer) : 0;
	}
	if (coffer_conversion_finish(json, &c, NULL) < 0 ||
		coffer_conversion_read(json, &kind, &back, NULL) < 0 ||
		kind != COFFER_LUKS2_ENCRYPTED)
		abort();
}

/* Whatever the numbers are, nothing beyond the device's end is read. */
static void check_mapping(struct json_object *json)
{
	static const uint64_t sizes[] = {0, 4096, 1 << 24, INT64_MAX};
	struct coffer_mapping m;
	struct coffer_keys k;

	coffer_keys_read(json, &k);
	if (k.n_slots > COFFER_MAX_KEYSLOTS || k.n_tokens > COFFER_MAX_TOKENS)
		abort();
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
		if (coffer_mapping_finished(json, sizes[i], &m, NULL) == 0 &&
			(m.n != 1 || m.size == 0 || m.size % m.sector_size ||
				m.s[0].offset > sizes[i] || m.size > sizes[i] - m.s[0].offset ||
				m.s[0].tweak > UINT64_MAX - m.size))
			abort();
}

static void check_metadata(const char *text, size_t n)
{
	static const uint8_t key[64] = {1, 2, 3};
	_cleanup_json_ struct json_object *json = NULL;
	enum coffer_luks2_kind kind = (enum coffer_luks2_kind)77;
	struct coffer_conversion c;
	struct coffer_err e = {0};
	int r;

	r = coffer_json_parse(text, n, &json);
	if (r < 0) {
		if (r != -EBADMSG)
			abort();
		return;
	}
	(void)coffer_json_foreach(coffer_json_object(json, "digests"), limit_iterations, NULL);
	if (coffer_reencrypt_digest_verify(json, key, sizeof(key), NULL) == 0)
		abort(); /* nobody guesses a digest */
	check_mapping(json);
	r = coffer_conversion_read(json, &kind, &c, &e);
	if (r < 0 ? r != -EBADMSG || e.code == 0 : kind == COFFER_LUKS2_OTHER && e.code == 0)
		abort();
	if (r == 0 && kind == COFFER_LUKS2_CONVERTING)
		walk(json, c);
}

static void check_copy(uint8_t *copy)
{
	const uint64_t offset = coffer_luks2_magic(copy, true) ? COFFER_LUKS2_MIN_COPY : 0;
	struct coffer_luks2_bin bin;
	uint8_t salt[64] = {0}, *other;
	const char *text = (char *)copy + COFFER_LUKS2_BIN, *json;
	char *kept;
	size_t n;

	if (coffer_luks2_bin_read(copy, offset, &bin) < 0 || bin.copy_size > MAX_COPY)
		return;
	(void)coffer_luks2_copy_check(copy, &bin, &json, &n);
	kept = strndup(text, bin.copy_size - COFFER_LUKS2_BIN - 1);
	other = malloc(bin.copy_size);
	if (!kept || !other)
		abort();
	if (coffer_luks2_copy_seal(copy, bin.seqid + 1, kept, NULL) == 0 &&
		coffer_luks2_copy_check(copy, &bin, &json, &n) == 0) {
		if (n != strlen(kept) || memcmp(json, kept, n) != 0)
			abort();
		check_metadata(json, n);
		if (coffer_luks2_copy_other(copy, other, salt) < 0 ||
			coffer_luks2_bin_read(other, offset ? 0 : bin.copy_size, &bin) < 0 ||
			coffer_luks2_copy_check(other, &bin, &json, &n) < 0)
			abort();
	}
	free(kept);
	free(other);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	uint8_t *copy;

	if (n < BINARY || n > BINARY + MAX_COPY - COFFER_LUKS2_BIN)
		return 0;
	copy = calloc(1, MAX_COPY);
	if (!copy)
		return 0;
	memcpy(copy, data, BINARY);
	memcpy(copy + COFFER_LUKS2_BIN, data + BINARY, n - BINARY);
	check_metadata((const char *)data + BINARY, n - BINARY);
	check_copy(copy);
	free(copy);
	return 0;
}
