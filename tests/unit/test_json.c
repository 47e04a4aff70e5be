/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test_json.c - JSON: read strictly, and written */
#include "base/json.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tap.h"

static void check_parse(void)
{
	static const struct {
		const char *name, *text;
		int r;
	} rows[] = {
		{"empty object", "{}", 0},
		{"object", "{\"a\":[1,\"b\",{}]}", 0},
		{"the same key twice", "{\"a\":1,\"a\":2}", 0},
		{"nothing", "", -EBADMSG},
		{"array", "[]", -EBADMSG},
		{"string", "\"a\"", -EBADMSG},
		{"number", "1", -EBADMSG},
		{"null", "null", -EBADMSG},
		{"cut", "{\"a\":", -EBADMSG},
		{"not closed", "{\"a\":1", -EBADMSG},
		{"two objects", "{}{}", -EBADMSG},
		{"text behind", "{}x", -EBADMSG},
		{"comma behind", "{},", -EBADMSG},
		{"comma at the end", "{\"a\":1,}", -EBADMSG},
		{"comment", "{/* a */}", -EBADMSG},
		{"no quotes", "{a:1}", -EBADMSG},
		{"closed twice", "{}}", -EBADMSG},
	};
	struct json_object *o;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int r;

		o = NULL;
		r = coffer_json_parse(rows[i].text, strlen(rows[i].text), &o);
		ok(r == rows[i].r && (r == 0) == (o != NULL), "parse: %s", rows[i].name);
		coffer_json_free(o);
	}
	ok(coffer_json_parse("{}\0", 3, &o) == -EBADMSG, "parse: a NUL behind");
	ok(coffer_json_parse("{\"a\":\"b\0c\"}", 11, &o) == -EBADMSG, "parse: a raw NUL inside");
	ok(coffer_json_parse("{}garbage", 2, &o) == 0, "parse: looks at n bytes only");
	coffer_json_free(o);
}

static void check_depth(void)
{
	char text[4096];
	bool as_told = true;

	for (unsigned int depth = 1; depth < 200; depth++) {
		struct json_object *o = NULL;
		size_t n = 0;
		int r;

		for (unsigned int i = 1; i < depth; i++)
			n += (size_t)snprintf(text + n, sizeof(text) - n, "{\"a\":");
		n += (size_t)snprintf(text + n, sizeof(text) - n, "{}");
		for (unsigned int i = 1; i < depth; i++)
			text[n++] = '}';
		r = coffer_json_parse(text, n, &o);
		as_told &= depth < 32 ? r == 0 : depth > 32 ? r == -EBADMSG : true;
		coffer_json_free(o);
	}
	ok(as_told, "parse: nesting is limited to 32");
}

