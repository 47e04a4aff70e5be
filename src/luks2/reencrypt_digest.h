/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* reencrypt_digest.h - the keyed digest that protects reencryption metadata
 *
 * PBKDF2; the password is made of the volume key and of all metadata that do not change from step
 * to step. Encryption only (no old key).
 * Source: LUKS2 on-disk format 1.1, and observation of cryptsetup 2.6. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "base/json.h"
#include "coffer/err.h"

/* Verify the digest of the reencryption keyslot and the three backup segments in @json with @key.
 * 0; -EKEYREJECTED: no match, or not exactly one digest; -EBADMSG: something is missing;
 * -EOPNOTSUPP: unknown hash. */
int coffer_reencrypt_digest_verify(
	struct json_object *json, const uint8_t *key, size_t key_size, struct coffer_err *e);
