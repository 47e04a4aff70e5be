/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test_backup.c - the trailer of a backup, byte by byte; and what the metadata say of keyslots */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "header/backup_file.h"
#include "luks2/metadata.h"
#include "tap.h"

static const struct coffer_trailer trailer = {
	.info = {.conversion = COFFER_BACKUP_CONVERTING,
		.pointer = 0x0102030405060708,
		.image_size = 0x1112131415161718,
		.seqid = 0x2122232425262728,
		.device_size = 0x4142434445464748,
		.data_offset = 0x5152535455565758,
		.date = 0x6162636465666768,
		.uuid = "5a8f2b16-9d0c-4a57-8f0e-0b4d1c9e7a01",
		.version = "1.2.3",
		.device = "/dev/vda2",
		.partuuid = "0b4d1c9e-02",
		.id = "ata-DISK_123-part2"},
	.copy_size = 0x3132333435363738,
	.image_hash = {0xaa, [31] = 0xbb},
};

/* Where each field lies, written down once more. */
static const struct {
	const char *name;
	size_t at, n;
	const char *bytes;
} fields[] = {
	{"magic", 0, 16, "COFFER-BACKUP\0\0\0"},
	{"version", 16, 4, "\0\0\0\1"},
	{"kind", 20, 4, "\0\0\0\1"},
	{"zero", 24, 8, "\0\0\0\0\0\0\0\0"},
	{"image size", 32, 8, "\x11\x12\x13\x14\x15\x16\x17\x18"},
	{"seqid", 40, 8, "\x21\x22\x23\x24\x25\x26\x27\x28"},
	{"copy size", 48, 8, "\x31\x32\x33\x34\x35\x36\x37\x38"},
	{"device size", 56, 8, "\x41\x42\x43\x44\x45\x46\x47\x48"},
	{"data offset", 64, 8, "\x51\x52\x53\x54\x55\x56\x57\x58"},
	{"date", 72, 8, "\x61\x62\x63\x64\x65\x66\x67\x68"},
	{"uuid", 80, 40, "5a8f2b16-9d0c-4a57-8f0e-0b4d1c9e7a01\0\0\0\0"},
	{"pointer", 120, 8, "\1\2\3\4\5\6\7\10"},
	{"image hash", 160, 3, "\xaa\0\0"},
	{"coffer", 192, 8, "1.2.3\0\0\0"},
	{"device", 224, 12, "/dev/vda2\0\0\0"},
	{"partuuid", 480, 14, "0b4d1c9e-02\0\0\0"},
	{"id", 544, 20, "ata-DISK_123-part2\0\0"},
};

static void seal(uint8_t *block)
{
	uint8_t sum[COFFER_SHA256_SIZE];

	memset(block + 128, 0, sizeof(sum));
	if (coffer_sha256(block, COFFER_TRAILER_SIZE, sum) < 0)
		abort();
	memcpy(block + 128, sum, sizeof(sum));
}

static void test_trailer(void)
{
	uint8_t block[COFFER_TRAILER_SIZE], again[COFFER_TRAILER_SIZE];
	struct coffer_trailer back;
	unsigned int accepted = 0;

	ok(coffer_trailer_encode(&trailer, block) == 0, "a trailer is made");
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		ok(memcmp(block + fields[i].at, fields[i].bytes, fields[i].n) == 0, "%s",
			fields[i].name);
	ok(bytes_are_zero(block + 800, sizeof(block) - 800), "zeros to the end");
	memcpy(again, block, sizeof(again));
	seal(again);
	ok(memcmp(again, block, sizeof(block)) == 0, "the sum is that of the block");
	ok(coffer_trailer_decode(block, &back) == 0 && memcmp(&back, &trailer, sizeof(back)) == 0,
		"it is read as it was written");
	for (size_t bit = 0; bit < 8 * sizeof(block); bit += 3) {
		const int want = bit < 8 * 16 ? -ENODATA : -EBADMSG;

		memcpy(again, block, sizeof(again));
		again[bit / 8] ^= (uint8_t)(1 << bit % 8);
		accepted += coffer_trailer_decode(again, &back) != want;
	}
	ok(accepted == 0, "no bit may flip");
}

