/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* keyslots.h - which keys a LUKS2 header knows: keyslots, tokens, digests
 *
 * Read from the metadata and not through libcryptsetup, which would load the plugin of a token's
 * type to tell about it. Nothing is trusted: what makes no sense is left out or said to be odd.
 * Source: LUKS2 on-disk format 1.1, chapter 3. */
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
	uint32_t memory;       /* KiB that argon2 takes; 0: it is not argon2 */
	uint32_t iterations;   /* of pbkdf2; 0: it is not pbkdf2 */
	uint32_t key_size;     /* bytes */
	unsigned int priority; /* 0: used only when it is named; 1; 2: before the others */
	uint64_t offset;       /* of its area on the device */
	uint64_t material;     /* bytes of the area that hold the split key; 0: none */
	bool bound;	       /* its key is the volume's, by what the metadata say */
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

/* All that the metadata @json name. */
void coffer_keys_read(struct json_object *json, struct coffer_keys *ret);
