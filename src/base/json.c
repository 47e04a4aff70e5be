/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* json.c - json-c: strict parser, typed getters, builders, compact text */
#include "base/json.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

enum {
	DEPTH = 32 /* of objects and arrays in each other */
};

int coffer_json_parse(const char *text, size_t n, struct json_object **ret)
{
	struct json_tokener *tok;
	struct json_object *o;
	bool complete, no_memory;

	if (n == 0 || n > INT_MAX)
		return -EBADMSG;
	tok = json_tokener_new_ex(DEPTH);
	if (!tok)
		return -ENOMEM;
	json_tokener_set_flags(tok, JSON_TOKENER_STRICT);
	errno = 0;
	o = json_tokener_parse_ex(tok, text, (int)n);
	/* json-c has no error of its own for this. */
	no_memory = errno == ENOMEM;
	complete = json_tokener_get_error(tok) == json_tokener_success &&
		   json_tokener_get_parse_end(tok) == n;
	json_tokener_free(tok);
	if (no_memory || !complete || !json_object_is_type(o, json_type_object)) {
		json_object_put(o);
		return no_memory ? -ENOMEM : -EBADMSG;
	}
	*ret = o;
	return 0;
}

/* The end of the string that begins at @text[i]. */
static size_t string_end(const char *text, size_t n, size_t i)
{
	const char quote = text[i];

	for (i++; i < n && text[i] != quote; i++)
		i += text[i] == '\\';
	return i < n ? i + 1 : n;
}

static size_t count_members(struct json_object *o)
{
	size_t n = 0;

	if (json_object_is_type(o, json_type_object)) {
		json_object_object_foreach(o, key, value)
		{
			(void)key;
			n += 1 + count_members(value);
		}
	}
	for (size_t i = 0; json_object_is_type(o, json_type_array) && i < coffer_json_length(o);
		i++)
		n += count_members(coffer_json_item(o, i));
	return n;
}

bool coffer_json_has_duplicate(struct json_object *o, const char *text, size_t n)
{
	size_t names = 0;

	for (size_t i = 0, end; i < n; i = end) {
		end = i + 1;
		if (text[i] != '"' && text[i] != '\'') /* json-c accepts both */
			continue;
		end = string_end(text, n, i);
		while (end < n && strchr(" \t\r\n", text[end]))
			end++;
		names += end < n && text[end] == ':';
	}
	return names != count_members(o);
}

void coffer_json_free(struct json_object *o)
{
	(void)json_object_put(o);
}

struct json_object *coffer_json_object_new(void)
{
	return json_object_new_object();
}

struct json_object *coffer_json_array_new(void)
{
	return json_object_new_array();
}

static struct json_object *get(struct json_object *o, const char *key, json_type type)
{
	struct json_object *v;

	if (!json_object_is_type(o, json_type_object) || !json_object_object_get_ex(o, key, &v) ||
		!json_object_is_type(v, type))
		return NULL;
	return v;
}

struct json_object *coffer_json_object(struct json_object *o, const char *key)
{
	return get(o, key, json_type_object);
}

struct json_object *coffer_json_array(struct json_object *o, const char *key)
{
	return get(o, key, json_type_array);
}

const char *coffer_json_string(struct json_object *o, const char *key)
{
	struct json_object *v = get(o, key, json_type_string);

	/* A string with a NUL in it would be compared in part only. */
	if (!v || strlen(json_object_get_string(v)) != (size_t)json_object_get_string_len(v))
		return NULL;
	return json_object_get_string(v);
}

int coffer_json_u32(struct json_object *o, const char *key, uint32_t *ret)
{
	struct json_object *v = get(o, key, json_type_int);
	int64_t n;

	if (!v)
		return -ENODATA;
	n = json_object_get_int64(v);
	if (n < 0 || n > UINT32_MAX)
		return -ENODATA;
	*ret = (uint32_t)n;
	return 0;
}

