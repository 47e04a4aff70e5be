/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The oracle is libcryptsetup: it makes the headers, loads what coffer wrote, and goes on. */
#include "convert/conversion.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>
#include <json-c/json_pointer.h>

#include "base/bytes.h"
#include "base/crypto.h"
#include "lib/stock.h"
#include "luks2/copy.h"
#include "tap.h"

#define MIB    (UINT64_C(1) << 20)
#define CIPHER "aes-xts-plain64"

struct layout {
	const char *name;
	struct coffer_geometry g;
	uint32_t key_size;
};
static const struct layout layouts[] = {
	{"L = 4S", {6 * MIB, MIB, 4 * MIB, 512}, 64},
	{"L no multiple of S", {6 * MIB, MIB + 4096, 4 * MIB - 8192, 512}, 64},
	{"L an odd number of sectors", {5 * MIB + 3584, MIB, 3 * MIB + 3584, 512}, 64},
	{"L = S", {3 * MIB, MIB, MIB, 512}, 64},
	{"L = S and a sector", {3 * MIB + 512, MIB, MIB + 512, 512}, 64},
	{"L = 2S", {4 * MIB, MIB, 2 * MIB, 4096}, 64},
	{"sectors of 4096", {6 * MIB + 4096, MIB + 8192, 4 * MIB - 12288, 4096}, 64},
	{"AES-128", {5 * MIB, MIB, 3 * MIB, 512}, 32},
};

static struct json_object *metadata(const uint8_t *header)
{
	struct coffer_luks2_bin bin;
	struct json_object *o = NULL;
	const char *text;
	size_t n;

	if (coffer_luks2_bin_read(header, 0, &bin) < 0 ||
		coffer_luks2_copy_check(header, &bin, &text, &n) < 0 ||
		coffer_json_parse(text, n, &o) < 0)
		abort();
	return o;
}

/* Put @json into both copies of @header. */
static void put_metadata(uint8_t *header, struct json_object *json)
{
	struct coffer_luks2_bin bin;

	(void)coffer_luks2_bin_read(header, 0, &bin);
	for (unsigned int i = 0; i < 2; i++)
		if (coffer_luks2_copy_seal(header + i * bin.copy_size, bin.seqid + 1,
			    coffer_json_text(json), NULL) < 0)
			abort();
}

static enum stock_verdict judge(
	const uint8_t *header, const struct coffer_geometry *g, struct json_object *json)
{
	_cleanup_free_ uint8_t *copy = malloc(g->shift);

	if (!copy)
		abort();
	memcpy(copy, header, g->shift);
	put_metadata(copy, json);
	return stock_judge(copy, g->shift, g->shift);
}

static bool same(const struct coffer_conversion *a, const struct coffer_conversion *b)
{
	return a->geometry.device == b->geometry.device && a->geometry.shift == b->geometry.shift &&
	       a->geometry.length == b->geometry.length &&
	       a->geometry.sector_size == b->geometry.sector_size && a->pointer == b->pointer &&
	       a->hot == b->hot && strcmp(a->cipher, b->cipher) == 0 && a->key_size == b->key_size;
}

static bool reads_as(struct json_object *json, const struct coffer_conversion *want)
{
	struct coffer_conversion c = {0};
	struct coffer_err e = {0};
	enum coffer_luks2_kind kind = COFFER_LUKS2_OTHER;
	const int r = coffer_conversion_read(json, &kind, &c, &e);

	if (r == 0 && kind == COFFER_LUKS2_CONVERTING && same(&c, want))
		return true;
	note("it reads: %d, kind %d, pointer %" PRIu64 ", wanted %" PRIu64 ": %s", r, (int)kind,
		c.pointer, want->pointer, e.msg);
	return false;
}

static struct coffer_conversion begin(const struct layout *l)
{
	struct coffer_conversion c = {
		.geometry = l->g, .pointer = l->g.length, .key_size = l->key_size};

