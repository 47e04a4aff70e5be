/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test_luks2_copy.c - one LUKS2 header copy */
#include "luks2/copy.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/crypto.h"
#include "base/json.h"
#include "lib/stock.h"
#include "tap.h"

enum {
	COPY = 16384
};
static const struct coffer_geometry g = {UINT64_C(6) << 20, 1 << 20, UINT64_C(4) << 20, 512};

/* The first S bytes of a device: two copies of a header made by libcryptsetup. */
static uint8_t *header;

/* What the header reader makes of the copy at @offset: both calls in a row. */
static int judge(const uint8_t *copy, uint64_t offset)
{
	struct coffer_luks2_bin bin;
	const char *json;
	size_t n;
	int r;

	r = coffer_luks2_bin_read(copy, offset, &bin);
	if (r == 0 && bin.copy_size != COPY)
		return -ENOSPC; /* the caller would have read another size */
	return r < 0 ? r : coffer_luks2_copy_check(copy, &bin, &json, &n);
}

static void check_real(void)
{
	for (unsigned int i = 0; i < 2; i++) {
		const uint64_t offset = i * COPY;
		struct coffer_luks2_bin bin = {0};
		struct json_object *o = NULL;
		const char *json = NULL;
		size_t n = 0;

		ok(coffer_luks2_magic(header + offset, i != 0) &&
				!coffer_luks2_magic(header + offset, i == 0),
			"copy %u: magic", i);
		ok(coffer_luks2_bin_read(header + offset, offset, &bin) == 0 &&
				bin.copy_size == COPY && bin.seqid > 0 && strlen(bin.uuid) == 36 &&
				strcmp(bin.checksum, "sha256") == 0,
			"copy %u: binary block", i);
		ok(coffer_luks2_copy_check(header + offset, &bin, &json, &n) == 0 &&
				json == (const char *)header + offset + 4096 && n == strlen(json),
			"copy %u: intact", i);
		ok(coffer_json_parse(json, n, &o) == 0 && coffer_json_object(o, "segments"),
			"copy %u: its text is JSON", i);
		coffer_json_free(o);
		ok(coffer_luks2_bin_read(header + offset, i ? 0 : COPY, &bin) == -ENODATA,
			"copy %u: at the other's place", i);
	}
}

/* Every byte of a copy counts: flip a bit of each. */
static void check_flips(void)
{
	static const struct {
		const char *name;
		size_t from, to;
	} rows[] = {
		{"magic", 0, 6},
		{"version", 6, 8},
		{"size", 8, 16},
		{"seqid", 16, 24},
		{"label", 24, 72},
		{"name of the checksum", 72, 104},
		{"salt", 104, 168},
		{"UUID", 168, 208},
		{"subsystem", 208, 256},
		{"offset", 256, 264},
		{"padding", 264, 448},
		{"checksum", 448, 480},
		{"padding to 4096", 512, 4096},
		{"text", 4096, 5000},
		{"zeros after the text", 10000, COPY},
	};
	uint8_t copy[COPY];

	for (unsigned int i = 0; i < 2; i++) {
		memcpy(copy, header + i * COPY, COPY);
		for (size_t k = 0; k < ARRAY_SIZE(rows); k++) {
			size_t taken = 0;

			for (size_t at = rows[k].from; at < rows[k].to; at++) {
				copy[at] ^= (uint8_t)(1 << (at % 8));
				if (judge(copy, i * COPY) == 0 && taken++ == 0)
					note("byte %zu", at);
				copy[at] ^= (uint8_t)(1 << (at % 8));
			}
			ok(taken == 0 && judge(copy, i * COPY) == 0,
				"copy %u: a flipped bit in: %s", i, rows[k].name);
		}
	}
}

/* Seal a copy whose changes the reader has to find by itself, without help of the checksum. */
static void sum_up(uint8_t *copy)
{
	memset(copy + 448, 0, 64);
	(void)coffer_sha256(copy, COPY, copy + 448);
}

