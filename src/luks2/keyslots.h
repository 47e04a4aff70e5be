/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* keyslots.h - keyslots, tokens and digests of a LUKS2 header
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