	(void)snprintf(c.cipher, sizeof(c.cipher), "%s", CIPHER);
	return c;
}

/* All pointers at which coffer may stand, and some more that are possible. */
static size_t pointers(const struct coffer_geometry *g, uint64_t ret[64])
{
	const uint64_t extra[] = {g->length - g->sector_size, g->shift + g->sector_size,
		g->shift * 2 + g->sector_size, g->shift * 2 - g->sector_size};
	uint64_t p = g->length;
	size_t n = 0;

	for (ret[n++] = p; p > 0; ret[n++] = p)
		p = coffer_next_step(g, NULL, p);
	for (size_t i = 0; i < ARRAY_SIZE(extra); i++)
		if (coffer_pointer_ok(g, extra[i]) && extra[i] > 0)
			ret[n++] = extra[i];
	return n;
}

/* --- every pointer: written, read back, and loaded by libcryptsetup --- */

/* Nothing but the segments and the list of those that the digest covers may change. */
static bool rest_is_same(struct json_object *before, struct json_object *after)
{
	struct json_object *a = NULL, *b = NULL;
	bool equal;

	if (json_object_deep_copy(before, &a, NULL) < 0 ||
		json_object_deep_copy(after, &b, NULL) < 0)
		abort();
	json_object_object_del(a, "segments");
	json_object_object_del(b, "segments");
	json_object_object_del(
		coffer_json_object(coffer_json_object(a, "digests"), "0"), "segments");
	json_object_object_del(
		coffer_json_object(coffer_json_object(b, "digests"), "0"), "segments");
	equal = json_object_equal(a, b);
	coffer_json_free(a);
	coffer_json_free(b);
	return equal;
}

static void check_pointers(const struct layout *l, const uint8_t *header)
{
	_cleanup_json_ struct json_object *init = metadata(header);
	_cleanup_json_ struct json_object *json = metadata(header);
	struct coffer_conversion c = begin(l);
	bool round_trip = true, rest = true, loads = true;
	uint64_t p[64];
	size_t n;

	ok(reads_as(init, &c), "%s: the header that libcryptsetup made", l->name);
	n = pointers(&l->g, p);
	for (size_t i = 0; i < n; i++) {
		c.pointer = p[i];
		round_trip &= coffer_conversion_write(json, &c, NULL) == 0 && reads_as(json, &c);
		rest &= rest_is_same(init, json);
		if (judge(header, &l->g, json) != STOCK_CLEAN) {
			note("p %" PRIu64, c.pointer);
			loads = false;
		}
	}
	ok(round_trip, "%s: %zu pointers: written and read back", l->name, n);
	ok(rest, "%s: the rest of the metadata stays as it is", l->name);
	ok(loads, "%s: libcryptsetup loads them all as clean", l->name);
	c.pointer = l->g.length;
	ok(coffer_conversion_write(json, &c, NULL) == 0 && reads_as(json, &c),
		"%s: no step yet, with the backups in the later order", l->name);
}

static void check_finish(const struct layout *l, const uint8_t *header)
{
	_cleanup_json_ struct json_object *json = metadata(header);
	_cleanup_free_ uint8_t *done = malloc(l->g.shift);
	struct coffer_conversion c = begin(l);
	enum coffer_luks2_kind kind = COFFER_LUKS2_OTHER;
	struct json_object *segment;
	uint8_t key[64];

	if (!done)
		abort();
	memcpy(done, header, l->g.shift);
	(void)coffer_conversion_write(json, &c, NULL);
	c.pointer = 0;
	ok(coffer_conversion_finish(json, &c, NULL) == 0 &&
			coffer_conversion_read(json, &kind, &c, NULL) == 0 &&
			kind == COFFER_LUKS2_ENCRYPTED,
		"%s: finished, it reads as encrypted", l->name);
	segment = coffer_json_object(coffer_json_object(json, "segments"), "0");
	ok(coffer_json_length(coffer_json_object(json, "segments")) == 1 &&
			coffer_json_length(coffer_json_object(json, "keyslots")) == 1 &&
			coffer_json_length(coffer_json_object(json, "digests")) == 1 &&
			!coffer_json_object(coffer_json_object(json, "config"), "requirements") &&
			strcmp(coffer_json_string(segment, "size"), "dynamic") == 0 &&
			!coffer_json_array(segment, "flags"),
		"%s: finished, nothing of the reencryption is left", l->name);
	put_metadata(done, json);
	ok(stock_judge(done, l->g.shift, l->g.shift) == STOCK_NONE &&
			stock_key(done, l->g.shift, key) == l->key_size,
		"%s: finished, libcryptsetup loads it and the passphrase opens it", l->name);
	ok(coffer_conversion_finish(json, &c, NULL) == -EBADMSG,
		"%s: finished, it cannot be finished again", l->name);
}

