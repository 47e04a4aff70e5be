/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test_luks2_metadata.c - one change each to metadata that are right
 *
 * One change each to metadata that are right: which check tells of it, and would libcryptsetup load
 * the result? tests/loop/test_header_rules.py asks libcryptsetup itself, with many more changes;
 * here is what the functions promise beside that: how much is told, and what hostile texts cost. */
#include "luks2/metadata.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/findings.h"
#include "luks2/copy_check.h"
#include "tap.h"

enum {
	COPY = 16384
};

#define SALT "\"QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=\""
#define VOLUME                                                                                     \
	"{\"keyslots\":{\"0\":{\"type\":\"luks2\",\"key_size\":64,\"af\":{\"type\":\"luks1\","     \
	"\"stripes\":4000,\"hash\":\"sha256\"},\"area\":{\"type\":\"raw\",\"offset\":\"32768\","   \
	"\"size\":\"258048\",\"encryption\":\"aes-xts-plain64\",\"key_size\":64},\"kdf\":{"        \
	"\"type\":\"pbkdf2\",\"hash\":\"sha256\",\"iterations\":1000,\"salt\":" SALT "}}},"        \
	"\"tokens\":{\"0\":{\"type\":\"luks2-keyring\",\"keyslots\":[\"0\"],"                      \
	"\"key_description\":\"a key\"}},"                                                         \
	"\"segments\":{\"0\":{\"type\":\"crypt\",\"offset\":\"16777216\",\"size\":\"dynamic\","    \
	"\"iv_tweak\":\"0\",\"encryption\":\"aes-xts-plain64\",\"sector_size\":512}},"             \
	"\"digests\":{\"0\":{\"type\":\"pbkdf2\",\"keyslots\":[\"0\"],\"segments\":[\"0\"],"       \
	"\"hash\":\"sha256\",\"iterations\":1000,\"salt\":" SALT ",\"digest\":" SALT "}},"         \
	"\"config\":{\"json_size\":\"12288\",\"keyslots_size\":\"16744448\"}}"

/* The same text with @from exchanged for @to, once. */
static char *exchanged(const char *text, const char *from, const char *to)
{
	const char *at = strstr(text, from);
	char *ret;

	if (!at || asprintf(&ret, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from)) < 0)
		abort();
	return ret;
}

static bool judge(const char *text, struct coffer_findings *l, uint64_t device_size)
{
	_cleanup_json_ struct json_object *json = NULL;
	const struct coffer_meta m = {.text = text,
		.text_size = strlen(text),
		.copy_size = COPY,
		.device_size = device_size,
		.device = "disk",
		.copy = ""};
	struct coffer_meta judged = m;
	bool accepted = false;

	if (coffer_json_parse(text, strlen(text), &json) < 0)
		abort();
	judged.json = json;
	if (coffer_meta_check(&judged, l, &accepted) < 0)
		abort();
	return accepted;
}

/* The worst verdict of @id's checks. */
static enum coffer_verdict worst(const struct coffer_findings *l, const char *id)
{
	enum coffer_verdict v = COFFER_VERDICT_OK;

	for (size_t i = 0; i < l->n; i++)
		if (strcmp(l->items[i].id, id) == 0 && l->items[i].verdict > v)
			v = l->items[i].verdict;
	return v;
}

