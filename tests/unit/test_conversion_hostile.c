/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test_conversion_hostile.c - metadata that are no conversion coffer may go on with
 *
 * The oracle is libcryptsetup: what it loads as clean, and what it refuses. */
#include "convert/conversion.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>
#include <json-c/json_pointer.h>

#include "base/bytes.h"
#include "lib/conversions.h"
#include "lib/stock.h"
#include "luks2/reencrypt_digest.h"
#include "tap.h"

/* --- hostile metadata --- */

struct edit {
	const char *path;  /* JSON pointer */
	const char *value; /* JSON; NULL: delete */
};

static void apply(struct json_object *json, const struct edit *e)
{
	struct json_object *parent = NULL;
	char path[128];
	char *slash;

	if (!e->path)
		return;
	if (e->value) {
		if (json_pointer_set(&json, e->path, json_tokener_parse(e->value)) < 0)
			abort();
		return;
	}
	(void)snprintf(path, sizeof(path), "%s", e->path);
	slash = strrchr(path, '/');
	*slash = '\0';
	if (json_pointer_get(json, path, &parent) < 0)
		abort();
	json_object_object_del(parent, slash + 1);
}

/* Half way: 0 moved segment, 1 plain, 2 encrypted, 3 previous, 4 final, 5 moved. */
static struct json_object *half_way(const uint8_t *header)
{
	struct coffer_conversion c = conversion_begin(&layouts[0]);
	struct json_object *json = header_metadata(header);

	c.pointer = 2 * MIB;
	(void)coffer_conversion_write(json, &c, NULL);
	return json;
}

enum want {
	WANT_CONVERTING,
	WANT_ENCRYPTED,
	WANT_OTHER,
	WANT_BAD,
};

static enum want read_kind(struct json_object *json)
{
	struct coffer_conversion c = {0};
	enum coffer_luks2_kind kind = COFFER_LUKS2_OTHER;
	struct coffer_err e = {0};
	const int r = coffer_conversion_read(json, &kind, &c, &e);

	if (r < 0)
		return r == -EBADMSG && e.code ? WANT_BAD : (enum want)77;
	return kind == COFFER_LUKS2_CONVERTING	? WANT_CONVERTING
	       : kind == COFFER_LUKS2_ENCRYPTED ? WANT_ENCRYPTED
	       : e.code				? WANT_OTHER
						: (enum want)77;
}

#define SEGMENT_6                                                                                  \
	"{\"type\":\"linear\",\"offset\":\"0\",\"size\":\"512\",\"flags\":[\"backup-previous\"]}"
#define REENCRYPT                                                                                  \
	"{\"type\":\"reencrypt\",\"key_size\":1,\"mode\":\"encrypt\",\"direction\":\"backward\","  \
	"\"area\":{\"type\":\"datashift\",\"offset\":\"0\",\"size\":\"4096\","                     \
	"\"shift_size\":\"1048576\"}}"
#define MANDATORY "/config/requirements/mandatory"