/* Right sums over what no coffer writes. */
static void test_sealed_trailers(void)
{
	static const struct {
		const char *name;
		size_t at;
		uint8_t value;
		int want;
	} rows[] = {
		{"another version", 19, 2, -EOPNOTSUPP},
		{"version 0", 19, 0, -EOPNOTSUPP},
		{"an unknown kind", 23, 3, -EBADMSG},
		{"a large kind", 20, 1, -EBADMSG},
		{"no zero after the kind", 24, 1, -EBADMSG},
		{"no zero before the size", 31, 1, -EBADMSG},
		{"a text after the uuid's end", 119, 'x', -EBADMSG},
		{"a text after the version's end", 223, 'x', -EBADMSG},
		{"a text beyond the device's end", 479, 'x', -EBADMSG},
		{"a text after the partition's end", 543, 'x', -EBADMSG},
		{"a text after the id's end", 799, 'x', -EBADMSG},
		{"something after the fields", 800, 1, -EBADMSG},
		{"something in the last byte", 4095, 1, -EBADMSG},
		{"another size", 39, 1, 0},
		{"another name", 224, 'x', 0},
	};
	uint8_t block[COFFER_TRAILER_SIZE];
	struct coffer_trailer back;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (coffer_trailer_encode(&trailer, block) < 0)
			abort();
		block[rows[i].at] = rows[i].value;
		seal(block);
		ok(coffer_trailer_decode(block, &back) == rows[i].want, "%s", rows[i].name);
	}
}