static void check_rows(void)
{
	enum {
		NOTE,
		WRONG,
		REFUSED
	};
	static const struct {
		const char *name, *from, *to, *id;
		int what;
	} rows[] = {
		{"a name that is no number", "{\"0\":{\"type\":\"luks2\"",
			"{\"x\":{\"type\":\"luks2\"", "keyslot", REFUSED},
		{"a number as text", "\"key_size\":64", "\"key_size\":\"64\"", "keyslot", REFUSED},
		{"a text as number", "\"32768\"", "32768", "area", REFUSED},
		{"a list for an object",
			"\"af\":{\"type\":\"luks1\",\"stripes\":4000,"
			"\"hash\":\"sha256\"}",
			"\"af\":[]", "keyslot", REFUSED},
		{"an area within the header", "\"32768\"", "\"32767\"", "area", REFUSED},
		{"an area whose end wraps", "\"32768\"", "\"18446744073709551615\"", "area",
			REFUSED},
		{"an area of 2^64 bytes", "\"258048\"", "\"18446744073709551616\"", "area",
			REFUSED},
		{"an area too small for its key", "\"258048\"", "\"253952\"", "keyslot", WRONG},
		{"no iterations", "\"iterations\":1000,", "", "keyslot", REFUSED},
		{"an unknown kdf", "\"kdf\":{\"type\":\"pbkdf2\"", "\"kdf\":{\"type\":\"x\"",
			"keyslot", WRONG},
		{"a kdf with more", "\"kdf\":{", "\"kdf\":{\"more\":1,", "keyslot", NOTE},
		{"a token of a keyslot that is not", "\"keyslots\":[\"0\"],\"key_d",
			"\"keyslots\":[\"1\"],\"key_d", "token", REFUSED},
		{"a keyring token without a key", "\"a key\"", "\"\"", "token", WRONG},
		{"a digest of no keyslot", "\"keyslots\":[\"0\"],\"segments\"",
			"\"keyslots\":[],\"segments\"", "keyslot", REFUSED},
		{"a digest of no segment", "\"segments\":[\"0\"]", "\"segments\":[]", "segment",
			REFUSED},
		{"a digest that is too short", "\"digest\":" SALT, "\"digest\":\"QUFB\"", "digest",
			WRONG},
		{"an offset within a sector", "\"16777216\"", "\"16777217\"", "segment", REFUSED},
		{"an offset within the keyslots", "\"16777216\"", "\"16776704\"", "config",
			REFUSED},
		{"a sector of 513 bytes", "\"sector_size\":512", "\"sector_size\":513", "segment",
			REFUSED},
		{"a sector of 64 KiB", "\"sector_size\":512", "\"sector_size\":65536", "segment",
			WRONG},
		{"an end behind the device", "\"dynamic\"", "\"16777728\"", "segment", WRONG},
		{"an unknown requirement", "\"config\":{",
			"\"config\":{\"requirements\":{\"mandatory\":[\"x\"]},", "requirement",
			WRONG},
		{"a newer requirement", "\"config\":{",
			"\"config\":{\"requirements\":{\"mandatory\":[\"inline-hw-tags\"]},",
			"requirement", NOTE},
		{"a reencryption without keyslot", "\"config\":{",
			"\"config\":{\"requirements\":{\"mandatory\":[\"online-reencrypt-v3\"]},",
			"reencryption", REFUSED},
		{"another area's json_size", "\"12288\"", "\"28672\"", "config", REFUSED},
		{"keyslots_size of 1 byte", "\"16744448\"", "\"1\"", "config", REFUSED},
		{"a name twice", "\"config\":{", "\"config\":{\"json_size\":\"1\",", "json", WRONG},
		{"a name twice in a list", "\"a key\"", "\"a key\",\"x\":[[{\"a\":{},\"a\":[]}]]",
			"json", WRONG},
		{"a name twice, once in escapes", "\"a key\"", "\"a key\",\"\\u0074ype\":\"x\"",
			"json", WRONG},
		{"tokens are missing", "\"tokens\"", "\"takens\"", "json", REFUSED},
	};
	const char *device = "the device has";

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_free_ char *text = exchanged(VOLUME, rows[i].from, rows[i].to);
		struct coffer_findings l = {0};
		const bool accepted = judge(text, &l, (16 << 20) + 512);

		ok(accepted == (rows[i].what != REFUSED) &&
				worst(&l, rows[i].id) == (rows[i].what == NOTE
									 ? COFFER_VERDICT_NOTE
									 : COFFER_VERDICT_BAD) &&
				(rows[i].what != NOTE ||
					coffer_findings_count(&l, COFFER_VERDICT_BAD) == 0),
			"%s", rows[i].name);
		for (size_t k = 0; k < l.n; k++)
			if (strstr(l.items[k].text, device) &&
				strcmp(l.items[k].id, "segment") != 0)
				ok(false, "%s: a sentence about the device", rows[i].name);
		coffer_findings_free(&l);
	}
}