static void check_hostile(const uint8_t *header)
{
	static const struct {
		const char *name;
		struct edit edit[3];
		enum want want;
	} rows[] = {
		{"as it is", {{0}}, WANT_CONVERTING},
		/* not coffer's */
		/* Half of it is plain: whoever calls that encrypted tells a lie. */
		{"no requirements", {{"/config/requirements", NULL}}, WANT_BAD},
		{"no requirement in the list", {{MANDATORY, "[]"}}, WANT_BAD},
		{"a requirement that is not a list", {{MANDATORY, "\"online-reencrypt-v2\""}},
			WANT_BAD},
		{"no config", {{"/config", NULL}}, WANT_BAD},
		{"offline reencryption", {{MANDATORY, "[\"offline-reencrypt\"]"}}, WANT_OTHER},
		{"first version of the requirement", {{MANDATORY, "[\"online-reencrypt\"]"}},
			WANT_OTHER},
		{"later version of the requirement", {{MANDATORY, "[\"online-reencrypt-v3\"]"}},
			WANT_OTHER},
		{"another cipher throughout",
			{{"/segments/4/encryption", "\"aes-xts-plain\""},
				{"/segments/2/encryption", "\"aes-xts-plain\""}},
			WANT_OTHER},
		{"two requirements", {{MANDATORY, "[\"online-reencrypt-v2\",\"opal\"]"}},
			WANT_OTHER},
		{"the requirement twice",
			{{MANDATORY, "[\"online-reencrypt-v2\",\"online-reencrypt-v2\"]"}},
			WANT_OTHER},
		{"a requirement that is a number", {{MANDATORY, "[5]"}}, WANT_OTHER},
		{"a requirement that is null", {{MANDATORY, "[null]"}}, WANT_OTHER},
		{"decryption", {{"/keyslots/1/mode", "\"decrypt\""}}, WANT_OTHER},
		{"change of key", {{"/keyslots/1/mode", "\"reencrypt\""}}, WANT_OTHER},
		{"no mode", {{"/keyslots/1/mode", NULL}}, WANT_OTHER},
		{"forward", {{"/keyslots/1/direction", "\"forward\""}}, WANT_OTHER},
		{"by checksum", {{"/keyslots/1/area/type", "\"checksum\""}}, WANT_OTHER},
		{"by checksum and shift", {{"/keyslots/1/area/type", "\"datashift-checksum\""}},
			WANT_OTHER},
		{"no area", {{"/keyslots/1/area", NULL}}, WANT_OTHER},
		{"another shift", {{"/keyslots/1/area/shift_size", "\"2097152\""}}, WANT_OTHER},
		{"shift 2^64 + 1 MiB",
			{{"/keyslots/1/area/shift_size", "\"18446744073710600192\""}}, WANT_OTHER},
		{"no reencryption keyslot", {{"/keyslots/1", NULL}}, WANT_OTHER},
		{"two reencryption keyslots", {{"/keyslots/2", REENCRYPT}}, WANT_OTHER},
		{"no keyslots", {{"/keyslots", NULL}}, WANT_OTHER},
		{"no previous", {{"/segments/3", NULL}}, WANT_OTHER},
		{"no final", {{"/segments/4", NULL}}, WANT_OTHER},
		{"no moved", {{"/segments/5", NULL}}, WANT_OTHER},
		{"no segments", {{"/segments", NULL}}, WANT_OTHER},
		{"segments are an array", {{"/segments", "[]"}}, WANT_OTHER},
		{"a cipher of 64 letters",
			{{"/segments/4/encryption", "\"0123456789012345678901234567890123456789"
						    "012345678901234567890123\""}},
			WANT_OTHER},
		/* sizes */
		{"length 2^64", {{"/segments/3/size", "\"18446744073709551616\""}}, WANT_OTHER},
		{"length 2^64 - 512", {{"/segments/3/size", "\"18446744073709551104\""}},
			WANT_OTHER},
		{"length dynamic", {{"/segments/3/size", "\"dynamic\""}}, WANT_OTHER},
		{"length as a number", {{"/segments/3/size", "4194304"}}, WANT_OTHER},
		{"length larger than the space", {{"/segments/3/size", "\"4194816\""}}, WANT_OTHER},
		{"moved-segment copy so that D wraps",
			{{"/segments/5/offset", "\"18446744073709551104\""}}, WANT_OTHER},
		{"moved-segment copy so that D is 2^63",
			{{"/segments/5/offset", "\"9223372036853727232\""}}, WANT_OTHER},
		{"everywhere a shift of 2^63",
			{{"/segments/4/offset", "\"9223372036854775808\""},
				{"/keyslots/1/area/shift_size", "\"9223372036854775808\""},
				{"/segments/5/offset", "\"0\""}},
			WANT_OTHER},
		{"everywhere a shift of 0",
			{{"/segments/4/offset", "\"0\""}, {"/keyslots/1/area/shift_size", "\"0\""}},
			WANT_OTHER},
		{"sector size 2048",
			{{"/segments/4/sector_size", "2048"}, {"/segments/2/sector_size", "2048"}},
			WANT_OTHER},
		{"another sector size at the end only", {{"/segments/4/sector_size", "4096"}},
			WANT_BAD},
		{"sector size as a string", {{"/segments/2/sector_size", "\"512\""}}, WANT_BAD},
		/* segments */
		{"segments overlap by a sector", {{"/segments/1/size", "\"1049088\""}}, WANT_BAD},
		{"a sector is missing between them", {{"/segments/1/size", "\"1048064\""}},
			WANT_BAD},
		{"encrypted segment shifted", {{"/segments/2/offset", "\"3146240\""}}, WANT_BAD},
		{"encrypted segment too long", {{"/segments/2/size", "\"2097664\""}}, WANT_BAD},
		{"encrypted segment dynamic", {{"/segments/2/size", "\"dynamic\""}}, WANT_BAD},
		{"encrypted segment empty", {{"/segments/2/size", "\"0\""}}, WANT_BAD},
		{"encrypted segment of 2^64", {{"/segments/2/size", "\"18446744073709551616\""}},
			WANT_BAD},
		{"another IV", {{"/segments/2/iv_tweak", "\"4095\""}}, WANT_BAD},
		{"another cipher", {{"/segments/2/encryption", "\"aes-cbc-essiv:sha256\""}},
			WANT_BAD},
		{"integrity", {{"/segments/2/integrity", "{\"type\":\"none\"}"}}, WANT_BAD},
		{"moved segment from elsewhere", {{"/segments/0/offset", "\"4194304\""}}, WANT_BAD},
		{"moved segment too short", {{"/segments/0/size", "\"1048064\""}}, WANT_BAD},
		{"moved segment is encrypted", {{"/segments/0/type", "\"crypt\""}}, WANT_BAD},
		{"moved segment is of an unknown type", {{"/segments/0/type", "\"zero\""}},
			WANT_BAD},
		{"sizes of the plain segments wrap",
			{{"/segments/0/size", "\"18446744073709551104\""},
				{"/segments/1/size", "\"18446744073709551104\""}},
			WANT_BAD},
		{"plain segment missing", {{"/segments/1", NULL}}, WANT_OTHER},
		{"first segment missing", {{"/segments/0", NULL}}, WANT_OTHER},
		{"a segment too many", {{"/segments/6", SEGMENT_6}}, WANT_BAD},
		{"a flag on a regular segment", {{"/segments/1/flags", "[\"x\"]"}}, WANT_BAD},
		{"a flag more on a backup", {{"/segments/4/flags", "[\"backup-final\",\"x\"]"}},
			WANT_BAD},
		{"two finals", {{"/segments/3/flags", "[\"backup-previous\",\"backup-final\"]"}},
			WANT_OTHER},
		{"previous is encrypted", {{"/segments/3/type", "\"crypt\""}}, WANT_BAD},
		{"previous begins elsewhere", {{"/segments/3/offset", "\"512\""}}, WANT_BAD},
		{"final has an IV", {{"/segments/4/iv_tweak", "\"1\""}}, WANT_BAD},
		{"final has a size", {{"/segments/4/size", "\"4194304\""}}, WANT_BAD},
		{"moved is too short", {{"/segments/5/size", "\"1048064\""}}, WANT_BAD},
		/* inside a step */
		{"a hot step larger than the shift",
			{{"/segments/2/flags", "[\"in-reencryption\"]"}}, WANT_BAD},
		{"a hot plain segment", {{"/segments/1/flags", "[\"in-reencryption\"]"}}, WANT_BAD},
		{"a hot moved segment", {{"/segments/0/flags", "[\"in-reencryption\"]"}}, WANT_BAD},
		{"a hot backup", {{"/segments/4/flags", "[\"backup-final\",\"in-reencryption\"]"}},
			WANT_BAD},
		/* digests */
		{"no digests", {{"/digests", NULL}}, WANT_BAD},
		{"no digest of the volume key", {{"/digests/0", NULL}}, WANT_BAD},
		{"the digest does not cover the final segment",
			{{"/digests/0/segments", "[\"2\"]"}}, WANT_BAD},
		{"the digest has no keyslot", {{"/digests/0/keyslots", "[]"}}, WANT_BAD},
		{"the keyslot has no key size", {{"/keyslots/0/key_size", NULL}}, WANT_BAD},
		{"the keyslot's key size is 2^32 + 64", {{"/keyslots/0/key_size", "4294967360"}},
			WANT_BAD},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_json_ struct json_object *json = half_way(header);
		enum want have;

		for (size_t k = 0; k < ARRAY_SIZE(rows[i].edit); k++)
			apply(json, &rows[i].edit[k]);
		have = read_kind(json);
		if (!ok(have == rows[i].want, "hostile: %s", rows[i].name))
			note("it reads as %d, not %d", (int)have, (int)rows[i].want);
	}
}

