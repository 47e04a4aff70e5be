/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* reencrypt_digest.h - the keyed digest that protects reencryption metadata
 *
 * PBKDF2 with a text as its password that is made of the volume key and of everything in the
 * metadata which does not change from step to step. Encryption only (no old key). Without it a
 * forged header could make a tool write to wrong offsets (CVE-2021-4122).
 * Source: LUKS2 on-disk format 1.1, and observation of cryptsetup 2.6. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "base/json.h"
#include "coffer/err.h"

/* Compare the digest of the reencryption keyslot in the metadata @json with what the keyslot and
 * the three backup segments give under @key. 0; -EKEYREJECTED: no match, or not exactly one digest;
 * -EBADMSG: something is missing; -EOPNOTSUPP: hash. */
int coffer_reencrypt_digest_verify(
	struct json_object *json, const uint8_t *key, size_t key_size, struct coffer_err *e);
