/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* header_compare.h - have the metadata of two LUKS2 headers the same keys? */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/json.h"

/* Have both objects the same object @key, or neither one? */
bool coffer_metadata_member_equal(struct json_object *a, struct json_object *b, const char *key);

/* The digest that has @name in its @list, which is "keyslots" or "segments"; NULL: none. */
struct json_object *coffer_keyslot_digest(
	struct json_object *json, const char *list, const char *name);
/* By salt and result: two digests with one salt are of one key, or somebody forged them. */
bool coffer_digest_equal(struct json_object *a, struct json_object *b);

bool coffer_metadata_has_keyslot(struct json_object *json, unsigned int slot);
/* Is keyslot @slot the same key in both, by salt, key derivation and digest? Where it lies does not
 * count. false also where one does not have it. */
bool coffer_keyslot_equal(struct json_object *a, struct json_object *b, unsigned int slot);
/* 0: only on request, 1: as a rule, 2: first. */
uint32_t coffer_keyslot_priority(struct json_object *json, unsigned int slot);