static void test_areas(void)
{
	static const struct {
		const char *name, *slots;
		int want;
		size_t n;
	} rows[] = {
		{"none", "{}", 0, 0},
		{"one",
			"{\"0\":{\"type\":\"luks2\",\"area\":{\"type\":\"raw\",\"offset\":"
			"\"32768\","
			"\"size\":\"8192\"}}}",
			0, 1},
		{"two side by side",
			"{\"3\":{\"type\":\"luks2\",\"area\":{\"type\":\"raw\",\"offset\":"
			"\"32768\","
			"\"size\":\"4096\"}},\"31\":{\"type\":\"luks2\",\"area\":{\"type\":\"raw\","
			"\"offset\":\"36864\",\"size\":\"4096\"}}}",
			0, 2},
		{"they overlap",
			"{\"0\":{\"type\":\"luks2\",\"area\":{\"type\":\"raw\",\"offset\":"
			"\"32768\","
			"\"size\":\"8192\"}},\"1\":{\"type\":\"luks2\",\"area\":{\"type\":\"raw\","
			"\"offset\":\"36864\",\"size\":\"4096\"}}}",
			-EBADMSG, 0},
		{"before the area",
			"{\"0\":{\"type\":\"luks2\",\"area\":{\"type\":\"raw\","
			"\"offset\":\"28672\",\"size\":\"4096\"}}}",
			-EBADMSG, 0},
		{"to its last byte",
			"{\"0\":{\"type\":\"luks2\",\"area\":{\"type\":\"raw\","
			"\"offset\":\"61440\",\"size\":\"4096\"}}}",
			0, 1},
		{"beyond its end",
			"{\"0\":{\"type\":\"luks2\",\"area\":{\"type\":\"raw\","
			"\"offset\":\"61440\",\"size\":\"8192\"}}}",
			-EBADMSG, 0},
		{"numbers that wrap",
			"{\"0\":{\"type\":\"luks2\",\"area\":{\"type\":\"raw\","
			"\"offset\":\"18446744073709547520\",\"size\":\"8192\"}}}",
			-EBADMSG, 0},
		{"an odd offset",
			"{\"0\":{\"type\":\"luks2\",\"area\":{\"type\":\"raw\","
			"\"offset\":\"33280\",\"size\":\"4096\"}}}",
			-EBADMSG, 0},
		{"an odd size",
			"{\"0\":{\"type\":\"luks2\",\"area\":{\"type\":\"raw\","
			"\"offset\":\"32768\",\"size\":\"512\"}}}",
			-EBADMSG, 0},
		{"no size",
			"{\"0\":{\"type\":\"luks2\",\"area\":{\"type\":\"raw\","
			"\"offset\":\"32768\"}}}",
			-EBADMSG, 0},
		{"a size of zero",
			"{\"0\":{\"type\":\"luks2\",\"area\":{\"type\":\"raw\","
			"\"offset\":\"32768\",\"size\":\"0\"}}}",
			-EBADMSG, 0},
		{"no area", "{\"0\":{\"type\":\"luks2\"}}", -EBADMSG, 0},
		{"no type",
			"{\"0\":{\"area\":{\"type\":\"raw\",\"offset\":\"32768\","
			"\"size\":\"4096\"}}}",
			-EBADMSG, 0},
		{"a number too large",
			"{\"32\":{\"type\":\"luks2\",\"area\":{\"type\":\"raw\","
			"\"offset\":\"32768\",\"size\":\"4096\"}}}",
			-EBADMSG, 0},
		{"a zero in front",
			"{\"00\":{\"type\":\"luks2\",\"area\":{\"type\":\"raw\",\"offset\":"
			"\"32768\",\"size\":\"4096\"}}}",
			-EBADMSG, 0},
		{"one number twice",
			"{\"0\":{\"type\":\"luks2\",\"area\":{\"type\":\"raw\",\"offset\":"
			"\"32768\",\"size\":\"4096\"}},\"00\":{\"type\":\"luks2\","
			"\"area\":{\"type\":\"raw\",\"offset\":\"36864\",\"size\":\"4096\"}}}",
			-EBADMSG, 0},
		{"no number",
			"{\"x\":{\"type\":\"luks2\",\"area\":{\"type\":\"raw\","
			"\"offset\":\"32768\",\"size\":\"4096\"}}}",
			-EBADMSG, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_json_ struct json_object *json = NULL;
		struct coffer_areas l;
		char text[512];

		(void)snprintf(text, sizeof(text), "{\"keyslots\":%s}", rows[i].slots);
		if (coffer_json_parse(text, strlen(text), &json) < 0)
			abort();
		ok(coffer_areas_read(json, 32768, 65536, &l) == rows[i].want &&
				(rows[i].want < 0 || l.n == rows[i].n),
			"areas: %s", rows[i].name);
	}
}

/* What of a reencryption may hold content does not get into a backup; checksums may. */
static void test_clean(void)
{
	static const struct {
		const char *type, *kind;
		bool kept;
	} rows[] = {
		{"luks2", "raw", true},
		{"of-a-plugin", "raw", true},
		{"reencrypt", "checksum", true},
		{"reencrypt", "datashift-checksum", true},
		{"reencrypt", "journal", false},
		{"reencrypt", "datashift-journal", false},
		{"reencrypt", "datashift", false},
		{"reencrypt", "none", false},
	};
	enum {
		SIZE = 65536
	};
	_cleanup_free_ uint8_t *image = malloc(SIZE);

	if (!image)
		abort();
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_json_ struct json_object *json = NULL;
		struct coffer_areas l;
		char text[512];

		(void)snprintf(text, sizeof(text),
			"{\"keyslots\":{\"0\":{\"type\":\"%s\",\"area\":{\"type\":\"%s\","
			"\"offset\":\"40960\",\"size\":\"8192\"}}}}",
			rows[i].type, rows[i].kind);
		memset(image, 0x5a, SIZE);
		if (coffer_json_parse(text, strlen(text), &json) < 0 ||
			coffer_areas_read(json, 32768, SIZE, &l) < 0)
			abort();
		coffer_image_clean(image, SIZE, 16384, &l);
		ok(image[32767] == 0x5a && bytes_are_zero(image + 32768, 8192) &&
				bytes_are_zero(image + 49152, SIZE - 49152) &&
				(rows[i].kept ? image[40960] == 0x5a && image[49151] == 0x5a
					      : bytes_are_zero(image + 40960, 8192)),
			"%s, %s: %s", rows[i].type, rows[i].kind,
			rows[i].kept ? "kept" : "left out");
	}
}

static void test_sizes(void)
{
	static const struct {
		const char *size;
		uint64_t want;
	} rows[] = {{"32768", 65536}, {"0", 32768}, {"134217728", 134250496}, {"134221824", 0},
		{"1", 0}, {"x", 0}, {"142606336", 0}, {"18446744073709547520", 0}};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_json_ struct json_object *json = NULL;
		char text[128];

		(void)snprintf(text, sizeof(text), "{\"config\":{\"keyslots_size\":\"%s\"}}",
			rows[i].size);
		if (coffer_json_parse(text, strlen(text), &json) < 0)
			abort();
		ok(coffer_metadata_header_size(json, 16384) == rows[i].want,
			"a keyslots area of %s bytes", rows[i].size);
	}
}

int main(void)
{
	test_trailer();
	test_sealed_trailers();
	test_areas();
	test_clean();
	test_sizes();
	return done_testing();
}