/* --- states inside a step, as libcryptsetup writes them --- */

static void add_segment(struct json_object *segments, struct json_object *covered, bool crypt,
	uint64_t offset, uint64_t size, uint64_t iv, const char *flag, const struct layout *l)
{
	const size_t i = coffer_json_length(segments);
	char text[512], key[16];

	if (size == 0 && crypt)
		(void)snprintf(key, sizeof(key), "dynamic");
	else
		(void)snprintf(key, sizeof(key), "%" PRIu64, size);
	if (crypt)
		(void)snprintf(text, sizeof(text),
			"{\"type\":\"crypt\",\"offset\":\"%" PRIu64 "\",\"size\":\"%s\","
			"\"iv_tweak\":\"%" PRIu64
			"\",\"encryption\":\"%s\",\"sector_size\":%" PRIu32 "%s%s%s}",
			offset, key, iv, CIPHER, l->g.sector_size, flag ? ",\"flags\":[\"" : "",
			flag ? flag : "", flag ? "\"]" : "");
	else
		(void)snprintf(text, sizeof(text),
			"{\"type\":\"linear\",\"offset\":\"%" PRIu64 "\",\"size\":\"%s\"%s%s%s}",
			offset, key, flag ? ",\"flags\":[\"" : "", flag ? flag : "",
			flag ? "\"]" : "");
	(void)snprintf(key, sizeof(key), "%zu", i);
	(void)json_object_object_add(segments, key, json_tokener_parse(text));
	if (crypt)
		(void)json_object_array_add(covered, json_object_new_string(key));
}

/* The facts' worked example in general: the step [q, p) has a segment of its own. */
static void make_hot(struct json_object *json, const struct layout *l, uint64_t q, uint64_t p)
{
	struct json_object *s = json_object_new_object(), *covered = json_object_new_array();
	const struct coffer_geometry *g = &l->g;
	const uint64_t head = g->device - g->shift;

	if (q >= g->shift)
		add_segment(s, covered, false, head, g->shift, 0, NULL, l);
	if (q > g->shift)
		add_segment(s, covered, false, g->shift, q - g->shift, 0, NULL, l);
	add_segment(s, covered, true, g->shift + q, p - q, q / 512, "in-reencryption", l);
	if (p < g->length)
		add_segment(s, covered, true, g->shift + p, g->length - p, p / 512, NULL, l);
	add_segment(s, covered, false, 0, g->length, 0, "backup-previous", l);
	add_segment(s, covered, true, g->shift, 0, 0, "backup-final", l);
	add_segment(s, covered, false, head, g->shift, 0, "backup-moved-segment", l);
	(void)json_object_object_add(json, "segments", s);
	(void)json_object_object_add(
		coffer_json_object(coffer_json_object(json, "digests"), "0"), "segments", covered);
}

