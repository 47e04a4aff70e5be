/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test_luks2_metadata.c - the checks of metadata that libcryptsetup accepts
 *
 * One change each: which check speaks of it? tests/loop/test_header_rules.py has libcryptsetup's
 * own word; here is how much is told, and what hostile texts cost. */
#include "luks2/metadata.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/findings.h"
#include "luks2/copy.h"
#include "finding_named.h"
#include "tap.h"

enum {
	COPY = 16384
};

#define SALT "\"QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=\""
#define BAD  COFFER_VERDICT_BAD
#define NOTE COFFER_VERDICT_NOTE
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
	struct coffer_metadata m = {.text = text,
		.text_size = strlen(text),
		.device_size = device_size,
		.device = "disk"};

	if (coffer_json_parse(text, strlen(text), &json) < 0)
		abort();
	m.json = json;
	return coffer_metadata_check(&m, l) == 0;
}

/* The worst verdict of @id's checks. */
static enum coffer_verdict worst(const struct coffer_findings *l, const char *id)
{
	enum coffer_verdict v = COFFER_VERDICT_OK;

	for (size_t i = 0; i < l->n; i++)
		if (strcmp(coffer_finding_name(l->items[i].id), id) == 0 && l->items[i].verdict > v)
			v = l->items[i].verdict;
	return v;
}

static void check_rows(void)
{
	static const struct {
		const char *name, *from, *to, *id;
		enum coffer_verdict verdict;
	} rows[] = {
		{"an area too small for its key", "\"258048\"", "\"253952\"", "keyslot", BAD},
		{"an area size that is not a number", "\"258048\"", "\"x\"", "keyslot", BAD},
		{"a key of no bytes", "\"key_size\":64,\"af\"", "\"key_size\":0,\"af\"", "keyslot",
			BAD},
		{"other stripes", "\"stripes\":4000", "\"stripes\":4001", "keyslot", BAD},
		{"an unknown kdf", "\"kdf\":{\"type\":\"pbkdf2\"", "\"kdf\":{\"type\":\"x\"",
			"keyslot", BAD},
		{"a short salt", "\"salt\":" SALT "}}}", "\"salt\":\"QUFB\"}}}", "keyslot", BAD},
		{"an unknown keyslot", "{\"type\":\"luks2\",", "{\"type\":\"luks9\",", "keyslot",
			NOTE},
		{"an unknown hash", "\"kdf\":{\"type\":\"pbkdf2\",\"hash\":\"sha256\"",
			"\"kdf\":{\"type\":\"pbkdf2\",\"hash\":\"sha2\"", "keyslot", NOTE},
		{"a digest that is too short", "\"digest\":" SALT, "\"digest\":\"QUFB\"", "digest",
			BAD},
		{"a digest without a hash", "[\"0\"],\"hash\":\"sha256\"", "[\"0\"],\"hash\":\"\"",
			"digest", BAD},
		{"a digest without iterations", "\"iterations\":1000,\"salt\":" SALT ",\"digest\"",
			"\"salt\":" SALT ",\"digest\"", "digest", BAD},
		{"a sector of 8192 bytes", "\"sector_size\":512", "\"sector_size\":8192", "segment",
			BAD},
		{"an unknown segment", "\"type\":\"crypt\"", "\"type\":\"zip\"", "segment", BAD},
		{"a segment beyond the device", "\"dynamic\"", "\"1024\"", "segment", BAD},
		{"a segment whose end is not a number", "\"dynamic\"", "\"18446744073709551615\"",
			"segment", BAD},
		{"an unknown requirement", "\"config\":{",
			"\"config\":{\"requirements\":{\"mandatory\":[\"x\"]},", "requirement",
			BAD},
		{"a known requirement", "\"config\":{",
			"\"config\":{\"requirements\":{\"mandatory\":[\"opal\"]},", "requirement",
			NOTE},
		{"a reencryption", "\"config\":{",
			"\"config\":{\"requirements\":{\"mandatory\":[\"online-reencrypt-v2\"]},",
			"reencryption", NOTE},
		{"a backup without reencryption", "\"iv_tweak\"",
			"\"flags\":[\"backup-final\"],\"iv_tweak\"", "reencryption", BAD},
		{"a member twice", "\"config\":{", "\"config\":{\"json_size\":\"1\",", "json", BAD},
	};
	const char *device = "the device has";

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_free_ char *text = exchanged(VOLUME, rows[i].from, rows[i].to);
		struct coffer_findings l = {0};

		ok(judge(text, &l, (16 << 20) + 512) && worst(&l, rows[i].id) == rows[i].verdict &&
				(rows[i].verdict == BAD ||
					coffer_findings_count(&l, COFFER_VERDICT_BAD) == 0),
			"%s", rows[i].name);
		for (size_t k = 0; k < l.n; k++)
			if (strstr(l.items[k].text, device) &&
				strcmp(coffer_finding_name(l.items[k].id), "segment") != 0)
				ok(false, "%s: a sentence about the device", rows[i].name);
		coffer_findings_free(&l);
	}
}

static void check_right(void)
{
	static const char *const ids[] = {
		"json", "requirement", "keyslot", "digest", "segment", "reencryption"};
	struct coffer_findings l = {0};

	ok(judge(VOLUME, &l, UINT64_C(1) << 40) && l.n == ARRAY_SIZE(ids), "right ones");
	for (size_t i = 0; i < ARRAY_SIZE(ids); i++)
		ok(finding_named(&l, ids[i]) && worst(&l, ids[i]) == COFFER_VERDICT_OK,
			"right ones: %s was looked at", ids[i]);
	coffer_findings_free(&l);
	ok(judge(VOLUME, &l, 0) && coffer_findings_count(&l, COFFER_VERDICT_BAD) == 0,
		"right ones, without the data");
	coffer_findings_free(&l);
	ok(judge(VOLUME, &l, 16 << 20) && worst(&l, "segment") == COFFER_VERDICT_BAD,
		"data that begin where the device ends");
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
		{"no keyslots", "keyslots", "1", 60000},
		{"reencryptions", "keyslots", "{\"type\":\"reencrypt\"}", 50000},
		{"digests", "digests", "{}", 50000},
		{"segments", "segments", "{\"offset\":\"-1\",\"size\":\"\"}", 50000},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct text t = {.size = 4 << 20};
		struct coffer_findings l = {0};
		bool judged;

		t.s = malloc(t.size);
		if (!t.s)
			abort();
		add(&t, "{\"config\":{},\"%s\":{", rows[i].section);
		for (unsigned int k = 0; k < rows[i].n; k++)
			add(&t, "%s\"%u\":%s", k ? "," : "", k, rows[i].object);
		add(&t, "}}");
		judged = judge(t.s, &l, 0);
		ok(judged && l.n > 0 && l.n < 100, "many %s: %zu checks", rows[i].name, l.n);
		coffer_findings_free(&l);
		free(t.s);
	}
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
		ok(coffer_metadata_header_size(json, COPY) == rows[i].header &&
				coffer_metadata_data_offset(json) == rows[i].data,
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

		for (int k = 0; k < 2; k++)
			look[k].bin.seqid = rows[i].seqid[k];
		ok(coffer_luks2_counts(look, rows[i].accepted) == rows[i].counts,
			"of %s %" PRIu64 " and %s %" PRIu64 " counts: %d",
			rows[i].accepted[0] ? "good" : "bad", rows[i].seqid[0],
			rows[i].accepted[1] ? "good" : "bad", rows[i].seqid[1], rows[i].counts);
	}
}

int main(void)
{
	check_right();
	check_rows();
	check_flood();
	check_sizes();
	check_counts();
	return done_testing();
}