int coffer_json_u64s(struct json_object *o, const char *key, uint64_t *ret)
{
	const char *s = coffer_json_string(o, key);
	uint64_t v;

	if (!s || !*s || s[strspn(s, "0123456789")])
		return -ENODATA;
	errno = 0;
	v = strtoull(s, NULL, 10);
	if (errno != 0)
		return -ENODATA;
	*ret = v;
	return 0;
}

size_t coffer_json_length(struct json_object *o)
{
	if (json_object_is_type(o, json_type_array))
		return json_object_array_length(o);
	if (json_object_is_type(o, json_type_object))
		return (size_t)json_object_object_length(o);
	return 0;
}

struct json_object *coffer_json_item(struct json_object *array, size_t i)
{
	if (i >= coffer_json_length(array) || !json_object_is_type(array, json_type_array))
		return NULL;
	return json_object_array_get_idx(array, i);
}

const char *coffer_json_item_string(struct json_object *array, size_t i)
{
	struct json_object *v = coffer_json_item(array, i);

	return json_object_is_type(v, json_type_string) ? json_object_get_string(v) : NULL;
}

bool coffer_json_array_has(struct json_object *array, const char *string)
{
	for (size_t i = 0; i < coffer_json_length(array); i++) {
		const char *s = coffer_json_item_string(array, i);

		if (s && strcmp(s, string) == 0)
			return true;
	}
	return false;
}

struct json_object *coffer_json_member(struct json_object *object, size_t i, const char **ret_key)
{
	if (!json_object_is_type(object, json_type_object))
		return NULL;
	json_object_object_foreach(object, key, value)
	{
		*ret_key = key;
		if (i-- == 0)
			return value;
	}
	return NULL;
}

int coffer_json_foreach(struct json_object *object,
	int (*each)(const char *key, struct json_object *value, void *arg), void *arg)
{
	int r = 0;

	if (!json_object_is_type(object, json_type_object))
		return 0;
	json_object_object_foreach(object, key, value)
	{
		r = each(key, value, arg);
		if (r != 0)
			break;
	}
	return r;
}

bool coffer_json_equal(struct json_object *a, struct json_object *b)
{
	return json_object_equal(a, b) != 0;
}

int coffer_json_put(struct json_object *o, const char *key, struct json_object *value)
{
	if (!value)
		return -ENOMEM;
	if (json_object_object_add(o, key, value) < 0) {
		json_object_put(value);
		return -ENOMEM;
	}
	return 0;
}

int coffer_json_put_string(struct json_object *o, const char *key, const char *value)
{
	return coffer_json_put(o, key, json_object_new_string(value));
}

int coffer_json_put_bool(struct json_object *o, const char *key, bool value)
{
	return coffer_json_put(o, key, json_object_new_boolean(value));
}

int coffer_json_put_u64(struct json_object *o, const char *key, uint64_t value)
{
	return coffer_json_put(o, key, json_object_new_uint64(value));
}

int coffer_json_put_double(struct json_object *o, const char *key, double value)
{
	char text[32];

	(void)snprintf(text, sizeof(text), "%.3f", value);
	return coffer_json_put(o, key, json_object_new_double_s(value, text));
}

int coffer_json_put_u64s(struct json_object *o, const char *key, uint64_t value)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%" PRIu64, value);
	return coffer_json_put_string(o, key, text);
}

int coffer_json_append_string(struct json_object *array, const char *value)
{
	struct json_object *s = json_object_new_string(value);

	return s ? coffer_json_append(array, s) : -ENOMEM;
}

int coffer_json_append(struct json_object *array, struct json_object *value)
{
	if (json_object_array_add(array, value) < 0) {
		json_object_put(value);
		return -ENOMEM;
	}
	return 0;
}

void coffer_json_del(struct json_object *o, const char *key)
{
	json_object_object_del(o, key);
}

const char *coffer_json_text(struct json_object *o)
{
	const int flags = JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE;
	const char *text;

	errno = 0;
	text = json_object_to_json_string_ext(o, flags);
	/* If its buffer cannot grow, json-c leaves a part out and reports nothing. */
	return errno == ENOMEM ? NULL : text;
}