static void check_hot(const struct layout *l, const uint8_t *header)
{
	_cleanup_json_ struct json_object *json = metadata(header);
	struct coffer_conversion c = begin(l);
	bool read = true, loads = true, left = true;
	uint64_t q;

	for (uint64_t p = l->g.length; p > 0; p = q) {
		q = coffer_next_step(&l->g, NULL, p);
		make_hot(json, l, q, p);
		c.pointer = p;
		c.hot = true;
		read &= reads_as(json, &c);
		loads &= judge(header, &l->g, json) == STOCK_CRASHED;
		c.hot = false;
		for (unsigned int done = 0; done < 2; done++) {
			c.pointer = done ? q : p;
			left &= coffer_conversion_write(json, &c, NULL) == 0 &&
				reads_as(json, &c) && judge(header, &l->g, json) == STOCK_CLEAN;
		}
	}
	ok(loads, "%s: libcryptsetup calls the states inside a step crashed", l->name);
	ok(read, "%s: they read as hot, with the pointer before the step", l->name);
	ok(left, "%s: they are left by writing a pointer", l->name);
}

/* --- side by side with libcryptsetup's own engine --- */

static void xts(const uint8_t *key, const struct coffer_conversion *c, uint64_t offset, uint8_t *p,
	size_t n, bool encrypt)
{
	_cleanup_xts_ struct coffer_xts *x = NULL;

	if (coffer_xts_new(key, c->key_size, c->geometry.sector_size, &x, NULL) < 0 ||
		(encrypt ? coffer_xts_encrypt(x, offset, p, n)
			 : coffer_xts_decrypt(x, offset, p, n)) < 0)
		abort();
}

/* A disk as it is when the header was placed. */
static uint8_t *placed(const struct layout *l, const uint8_t *header, const uint8_t *plain)
{
	uint8_t *disk = calloc(1, l->g.device);

	if (!disk)
		abort();
	memcpy(disk, plain, l->g.length);
	memcpy(disk + l->g.device - l->g.shift, plain, l->g.shift);
	memcpy(disk, header, l->g.shift);
	return disk;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(json_object_get_string(*(struct json_object *const *)a),
		json_object_get_string(*(struct json_object *const *)b));
}

/* The list of covered segments is a set; libcryptsetup's order follows its history. */
static bool says_the_same(const uint8_t *header, struct json_object *json)
{
	_cleanup_json_ struct json_object *stock = metadata(header);
	struct json_object *const both[] = {stock, json};

	for (size_t i = 0; i < ARRAY_SIZE(both); i++) {
		json_object_array_sort(
			coffer_json_array(
				coffer_json_object(coffer_json_object(both[i], "digests"), "0"),
				"segments"),
			by_text);
		if (!coffer_json_object(coffer_json_object(json, "config"), "requirements"))
			json_object_object_del(
				coffer_json_object(both[i], "config"), "keyslots_size");
	}
	if (json_object_equal(stock, json))
		return true;
	note("coffer: %s", coffer_json_text(coffer_json_object(json, "segments")));
	note("stock:  %s", coffer_json_text(coffer_json_object(stock, "segments")));
	return false;
}

static void check_steps_of_stock(
	const struct layout *l, const uint8_t *header, const uint8_t *plain)
{
	_cleanup_free_ uint8_t *disk = placed(l, header, plain);
	_cleanup_json_ struct json_object *json = metadata(header);
	struct coffer_conversion c = begin(l);
	bool equal = true, runs = true;

	/* To the last step but one: after the last it finishes by itself. */
	while (coffer_next_step(&l->g, NULL, c.pointer) > 0 && runs) {
		c.pointer = coffer_next_step(&l->g, NULL, c.pointer);
		runs = stock_resume(disk, l->g.device, 1);
		(void)coffer_conversion_write(json, &c, NULL);
		equal &= says_the_same(disk, json);
	}
	ok(runs && equal, "%s: after each step libcryptsetup writes what coffer would", l->name);
	/* It counts the keyslot area anew; coffer leaves that to the next tool that wants room. */
	(void)coffer_conversion_finish(json, &c, NULL);
	runs = stock_resume(disk, l->g.device, 0);
	ok(runs && says_the_same(disk, json), "%s: and in the end too", l->name);
}