static void check_right(void)
{
	static const char *const ids[] = {"json", "config", "requirement", "keyslot", "area",
		"token", "digest", "segment", "reencryption"};
	struct coffer_findings l = {0};

	ok(judge(VOLUME, &l, UINT64_C(1) << 40) && l.n == ARRAY_SIZE(ids), "right ones");
	for (size_t i = 0; i < ARRAY_SIZE(ids); i++)
		ok(coffer_findings_find(&l, ids[i]) && worst(&l, ids[i]) == COFFER_VERDICT_OK,
			"right ones: %s was looked at", ids[i]);
	coffer_findings_free(&l);
	ok(judge(VOLUME, &l, 0) && coffer_findings_count(&l, COFFER_VERDICT_BAD) == 0,
		"right ones, without the data");
	coffer_findings_free(&l);
	ok(judge(VOLUME, &l, 16 << 20) && worst(&l, "segment") == COFFER_VERDICT_BAD,
		"data that begin where the device ends");
	coffer_findings_free(&l);
}

/* Only what is BAD, for the copy that does not count. */
static void check_only_bad(void)
{
	_cleanup_free_ char *text =
		exchanged(VOLUME, "\"kdf\":{", "\"priority\":7,\"kdf\":{\"more\":1,");
	_cleanup_json_ struct json_object *json = NULL;
	struct coffer_meta m = {.copy_size = COPY, .device = "disk", .copy = "second: "};
	struct coffer_findings l = {0};
	bool accepted = false;

	m.only_bad = true;
	ok(coffer_json_parse(text, strlen(text), &json) == 0, "only what is bad: parsed");
	m.json = json;
	ok(coffer_meta_check(&m, &l, &accepted) == 0 && accepted && l.n == 1 &&
			l.items[0].verdict == COFFER_VERDICT_BAD &&
			strncmp(l.items[0].text, "second: keyslot 0: its priority", 31) == 0,
		"only what is bad is told, and of which copy");
	coffer_findings_free(&l);
}

/* A text that is built up; what does not fit is left out. */
struct text {
	char *s;
	size_t n, size;
};

__attribute__((format(printf, 2, 3))) static void add(struct text *t, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	t->n += (size_t)vsnprintf(t->s + t->n, t->size - t->n, fmt, ap);
	va_end(ap);
	if (t->n >= t->size)
		abort();
}

/* As many objects as an area of 4 MiB holds, each with something wrong: the list stays short. */
static void check_flood(void)
{
	static const struct {
		const char *name, *section, *object;
		unsigned int n;
	} rows[] = {
		{"keyslots", "keyslots", "{}", 60},
		{"more keyslots", "keyslots", "{}", 50000},
		{"tokens", "tokens", "{\"type\":7,\"keyslots\":[1,2,3,\"x\"]}", 64},
		{"more tokens", "tokens", "1", 60000},
		{"digests", "digests", "{\"type\":\"\",\"keyslots\":[\"7\"],\"segments\":[[]]}",
			64},
		{"more digests", "digests", "{}", 50000},
		{"segments", "segments", "{\"offset\":\"-1\",\"size\":\"\"}", 64},
		{"more segments", "segments", "{}", 50000},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct text t = {.size = 4 << 20};
		struct coffer_findings l = {0};

		t.s = malloc(t.size);
		if (!t.s)
			abort();
		add(&t, "{\"config\":{},\"%s\":{", rows[i].section);
		for (unsigned int k = 0; k < rows[i].n; k++)
			add(&t, "%s\"%u\":%s", k ? "," : "", k, rows[i].object);
		add(&t, "}}");
		ok(!judge(t.s, &l, 0) && l.n < 100, "many %s: %zu checks", rows[i].name, l.n);
		coffer_findings_free(&l);
		free(t.s);
	}
}

