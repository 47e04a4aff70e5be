/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* json.h - the only door to json-c: typed getters that fail loudly, builders, compact text
 *
 * A value is borrowed from its parent; only what coffer_json_parse and the _new calls return
 * belongs to the caller, until it is put into another value. NULL values are accepted everywhere
 * and read as "not there", so chains of getters need one check at their end. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

struct json_object;

/* One JSON object of exactly @n bytes, nesting at most 32 deep. -EBADMSG when it is none. */
int coffer_json_parse(const char *text, size_t n, struct json_object **ret);
/* Does any object in @text, which coffer_json_parse took, have two members of one name? json-c
 * keeps the last of them, another reader may keep the first. 1, and the name cut to fit in @ret; 0;
 * -ENOMEM. */
int coffer_json_duplicate(const char *text, size_t n, char *ret, size_t size);
void coffer_json_free(struct json_object *o);
DEFINE_CLEANUP(struct json_object *, json, coffer_json_free);
#define _cleanup_json_ _cleanup_(cleanup_json)

struct json_object *coffer_json_object_new(void);
struct json_object *coffer_json_array_new(void);

/* Getters: NULL, or -ENODATA, when the key is missing or of another type. */
struct json_object *coffer_json_object(struct json_object *o, const char *key);
struct json_object *coffer_json_array(struct json_object *o, const char *key);
const char *coffer_json_string(struct json_object *o, const char *key);
int coffer_json_u32(struct json_object *o, const char *key, uint32_t *ret);
/* A u64 written as a string of decimal digits, as LUKS2 does. */
int coffer_json_u64s(struct json_object *o, const char *key, uint64_t *ret);

/* Is there a member @key, of whatever type, null too? Is it an integer of whatever size? */
bool coffer_json_has(struct json_object *o, const char *key);
bool coffer_json_is_int(struct json_object *o, const char *key);
bool coffer_json_is_object(struct json_object *o);

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

/* Do both say the same? In objects the order of the members does not count. Two that are not there
 * are equal. */
bool coffer_json_equal(struct json_object *a, struct json_object *b);

/* Builders; a value that is put in belongs to @o afterwards (and is freed on failure).
 * -ENOMEM on failure. */
int coffer_json_put(struct json_object *o, const char *key, struct json_object *value);
int coffer_json_put_string(struct json_object *o, const char *key, const char *value);
int coffer_json_put_int(struct json_object *o, const char *key, int value);
int coffer_json_put_bool(struct json_object *o, const char *key, bool value);
int coffer_json_put_u64(struct json_object *o, const char *key, uint64_t value);
int coffer_json_put_double(struct json_object *o, const char *key, double value);
int coffer_json_put_u64s(struct json_object *o, const char *key, uint64_t value);
int coffer_json_append_string(struct json_object *array, const char *value);
int coffer_json_append(struct json_object *array, struct json_object *value);
void coffer_json_del(struct json_object *o, const char *key);

/* Compact text, '/' not escaped; owned by @o and valid until its next change. NULL: no memory. */
const char *coffer_json_text(struct json_object *o);