static void check_numbers(void)
{
	static const struct {
		const char *value; /* as JSON */
		int r32, r64;
		uint64_t v;
	} rows[] = {
		{"0", 0, -ENODATA, 0},
		{"4096", 0, -ENODATA, 4096},
		{"4294967295", 0, -ENODATA, UINT32_MAX},
		{"4294967296", -ENODATA, -ENODATA, 0},
		{"-1", -ENODATA, -ENODATA, 0},
		{"9223372036854775808", -ENODATA, -ENODATA, 0},
		{"18446744073709551615", -ENODATA, -ENODATA, 0},
		{"99999999999999999999999", -ENODATA, -ENODATA, 0},
		{"-99999999999999999999999", -ENODATA, -ENODATA, 0},
		{"1.0", -ENODATA, -ENODATA, 0},
		{"1e2", -ENODATA, -ENODATA, 0},
		{"true", -ENODATA, -ENODATA, 0},
		{"null", -ENODATA, -ENODATA, 0},
		{"[1]", -ENODATA, -ENODATA, 0},
		{"{}", -ENODATA, -ENODATA, 0},
		{"\"0\"", -ENODATA, 0, 0},
		{"\"4096\"", -ENODATA, 0, 4096},
		{"\"18446744073709551615\"", -ENODATA, 0, UINT64_MAX},
		{"\"18446744073709551616\"", -ENODATA, -ENODATA, 0},
		{"\"18446744073709551620\"", -ENODATA, -ENODATA, 0},
		{"\"99999999999999999999999\"", -ENODATA, -ENODATA, 0},
		{"\"\"", -ENODATA, -ENODATA, 0},
		{"\" 1\"", -ENODATA, -ENODATA, 0},
		{"\"1 \"", -ENODATA, -ENODATA, 0},
		{"\"+1\"", -ENODATA, -ENODATA, 0},
		{"\"-1\"", -ENODATA, -ENODATA, 0},
		{"\"0x10\"", -ENODATA, -ENODATA, 0},
		{"\"1.0\"", -ENODATA, -ENODATA, 0},
		{"\"dynamic\"", -ENODATA, -ENODATA, 0},
		{"\"1\\u0000\"", -ENODATA, -ENODATA, 0},
		{"\"\\u0031\"", -ENODATA, 0, 1},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_json_ struct json_object *o = NULL;
		char text[64];
		uint32_t v32 = 77;
		uint64_t v64 = 77;
		int r32, r64;

		(void)snprintf(text, sizeof(text), "{\"a\":%s}", rows[i].value);
		(void)coffer_json_parse(text, strlen(text), &o);
		r32 = coffer_json_u32(o, "a", &v32);
		r64 = coffer_json_u64s(o, "a", &v64);
		ok(o && r32 == rows[i].r32 && v32 == (r32 ? 77 : rows[i].v), "u32: %s",
			rows[i].value);
		ok(o && r64 == rows[i].r64 && v64 == (r64 ? 77 : rows[i].v), "u64s: %s",
			rows[i].value);
	}
}

static int count(const char *key, struct json_object *value, void *arg)
{
	unsigned int *n = arg;

	(void)value;
	++*n;
	return strcmp(key, "stop") == 0 ? 5 : 0;
}

static void check_getters(void)
{
	static const char text[] = "{\"s\":\"x\",\"nul\":\"x\\u0000y\",\"o\":{\"in\":1},"
				   "\"a\":[\"one\",2,\"three\"],\"null\":null,\"stop\":1,\"z\":1}";
	_cleanup_json_ struct json_object *o = NULL;
	struct json_object *a;
	unsigned int n = 0;
	uint32_t v;

	(void)coffer_json_parse(text, strlen(text), &o);
	a = coffer_json_array(o, "a");
	ok(coffer_json_string(o, "s") && strcmp(coffer_json_string(o, "s"), "x") == 0, "a string");
	ok(!coffer_json_string(o, "nul"), "a string with an embedded NUL is none");
	ok(!coffer_json_string(o, "o") && !coffer_json_string(o, "a") &&
			!coffer_json_string(o, "null") && !coffer_json_string(o, "missing"),
		"other things are not strings");
	ok(coffer_json_object(o, "o") && !coffer_json_object(o, "a") &&
			!coffer_json_object(o, "null") && !coffer_json_object(o, "missing"),
		"an object");
	ok(a && !coffer_json_array(o, "o"), "an array");
	ok(coffer_json_length(a) == 3 && coffer_json_length(coffer_json_object(o, "o")) == 1,
		"lengths");
	ok(strcmp(coffer_json_item_string(a, 2), "three") == 0 && !coffer_json_item_string(a, 1) &&
			!coffer_json_item_string(a, 3) && !coffer_json_item(a, 3) &&
			!coffer_json_item(o, 0),
		"items");
	ok(coffer_json_array_has(a, "one") && !coffer_json_array_has(a, "2") &&
			!coffer_json_array_has(o, "s"),
		"array has");
	ok(coffer_json_foreach(o, count, &n) == 5 && n == 6, "foreach stops at a result");
	n = 0;
	ok(coffer_json_foreach(a, count, &n) == 0 && n == 0, "foreach: an array has no members");
	ok(!coffer_json_object(NULL, "a") && !coffer_json_array(NULL, "a") &&
			!coffer_json_string(NULL, "a") &&
			coffer_json_u32(NULL, "a", &v) == -ENODATA &&
			coffer_json_length(NULL) == 0 && !coffer_json_item(NULL, 0) &&
			!coffer_json_array_has(NULL, "a") &&
			coffer_json_foreach(NULL, count, &n) == 0 &&
			!coffer_json_object(coffer_json_object(a, "x"), "y"),
		"NULL reads as not there");
	coffer_json_free(NULL);
}