static void check_handover(const struct layout *l, const uint8_t *header, const uint8_t *plain)
{
	struct coffer_conversion c = begin(l);
	uint8_t key[64];
	uint64_t p[64];
	size_t n = pointers(&l->g, p);
	bool good = stock_key(header, l->g.shift, key) == l->key_size;

	for (size_t i = 0; i < n && good; i++) {
		_cleanup_free_ uint8_t *disk = placed(l, header, plain);
		_cleanup_json_ struct json_object *json = metadata(header);
		const uint64_t s = l->g.shift;

		/* 0 is the state that only coffer can finish. */
		if (p[i] == 0)
			continue;
		c.pointer = p[i];
		memcpy(disk + s + p[i], plain + p[i], l->g.length - p[i]);
		xts(key, &c, p[i], disk + s + p[i], l->g.length - p[i], true);
		(void)coffer_conversion_write(json, &c, NULL);
		put_metadata(disk, json);
		good = stock_resume(disk, l->g.device, 0);
		if (good) {
			xts(key, &c, 0, disk + s, l->g.length, false);
			good = memcmp(disk + s, plain, l->g.length) == 0 &&
			       stock_judge(disk, s, s) == STOCK_NONE;
		}
		if (!good)
			note("p %" PRIu64, p[i]);
	}
	ok(good, "%s: from every pointer libcryptsetup goes on, and no byte is lost", l->name);
}

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

