/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* keyslots.h - read and compare keyslots, tokens and digests of LUKS2 headers
 *
 * Not read through libcryptsetup, which would load token plugins. The metadata are not trusted:
 * invalid entries are left out. Source: LUKS2 on-disk format 1.1, chapter 3. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/json.h"

enum {
	COFFER_MAX_KEYSLOTS = 32,
	COFFER_MAX_TOKENS = 32,
	COFFER_MAX_DIGESTS = 8
};

struct coffer_keyslot {
	unsigned int number;
	char type[16];	       /* "luks2"; "reencrypt" holds no key */
	char kdf[16];	       /* "argon2id", "argon2i", "pbkdf2"; "": none */
	uint32_t memory;       /* KiB of argon2; 0: not argon2 */
	uint32_t iterations;   /* of pbkdf2; 0: not pbkdf2 */
	uint32_t key_size;     /* bytes */
	unsigned int priority; /* 0: only if named; 1: normal; 2: first */
	uint64_t offset;       /* of its area on the device */
	uint64_t material;     /* bytes of the area that hold the split key; 0: none */
	bool bound;	       /* its key is the volume key, by the metadata */
};

struct coffer_token {
	unsigned int number;
	char type[64];
	uint32_t keyslots; /* bit n: keyslot n */
};

struct coffer_key_digest {
	unsigned int number;
	uint32_t keyslots;
	size_t segments; /* how many it covers */
};

struct coffer_keys {
	struct coffer_keyslot slots[COFFER_MAX_KEYSLOTS];
	struct coffer_token tokens[COFFER_MAX_TOKENS];
	struct coffer_key_digest digests[COFFER_MAX_DIGESTS];
	size_t n_slots, n_tokens, n_digests; /* in the order of the metadata */
};

void coffer_keys_read(struct json_object *json, struct coffer_keys *ret);

/* Is the object @key the same in both, or in neither? */
bool coffer_metadata_member_equal(struct json_object *a, struct json_object *b, const char *key);

/* The one keyslot of type "reencrypt", and its name; NULL: none, or several. */
struct json_object *coffer_keyslot_reencrypt(struct json_object *json, const char **ret_name);
/* The segment with this flag that has the lowest number; NULL: none. */
struct json_object *coffer_segment_flagged(struct json_object *segments, const char *flag);

/* The digest with @name in its @list, "keyslots" or "segments"; NULL: not exactly one. */
struct json_object *coffer_keyslot_digest(
	struct json_object *json, const char *list, const char *name);
/* By salt and result: digests with the same salt and result are of the same key, or forged. */
bool coffer_digest_equal(struct json_object *a, struct json_object *b);

bool coffer_metadata_has_keyslot(struct json_object *json, unsigned int slot);
/* Is keyslot @slot the same in both, by salt, key derivation and digest? Its place does not count.
 * false if one of them does not have it. */
bool coffer_keyslot_equal(struct json_object *a, struct json_object *b, unsigned int slot);
/* 0: only if named; 1: normal; 2: first. */
uint32_t coffer_keyslot_priority(struct json_object *json, unsigned int slot);
