/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* keyslots.c - read and compare keyslots, tokens and digests of LUKS2 headers */
#include "luks2/keyslots.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

/* Parse the name of an object as a number below @limit. */
static bool number_of(const char *name, unsigned int limit, unsigned int *ret)
{
	const size_t n = strspn(name, "0123456789");

	if (n == 0 || n > 2 || name[n])
		return false;
	*ret = (unsigned int)strtoul(name, NULL, 10);
	return *ret < limit;
}

static void copy_text(char *to, size_t size, const char *from)
{
	(void)snprintf(to, size, "%s", from ? from : "");
}

static uint32_t bits_of(struct json_object *names)
{
	uint32_t bits = 0;
	unsigned int n;

	for (size_t i = 0; i < coffer_json_length(names); i++) {
		const char *name = coffer_json_item_string(names, i);

		if (name && number_of(name, COFFER_MAX_KEYSLOTS, &n))
			bits |= UINT32_C(1) << n;
	}
	return bits;
}

static int add_digest(const char *name, struct json_object *value, void *arg)
{
	struct coffer_keys *k = arg;
	struct coffer_key_digest d = {0};

	if (k->n_digests == COFFER_MAX_DIGESTS || !number_of(name, 100, &d.number))
		return 0;
	d.keyslots = bits_of(coffer_json_array(value, "keyslots"));
	d.segments = coffer_json_length(coffer_json_array(value, "segments"));
	k->digests[k->n_digests++] = d;
	return 0;
}

static int add_token(const char *name, struct json_object *value, void *arg)
{
	struct coffer_keys *k = arg;
	struct coffer_token t = {0};

	if (k->n_tokens == COFFER_MAX_TOKENS || !number_of(name, COFFER_MAX_TOKENS, &t.number))
		return 0;
	copy_text(t.type, sizeof(t.type), coffer_json_string(value, "type"));
	t.keyslots = bits_of(coffer_json_array(value, "keyslots"));
	k->tokens[k->n_tokens++] = t;
	return 0;
}

static bool is_bound(const struct coffer_keys *k, unsigned int slot)
{
	for (size_t i = 0; i < k->n_digests; i++)
		if (k->digests[i].segments > 0 && (k->digests[i].keyslots >> slot & 1))
			return true;
	return false;
}

static int add_slot(const char *name, struct json_object *value, void *arg)
{
	struct json_object *area = coffer_json_object(value, "area");
	struct json_object *af = coffer_json_object(value, "af");
	struct json_object *kdf = coffer_json_object(value, "kdf");
	struct coffer_keys *k = arg;
	struct coffer_keyslot s = {.priority = 1};
	uint64_t size = 0;
	uint32_t stripes = 0;

	if (k->n_slots == COFFER_MAX_KEYSLOTS || !number_of(name, COFFER_MAX_KEYSLOTS, &s.number))
		return 0;
	copy_text(s.type, sizeof(s.type), coffer_json_string(value, "type"));
	copy_text(s.kdf, sizeof(s.kdf), coffer_json_string(kdf, "type"));
	(void)coffer_json_u32(kdf, "memory", &s.memory);
	(void)coffer_json_u32(kdf, "iterations", &s.iterations);
	(void)coffer_json_u32(value, "key_size", &s.key_size);
	(void)coffer_json_u32(value, "priority", &s.priority);
	s.bound = is_bound(k, s.number);
	if (coffer_json_u64s(area, "offset", &s.offset) == 0 &&
		coffer_json_u64s(area, "size", &size) == 0 &&
		coffer_json_u32(af, "stripes", &stripes) == 0)
		s.material = min_u64((uint64_t)s.key_size * stripes, size);
	k->slots[k->n_slots++] = s;
	return 0;
}

void coffer_keys_read(struct json_object *json, struct coffer_keys *ret)
{
	*ret = (struct coffer_keys){0};
	(void)coffer_json_foreach(coffer_json_object(json, "digests"), add_digest, ret);
	(void)coffer_json_foreach(coffer_json_object(json, "keyslots"), add_slot, ret);
	(void)coffer_json_foreach(coffer_json_object(json, "tokens"), add_token, ret);
}

struct json_object *coffer_keyslot_reencrypt(struct json_object *json, const char **ret_name)
{
	struct json_object *keyslots = coffer_json_object(json, "keyslots"), *found = NULL;
	const char *name;

	for (size_t i = 0; i < coffer_json_length(keyslots); i++) {
		struct json_object *slot = coffer_json_member(keyslots, i, &name);
		const char *type = coffer_json_string(slot, "type");

		if (!type || strcmp(type, "reencrypt") != 0)
			continue;
		if (found)
			return NULL;
		found = slot;
		*ret_name = name;
	}
	return found;
}

struct json_object *coffer_segment_flagged(struct json_object *segments, const char *flag)
{
	for (size_t i = 0; i < coffer_json_length(segments); i++) {
		struct json_object *segment;
		char name[24];

		(void)snprintf(name, sizeof(name), "%zu", i);
		segment = coffer_json_object(segments, name);
		if (coffer_json_array_has(coffer_json_array(segment, "flags"), flag))
			return segment;
	}
	return NULL;
}

/* --- compare --- */

struct slot_name {
	char s[12];
};

static struct slot_name name_of(unsigned int slot)
{
	struct slot_name n;

	(void)snprintf(n.s, sizeof(n.s), "%u", slot);
	return n;
}

struct search {
	const char *list; /* "keyslots" or "segments" */
	const char *name;
	struct json_object *found;
	unsigned int n;
};

static int find_digest(const char *key, struct json_object *digest, void *arg)
{
	struct search *s = arg;

	(void)key;
	if (coffer_json_array_has(coffer_json_array(digest, s->list), s->name)) {
		s->found = digest;
		s->n++;
	}
	return 0;
}

struct json_object *coffer_keyslot_digest(
	struct json_object *json, const char *list, const char *name)
{
	struct search s = {.list = list, .name = name};

	(void)coffer_json_foreach(coffer_json_object(json, "digests"), find_digest, &s);
	return s.n == 1 ? s.found : NULL;
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