static void check_builders(void)
{
	static const char want[] = "{\"s\":\"a/b\\\"\",\"b\":true,"
				   "\"u\":18446744073709551615,\"us\":\"18446744073709551615\","
				   "\"d\":0.333,\"o\":{},\"a\":[\"x\",\"y\"]}";
	_cleanup_json_ struct json_object *o = coffer_json_object_new();
	struct json_object *a = coffer_json_array_new();
	int r = 0;

	r |= coffer_json_put_string(o, "s", "a/b\"");
	r |= coffer_json_put_u64(o, "gone", 1);
	r |= coffer_json_put_bool(o, "b", true);
	r |= coffer_json_put_u64(o, "u", UINT64_MAX);
	r |= coffer_json_put_u64s(o, "us", 1);
	r |= coffer_json_put_u64s(o, "us", UINT64_MAX);
	r |= coffer_json_put_double(o, "d", 1.0 / 3);
	r |= coffer_json_put(o, "o", coffer_json_object_new());
	r |= coffer_json_put(o, "a", a);
	r |= coffer_json_append_string(a, "x");
	r |= coffer_json_append_string(a, "y");
	coffer_json_del(o, "gone");
	coffer_json_del(o, "never there");
	ok(r == 0 && strcmp(coffer_json_text(o), want) == 0, "build and print");
	note("%s", coffer_json_text(o));
	ok(coffer_json_put(o, "x", NULL) == -ENOMEM, "a value that could not be made");
}

/* json-c keeps the last of two members of one name, silently. */
static void check_duplicates(void)
{
	static const struct {
		const char *text;
		bool has;
	} rows[] = {
		{"{}", false},
		{"{\"a\":1,\"b\":2}", false},
		{"{\"a\":1,\"a\":2}", true},
		{"{\"a\":1,\"\\u0061\":2}", true},
		{"{\"a\":1,'a':2}", true},
		{"{\"\":1,\"\":2}", true},
		{"{\"a\":{\"a\":{\"a\":1}}}", false},
		{"{\"a\":[{\"b\":1},{\"b\":1}]}", false},
		{"{\"a\":[{\"b\":1,\"c\":[],\"b\":1}]}", true},
		{"{\"a\":{\"b\":1},\"c\":{\"b\":1},\"a\":1}", true},
		{"{\"a\":\"a\",\"b\":\"a\"}", false},
		{"{\"a\":\"\\\":{\",\"b\":\"}\"}", false},
		{"{\"a\" \n:\t1 ,\"b\":[\"a\",\"a\"],\"a\"\r:2}", true},
		{"{\"a\\\"\":1,\"a\\\"\":2}", true},
		{"{\"a\\u0000b\":1,\"a\\u0000c\":2}", true},
		{"{'\"':1,\"b\":2}", false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_json_ struct json_object *o = NULL;
		const size_t n = strlen(rows[i].text);

		ok(coffer_json_parse(rows[i].text, n, &o) == 0 &&
				coffer_json_has_duplicate(o, rows[i].text, n) == rows[i].has,
			"two members of one name: row %zu", i);
	}
}

int main(void)
{
	check_parse();
	check_depth();
	check_numbers();
	check_getters();
	check_builders();
	check_duplicates();
	return done_testing();
}
