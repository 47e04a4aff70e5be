/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* json.h - json-c: strict parser, typed getters, builders, compact text
 *
 * A value belongs to its parent; only what coffer_json_parse and the _new calls return belongs to
 * the caller, until it is put into another value. A NULL value is accepted everywhere and has no
 * members, so a chain of getters needs one check at its end. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

struct json_object;

/* Parse one JSON object of exactly @n bytes and at most 32 levels. -EBADMSG, -ENOMEM. */
int coffer_json_parse(const char *text, size_t n, struct json_object **ret);
/* Does an object in @text, parsed to @o, have two members of one name? json-c keeps the last one,
 * other readers may keep the first. */
bool coffer_json_has_duplicate(struct json_object *o, const char *text, size_t n);
void coffer_json_free(struct json_object *o);
DEFINE_CLEANUP(struct json_object *, json, coffer_json_free);
#define _cleanup_json_ _cleanup_(cleanup_json)

struct json_object *coffer_json_object_new(void);
struct json_object *coffer_json_array_new(void);

/* Getters. NULL or -ENODATA: the member is missing or has another type. */
struct json_object *coffer_json_object(struct json_object *o, const char *key);
struct json_object *coffer_json_array(struct json_object *o, const char *key);
const char *coffer_json_string(struct json_object *o, const char *key);
int coffer_json_u32(struct json_object *o, const char *key, uint32_t *ret);
/* A string of decimal digits, as in LUKS2. */
int coffer_json_u64s(struct json_object *o, const char *key, uint64_t *ret);

/* Members, in the order of the text. */
size_t coffer_json_length(struct json_object *object_or_array);
struct json_object *coffer_json_item(struct json_object *array, size_t i);
const char *coffer_json_item_string(struct json_object *array, size_t i);
bool coffer_json_array_has(struct json_object *array, const char *string);
/* Member @i of an object and its key; NULL also for a value of null. */
struct json_object *coffer_json_member(struct json_object *object, size_t i, const char **ret_key);
/* Calls @each until it returns something but 0; returns that. */
int coffer_json_foreach(struct json_object *object,
	int (*each)(const char *key, struct json_object *value, void *arg), void *arg);

/* Are both equal? The order of members is irrelevant; NULL equals NULL. */
bool coffer_json_equal(struct json_object *a, struct json_object *b);

/* Builders. A value that is put into @o belongs to it, and is freed on failure. -ENOMEM. */
int coffer_json_put(struct json_object *o, const char *key, struct json_object *value);
int coffer_json_put_string(struct json_object *o, const char *key, const char *value);
int coffer_json_put_bool(struct json_object *o, const char *key, bool value);
int coffer_json_put_u64(struct json_object *o, const char *key, uint64_t value);
int coffer_json_put_double(struct json_object *o, const char *key, double value);
int coffer_json_put_u64s(struct json_object *o, const char *key, uint64_t value);
int coffer_json_append_string(struct json_object *array, const char *value);
int coffer_json_append(struct json_object *array, struct json_object *value);
void coffer_json_del(struct json_object *o, const char *key);

/* Compact text that belongs to @o and is valid until its next change. NULL: no memory. */
const char *coffer_json_text(struct json_object *o);
