/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* header_compare.c - have the metadata of two LUKS2 headers the same keys? */
#include "luks2/header_compare.h"

#include <stdio.h>
#include <string.h>

struct slot_name {
	char s[12];
};

static struct slot_name name_of(unsigned int slot)
{
	struct slot_name n;

	(void)snprintf(n.s, sizeof(n.s), "%u", slot);
	return n;
}

struct member {
	const char *list; /* "keyslots" or "segments" */
	const char *name;
	struct json_object *found;
};

static int find_member(const char *key, struct json_object *value, void *arg)
{
	struct member *m = arg;

	(void)key;
	if (coffer_json_array_has(coffer_json_array(value, m->list), m->name))
		m->found = value;
	return m->found != NULL;
}

struct json_object *coffer_keyslot_digest(
	struct json_object *json, const char *list, const char *name)
{
	struct member m = {.list = list, .name = name};

	(void)coffer_json_foreach(coffer_json_object(json, "digests"), find_member, &m);
	return m.found;
}

bool coffer_metadata_member_equal(struct json_object *a, struct json_object *b, const char *key)
{
	return coffer_json_equal(coffer_json_object(a, key), coffer_json_object(b, key));
}

static bool same_text(struct json_object *a, struct json_object *b, const char *key)
{
	const char *x = coffer_json_string(a, key), *y = coffer_json_string(b, key);

	return x && y && strcmp(x, y) == 0;
}

static bool same_number(struct json_object *a, struct json_object *b, const char *key)
{
	uint32_t x, y;

	return coffer_json_u32(a, key, &x) == 0 && coffer_json_u32(b, key, &y) == 0 && x == y;
}

bool coffer_digest_equal(struct json_object *a, struct json_object *b)
{
	return same_text(a, b, "type") && same_text(a, b, "hash") && same_text(a, b, "salt") &&
	       same_text(a, b, "digest") && same_number(a, b, "iterations");
}

bool coffer_keyslot_equal(struct json_object *a, struct json_object *b, unsigned int slot)
{
	const struct slot_name n = name_of(slot);
	struct json_object *x = coffer_json_object(coffer_json_object(a, "keyslots"), n.s);
	struct json_object *y = coffer_json_object(coffer_json_object(b, "keyslots"), n.s);
	struct json_object *area_x = coffer_json_object(x, "area");
	struct json_object *area_y = coffer_json_object(y, "area");

	if (!x || !y || !same_text(x, y, "type") || !same_number(x, y, "key_size") ||
		!coffer_digest_equal(coffer_keyslot_digest(a, "keyslots", n.s),
			coffer_keyslot_digest(b, "keyslots", n.s)))
		return false;
	return coffer_metadata_member_equal(x, y, "kdf") &&
	       coffer_metadata_member_equal(x, y, "af") && same_text(area_x, area_y, "type") &&
	       same_text(area_x, area_y, "size") &&
	       (!coffer_json_string(area_x, "encryption") ||
		       same_text(area_x, area_y, "encryption"));
}

bool coffer_metadata_has_keyslot(struct json_object *json, unsigned int slot)
{
	return coffer_json_object(coffer_json_object(json, "keyslots"), name_of(slot).s) != NULL;
}

uint32_t coffer_keyslot_priority(struct json_object *json, unsigned int slot)
{
	struct json_object *slots = coffer_json_object(json, "keyslots");
	uint32_t priority;

	return coffer_json_u32(coffer_json_object(slots, name_of(slot).s), "priority", &priority) ==
			       0
		       ? priority
		       : 1;
}