/* One number changed anywhere in the segments: never taken for a conversion. */
static void check_each_number(const uint8_t *header)
{
	static const char *const fields[] = {"offset", "size", "iv_tweak"};
	static const int64_t deltas[] = {-(1 << 20), -4096, -512, -1, 1, 512, 4096, 1 << 20,
		INT64_MIN, INT64_MAX, UINT32_MAX};
	static const char *const odd[] = {"\"\"", "\"-1\"", "\" 0\"", "\"0x0\"", "\"dynamic\"",
		"\"18446744073709551616\"", "0", "null", "{}"};
	unsigned int tried = 0, taken = 0;

	for (unsigned int s = 0; s < 6; s++) {
		for (size_t f = 0; f < ARRAY_SIZE(fields); f++) {
			for (size_t k = 0; k < ARRAY_SIZE(deltas) + ARRAY_SIZE(odd); k++) {
				_cleanup_json_ struct json_object *json = half_way(header);
				struct json_object *old = NULL;
				char path[32], value[32];
				struct edit edit = {path, value};
				uint64_t v;

				(void)snprintf(path, sizeof(path), "/segments/%u/%s", s, fields[f]);
				if (json_pointer_get(json, path, &old) < 0)
					continue;
				v = strtoull(json_object_get_string(old), NULL, 10);
				if (k < ARRAY_SIZE(deltas))
					(void)snprintf(value, sizeof(value), "\"%" PRIu64 "\"",
						v + (uint64_t)deltas[k]);
				else
					(void)snprintf(value, sizeof(value), "%s",
						odd[k - ARRAY_SIZE(deltas)]);
				if (strcmp(value, "\"dynamic\"") == 0 &&
					strcmp(json_object_get_string(old), "dynamic") == 0)
					continue;
				apply(json, &edit);
				tried++;
				if (read_kind(json) != WANT_CONVERTING)
					continue;
				if (taken++ == 0)
					note("%s = %s", path, value);
			}
		}
	}
	ok(taken == 0 && tried > 250, "one wrong number is enough: %u tried", tried);
}