static void check_hostile(void)
{
	static const char long_text[] = "0123456789012345678901234567890123456789";
	static const struct {
		const char *name;
		size_t at;
		const char *bytes;
		size_t n;
		int r;
	} rows[] = {
		{"as it is", 0, "", 0, 0},
		{"version 1", 6, "\0\1", 2, -ENODATA},
		{"version 3", 6, "\0\3", 2, -ENODATA},
		{"size 0", 8, "\0\0\0\0\0\0\0\0", 8, -EBADMSG},
		{"size 8 KiB", 8, "\0\0\0\0\0\0\x20\0", 8, -EBADMSG},
		{"size 16 KiB + 1", 8, "\0\0\0\0\0\0\x40\1", 8, -EBADMSG},
		{"size 24 KiB", 8, "\0\0\0\0\0\0\x60\0", 8, -EBADMSG},
		{"size 8 MiB", 8, "\0\0\0\0\0\x80\0\0", 8, -EBADMSG},
		{"size 2^63", 8, "\x80\0\0\0\0\0\0\0", 8, -EBADMSG},
		{"size 2^64 - 1", 8, "\xff\xff\xff\xff\xff\xff\xff\xff", 8, -EBADMSG},
		{"offset 16 KiB", 256, "\0\0\0\0\0\0\x40\0", 8, -EBADMSG},
		{"offset 2^64 - 1", 256, "\xff\xff\xff\xff\xff\xff\xff\xff", 8, -EBADMSG},
		{"UUID without an end", 168, long_text, 40, -EBADMSG},
		{"UUID of 39", 168, long_text, 39, 0},
		{"checksum name without an end", 72, long_text, 32, -EBADMSG},
		{"unknown checksum", 72, "sha257\0", 7, -EOPNOTSUPP},
		{"no checksum", 72, "\0", 1, -EOPNOTSUPP},
		{"another checksum's name", 72, "sha512\0", 7, -EBADMSG},
		{"no text", 4096, "\0", 1, -EBADMSG},
		{"text is not an object", 4096, "[", 1, -EBADMSG},
		{"a blank before the text", 4096, " ", 1, -EBADMSG},
		{"a NUL in the text", 4200, "\0", 1, -EBADMSG},
		{"a byte after the text", COPY - 2, "x", 1, -EBADMSG},
		{"a byte at the very end", COPY - 1, "x", 1, -EBADMSG},
		{"another seqid, label, salt", 16, "\1\2\3\4\5\6\7\10label", 13, 0},
		{"not zero in the padding", 300, "x", 1, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint8_t copy[COPY];
		int r;

		memcpy(copy, header, COPY);
		memcpy(copy + rows[i].at, rows[i].bytes, rows[i].n);
		sum_up(copy);
		r = judge(copy, 0);
		if (!ok(r == rows[i].r, "sealed with: %s", rows[i].name))
			note("it gave %d", r);
	}
}

/* The text fills the area to its last byte but one; a NUL must follow. */
static void check_full_area(void)
{
	struct coffer_err e = {0};
	char text[COPY];
	uint8_t copy[COPY];

	memcpy(copy, header, COPY);
	memset(text, ' ', sizeof(text));
	text[0] = '{';
	text[COPY - 4096 - 2] = '}';
	text[COPY - 4096 - 1] = '\0';
	ok(coffer_luks2_copy_seal(copy, 9, text, &e) == 0 && judge(copy, 0) == 0,
		"the longest text that fits");
	text[COPY - 4096 - 1] = ' ';
	text[COPY - 4096] = '\0';
	ok(coffer_luks2_copy_seal(copy, 10, text, &e) == -ENOSPC && e.code == ENOSPC &&
			judge(copy, 0) == 0,
		"one byte more is refused, and nothing is changed");
	memset(copy + 4096, ' ', COPY - 4096);
	copy[4096] = '{';
	sum_up(copy);
	ok(judge(copy, 0) == -EBADMSG, "an area without a NUL");
}

static void check_seal(void)
{
	_cleanup_free_ uint8_t *changed = malloc(g.shift);
	_cleanup_json_ struct json_object *o = NULL;
	struct coffer_luks2_bin bin, was;
	const char *json;
	size_t n;

	if (!changed)
		abort();
	memcpy(changed, header, g.shift);
	(void)coffer_luks2_bin_read(header, 0, &was);
	(void)coffer_luks2_copy_check(header, &was, &json, &n);
	(void)coffer_json_parse(json, n, &o);
	(void)coffer_json_put_string(o, "added", "by a test");
	for (unsigned int i = 0; i < 2; i++) {
		uint8_t *copy = changed + i * COPY;

		ok(coffer_luks2_copy_seal(copy, was.seqid + 1, coffer_json_text(o), NULL) == 0,
			"seal: copy %u", i);
		ok(coffer_luks2_bin_read(copy, i * COPY, &bin) == 0 && bin.seqid == was.seqid + 1 &&
				strcmp(bin.uuid, was.uuid) == 0 && bin.copy_size == COPY &&
				coffer_luks2_copy_check(copy, &bin, &json, &n) == 0 &&
				strcmp(json, coffer_json_text(o)) == 0,
			"seal: copy %u is intact and says what it was given", i);
		ok(memcmp(copy + 24, header + i * COPY + 24, 448 - 24) == 0,
			"seal: copy %u keeps label, salt, UUID", i);
	}
	ok(stock_judge(changed, g.shift, g.shift) == STOCK_CLEAN,
		"seal: libcryptsetup takes both copies");
	changed[5000] ^= 1;
	ok(stock_judge(changed, g.shift, g.shift) == STOCK_REJECTED,
		"seal: (and notices a copy that is not intact)");
}

static void check_other(void)
{
	static const char *const names[] = {"second from first", "first from second"};
	uint8_t salt[64];

	for (size_t i = 0; i < sizeof(salt); i++)
		salt[i] = (uint8_t)(0x80 + i);
	for (unsigned int from = 0; from < 2; from++) {
		_cleanup_free_ uint8_t *changed = malloc(g.shift);
		uint8_t *to;

		if (!changed)
			abort();
		memcpy(changed, header, g.shift);
		to = changed + !from * COPY;
		memset(to, 0xee, COPY);
		ok(coffer_luks2_copy_other(changed + from * COPY, to, salt) == 0 &&
				judge(to, !from * COPY) == 0,
			"%s: intact", names[from]);
		ok(memcmp(to + 104, salt, 64) == 0, "%s: a salt of its own", names[from]);
		memcpy(to + 104, header + !from * COPY + 104, 64);
		sum_up(to);
		ok(memcmp(changed, header, g.shift) == 0,
			"%s: but for the salt it is what libcryptsetup made", names[from]);
		(void)coffer_luks2_copy_other(changed + from * COPY, to, salt);
		ok(stock_judge(changed, g.shift, g.shift) == STOCK_CLEAN,
			"%s: libcryptsetup takes both copies", names[from]);
	}
}

/* The largest copy there is, as secondary: its place is its size. */
static void check_sizes(void)
{
	uint8_t block[4096];

	for (uint64_t size = 4096; size <= 8 << 20; size *= 2) {
		const bool possible = size >= 0x4000 && size <= 0x400000;
		struct coffer_luks2_bin bin;

		memcpy(block, header + COPY, sizeof(block));
		put_be64(block + 8, size);
		put_be64(block + 256, size);
		ok(coffer_luks2_bin_read(block, size, &bin) == (possible ? 0 : -EBADMSG) &&
				(!possible || bin.copy_size == size),
			"secondary of %" PRIu64 " bytes", size);
		put_be64(block + 256, size / 2);
		ok(coffer_luks2_bin_read(block, size / 2, &bin) == -EBADMSG,
			"secondary of %" PRIu64 " bytes at the wrong place", size);
	}
}

int main(void)
{
	header = stock_header(&g, "aes-xts-plain64", 64);
	if (ok(header != NULL, "a header by libcryptsetup")) {
		check_real();
		check_flips();
		check_hostile();
		check_full_area();
		check_seal();
		check_other();
		check_sizes();
	}
	free(header);
	return done_testing();
}