/* Half way: 0 head, 1 plain, 2 encrypted, 3 previous, 4 final, 5 moved. */
static struct json_object *half_way(const uint8_t *header)
{
	struct coffer_conversion c = begin(&layouts[0]);
	struct json_object *json = metadata(header);

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
		{"a requirement that is no list", {{MANDATORY, "\"online-reencrypt-v2\""}},
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
		{"length larger than the room", {{"/segments/3/size", "\"4194816\""}}, WANT_OTHER},
		{"head copy so that D wraps", {{"/segments/5/offset", "\"18446744073709551104\""}},
			WANT_OTHER},
		{"head copy so that D is 2^63", {{"/segments/5/offset", "\"9223372036853727232\""}},
			WANT_OTHER},
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
		{"head from elsewhere", {{"/segments/0/offset", "\"4194304\""}}, WANT_BAD},
		{"head too short", {{"/segments/0/size", "\"1048064\""}}, WANT_BAD},
		{"head is encrypted", {{"/segments/0/type", "\"crypt\""}}, WANT_BAD},
		{"head is of an unknown type", {{"/segments/0/type", "\"zero\""}}, WANT_BAD},
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
		{"a hot head", {{"/segments/0/flags", "[\"in-reencryption\"]"}}, WANT_BAD},
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
		{"from inside the head", MIB - 512, 2 * MIB - 512, false},
		{"to inside the head", 0, MIB - 512, false},
		{"no bytes at all", 2 * MIB, 2 * MIB, false},
		{"beyond the end", 4 * MIB, 5 * MIB, false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_json_ struct json_object *json = metadata(header);

		make_hot(json, &layouts[0], rows[i].q, rows[i].p);
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
		{"head and moved together",
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
		{"salt is no base64", {{"/digests/1/salt", "\"%\""}}, -EBADMSG},
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
		r = coffer_conversion_verify(json, key, sizeof(key), &e);
		if (!ok(r == rows[i].r && e.code == -r, "digest: %s", rows[i].name))
			note("it gave %d %s", r, e.msg);
	}
	for (size_t i = 0; i < sizeof(key); i += 21) {
		_cleanup_json_ struct json_object *json = half_way(header);

		key[i] ^= 1;
		ok(coffer_conversion_verify(json, key, sizeof(key), NULL) == -EKEYREJECTED,
			"digest: a key that differs in byte %zu", i);
		key[i] ^= 1;
		ok(coffer_conversion_verify(json, key, 32, NULL) == -EKEYREJECTED,
			"digest: half of the key");
	}
}

/* Every layout's own digest, at every pointer. */
static void check_digest_stays(const struct layout *l, const uint8_t *header)
{
	_cleanup_json_ struct json_object *json = metadata(header);
	struct coffer_conversion c = begin(l);
	uint8_t key[64];
	uint64_t p[64];
	const size_t n = pointers(&l->g, p);
	bool good = stock_key(header, l->g.shift, key) == l->key_size &&
		    coffer_conversion_verify(json, key, l->key_size, NULL) == 0;

	for (size_t i = 0; i < n && good; i++) {
		c.pointer = p[i];
		good = coffer_conversion_write(json, &c, NULL) == 0 &&
		       coffer_conversion_verify(json, key, l->key_size, NULL) == 0;
	}
	ok(good, "%s: the digest holds at every pointer", l->name);
}

/* Every place at which a conversion can stand, of one small layout; stock looks at some. */
static void check_every_pointer(const uint8_t *header)
{
	enum {
		EACH = 64
	};
	struct layout l = layouts[0];
	_cleanup_json_ struct json_object *json = metadata(header);
	struct coffer_conversion c;
	unsigned int n = 0, wrong = 0, judged = 0, refused = 0;

	l.g.length = MIB + MIB / 2;
	c = begin(&l);
	for (uint64_t p = 0; p <= l.g.length; p += l.g.sector_size) {
		if (!coffer_pointer_ok(&l.g, p))
			continue;
		c.pointer = p;
		if (coffer_conversion_write(json, &c, NULL) < 0 || !reads_as(json, &c))
			wrong++;
		if (n++ % EACH == 0) {
			judged++;
			refused += judge(header, &l.g, json) != STOCK_CLEAN;
		}
	}
	ok(wrong == 0 && n == MIB / 2 / 512 + 2, "every pointer: %u are written and read back", n);
	ok(refused == 0 && judged > 8, "every pointer: libcryptsetup loads %u of them as clean",
		judged);
}

/* Data shorter than the room, as stock makes it with --device-size: nothing begins that way
 * here, but it can be resumed. */
static void check_short(const uint8_t *header)
{
	struct layout l = layouts[0];
	_cleanup_json_ struct json_object *json = metadata(header);
	struct coffer_conversion c;
	bool good = true;
	uint64_t p[64];
	size_t n;

	l.g.length -= MIB / 2;
	c = begin(&l);
	n = pointers(&l.g, p);
	for (size_t i = 0; i < n; i++) {
		c.pointer = p[i];
		good &= coffer_conversion_write(json, &c, NULL) == 0 && reads_as(json, &c) &&
			judge(header, &l.g, json) == STOCK_CLEAN;
	}
	ok(good, "data shorter than the room: written, read back and loaded");
}

int main(void)
{
	_cleanup_free_ uint8_t *plain = malloc(8 * MIB);

	if (!plain || coffer_random(plain, 8 * MIB) < 0)
		abort();
	for (size_t i = 0; i < ARRAY_SIZE(layouts); i++) {
		const struct layout *l = &layouts[i];
		_cleanup_free_ uint8_t *header = stock_header(&l->g, CIPHER, l->key_size);

		if (!ok(header != NULL, "%s: a header by libcryptsetup", l->name))
			continue;
		check_pointers(l, header);
		check_finish(l, header);
		check_hot(l, header);
		check_digest_stays(l, header);
		check_steps_of_stock(l, header, plain);
		check_handover(l, header, plain);
		if (i > 0)
			continue;
		check_hostile(header);
		check_each_number(header);
		check_hostile_hot(header);
		check_texts(header);
		check_digest(header);
		check_short(header);
		check_every_pointer(header);
	}
	return done_testing();
}