/* A hot state whose step no tool would begin. */
static void check_hostile_hot(const uint8_t *header)
{
	static const struct {
		const char *name;
		uint64_t q, p;
		bool good;
	} rows[] = {
		{"a whole step", 2 * MIB, 3 * MIB, true},
		{"a short step", 2 * MIB, 2 * MIB + 512, true},
		{"the first step", 3 * MIB, 4 * MIB, true},
		{"the last step", 0, MIB, true},
		{"more than the shift", 2 * MIB - 512, 3 * MIB, false},
		{"from inside the moved segment", MIB - 512, 2 * MIB - 512, false},
		{"to inside the moved segment", 0, MIB - 512, false},
		{"no bytes at all", 2 * MIB, 2 * MIB, false},
		{"beyond the end", 4 * MIB, 5 * MIB, false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_json_ struct json_object *json = header_metadata(header);

		conversion_make_hot(json, &layouts[0], rows[i].q, rows[i].p);
		ok(read_kind(json) == (rows[i].good ? WANT_CONVERTING : WANT_BAD), "hot: %s",
			rows[i].name);
	}
}

/* The same key twice: the last one counts, for libcryptsetup too. */
static void check_texts(const uint8_t *header)
{
	_cleanup_json_ struct json_object *json = half_way(header);
	const char *text = coffer_json_text(json);
	const size_t n = strlen(text);
	static const char bogus[] = "\"segments\":{\"0\":{\"type\":\"linear\"}}";
	char *twice = malloc(2 * n + 1000);
	struct json_object *o = NULL;
	size_t at;

	if (!twice)
		abort();
	(void)snprintf(twice, n + 1000, "{%s,%s", bogus, text + 1);
	ok(coffer_json_parse(twice, strlen(twice), &o) == 0 && read_kind(o) == WANT_CONVERTING,
		"text: bogus segments, then the right ones");
	coffer_json_free(o);
	o = NULL;
	(void)snprintf(twice, n + 1000, "%.*s,%s}", (int)n - 1, text, bogus);
	ok(coffer_json_parse(twice, strlen(twice), &o) == 0 && read_kind(o) != WANT_CONVERTING,
		"text: the right segments, then bogus ones");
	coffer_json_free(o);
	o = NULL;
	at = (size_t)sprintf(twice, "%.*s,\"tokens\":", (int)n - 1, text);
	for (unsigned int i = 0; i < 100; i++)
		at += (size_t)sprintf(twice + at, "{\"0\":");
	at += (size_t)sprintf(twice + at, "0");
	for (unsigned int i = 0; i < 101; i++)
		at += (size_t)sprintf(twice + at, "}");
	ok(coffer_json_parse(twice, at, &o) == -EBADMSG, "text: nested a hundred deep");
	free(twice);
}

/* --- the digest over the reencryption --- */

static void check_digest(const uint8_t *header)
{
	static const struct {
		const char *name;
		struct edit edit[2];
		int r;
	} rows[] = {
		{"as it is", {{0}}, 0},
		{"active segments are not covered", {{"/segments/1/size", "\"512\""}}, 0},
		{"flags are not covered", {{"/segments/4/flags", "[\"backup-final\",\"x\"]"}}, 0},
		{"mode", {{"/keyslots/1/mode", "\"decrypt\""}}, -EKEYREJECTED},
		{"direction", {{"/keyslots/1/direction", "\"forward\""}}, -EKEYREJECTED},
		{"resilience", {{"/keyslots/1/area/type", "\"none\""}}, -EKEYREJECTED},
		{"area's offset", {{"/keyslots/1/area/offset", "\"4096\""}}, -EKEYREJECTED},
		{"area's size", {{"/keyslots/1/area/size", "\"8192\""}}, -EKEYREJECTED},
		{"shift", {{"/keyslots/1/area/shift_size", "\"2097152\""}}, -EKEYREJECTED},
		{"previous: type", {{"/segments/3/type", "\"zero\""}}, -EKEYREJECTED},
		{"previous: offset", {{"/segments/3/offset", "\"512\""}}, -EKEYREJECTED},
		{"previous: size", {{"/segments/3/size", "\"4193792\""}}, -EKEYREJECTED},
		{"previous: dynamic", {{"/segments/3/size", "\"dynamic\""}}, -EKEYREJECTED},
		{"final: offset", {{"/segments/4/offset", "\"2097152\""}}, -EKEYREJECTED},
		{"final: size", {{"/segments/4/size", "\"4194304\""}}, -EKEYREJECTED},
		{"final: IV", {{"/segments/4/iv_tweak", "\"1\""}}, -EKEYREJECTED},
		{"final: cipher", {{"/segments/4/encryption", "\"aes-xts-plain\""}}, -EKEYREJECTED},
		{"final: sector size", {{"/segments/4/sector_size", "4096"}}, -EKEYREJECTED},
		{"moved: offset", {{"/segments/5/offset", "\"4194304\""}}, -EKEYREJECTED},
		{"moved: size", {{"/segments/5/size", "\"524288\""}}, -EKEYREJECTED},
		{"moved segment and moved together",
			{{"/segments/5/offset", "\"6291456\""},
				{"/segments/0/offset", "\"6291456\""}},
			-EKEYREJECTED},
		{"salt", {{"/digests/1/salt", "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\""}},
			-EKEYREJECTED},
		{"iterations", {{"/digests/1/iterations", "1001"}}, -EKEYREJECTED},
		{"hash", {{"/digests/1/hash", "\"sha512\""}}, -EKEYREJECTED},
		{"digest",
			{{"/digests/1/digest", "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\""}},
			-EKEYREJECTED},
		{"digest of 20 bytes", {{"/digests/1/digest", "\"AAAAAAAAAAAAAAAAAAAAAAAAAAA=\""}},
			-EKEYREJECTED},
		{"no digest", {{"/digests/1", NULL}}, -EKEYREJECTED},
		{"no digest of this keyslot", {{"/digests/1/keyslots", "[\"0\"]"}}, -EKEYREJECTED},
		{"two digests of it", {{"/digests/2", "{\"keyslots\":[\"1\"]}"}}, -EKEYREJECTED},
		{"no reencryption keyslot", {{"/keyslots/1", NULL}}, -EKEYREJECTED},
		{"unknown hash", {{"/digests/1/hash", "\"sha257\""}}, -EOPNOTSUPP},
		{"no iterations", {{"/digests/1/iterations", "0"}}, -EBADMSG},
		{"salt too short", {{"/digests/1/salt", "\"AAAA\""}}, -EBADMSG},
		{"salt too long",
			{{"/digests/1/salt", "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\""}},
			-EBADMSG},
		{"salt is not base64", {{"/digests/1/salt", "\"%\""}}, -EBADMSG},
		{"digest too short", {{"/digests/1/digest", "\"AAAA\""}}, -EBADMSG},
		{"empty digest", {{"/digests/1/digest", "\"\""}}, -EBADMSG},
		{"no salt", {{"/digests/1/salt", NULL}}, -EBADMSG},
		{"no hash", {{"/digests/1/hash", NULL}}, -EBADMSG},
		{"no mode", {{"/keyslots/1/mode", NULL}}, -EBADMSG},
		{"no area", {{"/keyslots/1/area", NULL}}, -EBADMSG},
		{"no final", {{"/segments/4", NULL}}, -EBADMSG},
		{"no moved", {{"/segments/5", NULL}}, -EBADMSG},
		{"a mode of 65 letters",
			{{"/keyslots/1/mode", "\"0123456789012345678901234567890123456789"
					      "0123456789012345678901234\""}},
			-EBADMSG},
	};
	uint8_t key[64];
	struct coffer_err e;

	ok(stock_key(header, layouts[0].g.shift, key) == 64, "digest: the key");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_json_ struct json_object *json = half_way(header);
		int r;

		for (size_t k = 0; k < ARRAY_SIZE(rows[i].edit); k++)
			apply(json, &rows[i].edit[k]);
		memset(&e, 0, sizeof(e));
		r = coffer_reencrypt_digest_verify(json, key, sizeof(key), &e);
		if (!ok(r == rows[i].r && e.code == -r, "digest: %s", rows[i].name))
			note("it gave %d %s", r, e.msg);
	}
	for (size_t i = 0; i < sizeof(key); i += 21) {
		_cleanup_json_ struct json_object *json = half_way(header);

		key[i] ^= 1;
		ok(coffer_reencrypt_digest_verify(json, key, sizeof(key), NULL) == -EKEYREJECTED,
			"digest: a key that differs in byte %zu", i);
		key[i] ^= 1;
		ok(coffer_reencrypt_digest_verify(json, key, 32, NULL) == -EKEYREJECTED,
			"digest: half of the key");
	}
}

int main(void)
{
	const struct layout *l = &layouts[0];
	_cleanup_free_ uint8_t *header = stock_header(&l->g, CIPHER, l->key_size);

	if (ok(header != NULL, "%s: a header by libcryptsetup", l->name)) {
		check_hostile(header);
		check_each_number(header);
		check_hostile_hot(header);
		check_texts(header);
		check_digest(header);
	}
	return done_testing();
}