/* Long lists of names: each keyslot is looked for in each of them. */
static void check_long_lists(void)
{
	struct text t = {.size = 4 << 20};
	struct coffer_findings l = {0};

	t.s = malloc(t.size);
	if (!t.s)
		abort();
	add(&t, "{\"config\":{},\"segments\":{},\"tokens\":{},\"keyslots\":{");
	for (unsigned int k = 0; k < 64; k++)
		add(&t, "%s\"%u\":{\"type\":\"luks2\"}", k ? "," : "", k);
	add(&t, "},\"digests\":{\"0\":{\"type\":\"pbkdf2\",\"segments\":[],\"keyslots\":[\"0\"");
	for (unsigned int k = 0; k < 300000; k++)
		add(&t, ",\"x\"");
	add(&t, "]}}}");
	ok(!judge(t.s, &l, 0) && l.n < 100, "300000 names in a list: %zu checks", l.n);
	coffer_findings_free(&l);
	free(t.s);
}

static void check_sizes(void)
{
	static const struct {
		const char *name, *from, *to;
		uint64_t header, data;
	} rows[] = {
		{"as it is", "", "", 16 << 20, 16 << 20},
		{"no keyslots_size", "\"keyslots_size\":\"16744448\"", "\"x\":1", 0, 16 << 20},
		{"keyslots_size that wraps", "\"16744448\"", "\"18446744073709551615\"", 0,
			16 << 20},
		{"no segment", "\"segments\":{\"0\"", "\"x\":{\"0\"", 16 << 20, 0},
		{"data at byte 0", "\"16777216\"", "\"0\"", 16 << 20, 0},
		{"only a backup", "\"iv_tweak\"", "\"flags\":[\"backup-final\"],\"iv_tweak\"",
			16 << 20, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_free_ char *text = exchanged(VOLUME, rows[i].from, rows[i].to);
		_cleanup_json_ struct json_object *json = NULL;

		if (coffer_json_parse(text, strlen(text), &json) < 0)
			abort();
		ok(coffer_meta_header_size(json, COPY) == rows[i].header &&
				coffer_meta_data_offset(json) == rows[i].data,
			"sizes: %s", rows[i].name);
	}
}

/* Which of two copies libcryptsetup goes by. */
static void check_counts(void)
{
	static const struct {
		bool accepted[2];
		uint64_t seqid[2];
		int counts;
	} rows[] = {
		{{true, true}, {5, 5}, 0},
		{{true, true}, {5, 4}, 0},
		{{true, true}, {4, 5}, 1},
		{{true, true}, {UINT64_MAX, 0}, 0},
		{{false, true}, {5, 4}, 1},
		{{true, false}, {4, 5}, 0},
		{{false, false}, {5, 5}, -1},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct coffer_luks2_copy look[2] = {0};

		for (int k = 0; k < 2; k++) {
			look[k].accepted = rows[i].accepted[k];
			look[k].bin.seqid = rows[i].seqid[k];
		}
		ok(coffer_luks2_counts(look) == rows[i].counts,
			"of %s %" PRIu64 " and %s %" PRIu64 " counts: %d",
			rows[i].accepted[0] ? "good" : "bad", rows[i].seqid[0],
			rows[i].accepted[1] ? "good" : "bad", rows[i].seqid[1], rows[i].counts);
	}
}

int main(void)
{
	check_right();
	check_rows();
	check_only_bad();
	check_flood();
	check_long_lists();
	check_sizes();
	check_counts();
	return done_testing();
}
