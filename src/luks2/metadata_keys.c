/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* metadata_keys.c - keyslots and their areas, tokens, digests */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/crypto.h"
#include "luks2/metadata.h"
#include "luks2/metadata_parts.h"

enum {
	STRIPES = 4000, /* cryptsetup splits and merges by this number, whatever the field says */
	SECTOR = 512,
	MIN_DIGEST = 20, /* of a key; SHA-1's, which is taken of any hash */
};

/* Are there few enough objects to look at each? */
static bool few_enough(
	const struct coffer_meta_at *at, struct json_object *objects, const char *what)
{
	const size_t n = coffer_json_length(objects);

	if (n <= COFFER_META_MAX)
		return true;
	coffer_meta_say(at, COFFER_META_REFUSED, "there are %zu %ss", n, what);
	return false;
}

/* --- keyslots --- */

/* Members beside those that the type has. cryptsetup mends that by itself while it reads. */
static void check_members(const struct coffer_meta_at *at, struct json_object *kdf, size_t n)
{
	if (coffer_json_length(kdf) > n)
		coffer_meta_say(at, COFFER_META_NOTE,
			"its kdf has members that do not belong there; cryptsetup passes them "
			"over");
}

static void check_kdf(const struct coffer_meta_at *at, struct json_object *slot)
{
	struct json_object *kdf = coffer_meta_object(at, slot, "kdf");
	const char *type, *salt, *hash;
	uint32_t n;

	if (!kdf)
		return;
	type = coffer_meta_text(at, kdf, "kdf.type");
	if (!type)
		return;
	if (strcmp(type, "pbkdf2") == 0) {
		hash = coffer_meta_text(at, kdf, "kdf.hash");
		if (hash)
			coffer_meta_hash(at, hash, "kdf.hash");
		(void)coffer_meta_count(at, kdf, "kdf.iterations", &n);
		check_members(at, kdf, 4);
	} else if (strcmp(type, "argon2i") == 0 || strcmp(type, "argon2id") == 0) {
		(void)coffer_meta_count(at, kdf, "kdf.time", &n);
		(void)coffer_meta_count(at, kdf, "kdf.memory", &n);
		(void)coffer_meta_count(at, kdf, "kdf.cpus", &n);
		check_members(at, kdf, 5);
	} else {
		coffer_meta_say(at, COFFER_META_WRONG,
			"its kdf is '%.32s', which is none of pbkdf2, argon2i and argon2id", type);
		return;
	}
	salt = coffer_meta_text(at, kdf, "kdf.salt");
	if (salt)
		coffer_meta_salt(at, salt, "kdf.salt");
}

static void check_af(const struct coffer_meta_at *at, struct json_object *slot)
{
	struct json_object *af = coffer_meta_object(at, slot, "af");
	const char *type, *hash;
	uint32_t stripes;

	if (!af)
		return;
	type = coffer_meta_text(at, af, "af.type");
	if (type && strcmp(type, "luks1") != 0)
		coffer_meta_say(at, COFFER_META_REFUSED, "af.type is '%.32s', not 'luks1'", type);
	hash = coffer_meta_text(at, af, "af.hash");
	if (hash)
		coffer_meta_hash(at, hash, "af.hash");
	if (coffer_meta_count(at, af, "af.stripes", &stripes) && stripes != STRIPES)
		coffer_meta_say(at, COFFER_META_WRONG,
			"af.stripes is %" PRIu32 ", but cryptsetup goes by %d", stripes, STRIPES);
}

/* The area of a keyslot that holds a key of @key_size bytes. */
static void check_key_area(
	const struct coffer_meta_at *at, struct json_object *slot, uint32_t key_size)
{
	struct json_object *area = coffer_json_object(slot, "area");
	const char *type = coffer_json_string(area, "type");
	const uint64_t material = ((uint64_t)key_size * STRIPES + SECTOR - 1) / SECTOR * SECTOR;
	uint64_t size;
	uint32_t n;

	if (type && *type && strcmp(type, "raw") != 0)
		coffer_meta_say(at, COFFER_META_REFUSED, "area.type is '%.32s', not 'raw'", type);
	(void)coffer_meta_text(at, area, "area.encryption");
	(void)coffer_meta_count(at, area, "area.key_size", &n);
	if (coffer_json_u64s(area, "size", &size) == 0 && size < material)
		coffer_meta_say(at, COFFER_META_WRONG,
			"its area has %" PRIu64 " bytes, but a key of %" PRIu32
			" bytes, split, takes %" PRIu64,
			size, key_size, material);
}

static void check_priority(const struct coffer_meta_at *at, struct json_object *slot)
{
	uint32_t n;

	if (coffer_json_has(slot, "priority") &&
		(coffer_json_u32(slot, "priority", &n) < 0 || n > 2))
		coffer_meta_say(at, COFFER_META_WRONG, "its priority is none of 0, 1 and 2");
}

static void check_luks2(const struct coffer_meta_at *at, struct json_object *slot, const char *name,
	bool size_known, uint32_t key_size)
{
	const unsigned int digests = coffer_meta_digests_of(at->run, "keyslots", name);

	check_kdf(at, slot);
	check_af(at, slot);
	if (coffer_json_object(slot, "area"))
		check_key_area(at, slot, key_size);
	check_priority(at, slot);
	if (size_known && key_size == 0)
		coffer_meta_say(at, COFFER_META_WRONG, "its key has no bytes");
	if (digests != 1)
		coffer_meta_say(at, COFFER_META_REFUSED,
			"%u digests are of its key, and there must be one", digests);
}

/* Every keyslot, of whatever type, has an area. */
static void take_area(const struct coffer_meta_at *slot_at, struct json_object *slot)
{
	struct coffer_meta_run *run = slot_at->run;
	struct coffer_meta_area area = {0};
	struct coffer_meta_at at = *slot_at;
	struct json_object *o;

	at.section = COFFER_META_AREA;
	o = coffer_meta_object(&at, slot, "area");
	if (!o)
		return;
	(void)coffer_meta_text(&at, o, "area.type");
	memcpy(area.who, at.who, sizeof(area.who));
	if (coffer_meta_u64(&at, o, "area.offset", &area.offset) &&
		coffer_meta_u64(&at, o, "area.size", &area.size))
		run->areas[run->n_areas++] = area;
}

static int check_keyslot(const char *name, struct json_object *slot, void *arg)
{
	struct coffer_meta_run *run = arg;
	const struct coffer_meta_at at = coffer_meta_at(run, COFFER_META_KEYSLOT, "keyslot", name);
	uint32_t key_size = 0;
	const char *type;
	bool known;

	(void)coffer_meta_number(&at, name, COFFER_META_NAMES);
	if (!coffer_json_is_object(slot)) {
		coffer_meta_say(&at, COFFER_META_REFUSED, "it is no object");
		return 0;
	}
	type = coffer_meta_text(&at, slot, "type");
	known = coffer_meta_u32(&at, slot, "key_size", &key_size);
	take_area(&at, slot);
	if (!type)
		return 0;
	if (strcmp(type, "luks2") == 0) {
		check_luks2(&at, slot, name, known, key_size);
	} else if (strcmp(type, "reencrypt") == 0) {
		run->n_reencrypt++;
		coffer_meta_check_reencrypt(&at, slot, name);
	} else {
		coffer_meta_say(&at, COFFER_META_NOTE,
			"its type is '%.32s', which cryptsetup does not open", type);
	}
	return 0;
}

void coffer_meta_check_keyslots(struct coffer_meta_run *run)
{
	const struct coffer_meta_at at = {.run = run, .section = COFFER_META_KEYSLOT};
	const struct coffer_meta_at reencryption = {
		.run = run, .section = COFFER_META_REENCRYPTION};

	if (!few_enough(&at, run->keyslots, "keyslot"))
		return;
	(void)coffer_json_foreach(run->keyslots, check_keyslot, run);
	if (run->requirements.version > 0 && run->n_reencrypt == 0)
		coffer_meta_say(&reencryption, COFFER_META_REFUSED,
			"a reencryption is required, but its keyslot is missing");
	if (run->n_reencrypt > 0 && run->requirements.candidates == 0)
		coffer_meta_say(&reencryption, COFFER_META_REFUSED,
			"there is a reencryption's keyslot, but nothing says that one is under "
			"way");
	if (run->n_reencrypt > 1)
		coffer_meta_say(&reencryption, COFFER_META_REFUSED,
			"there are %u keyslots of a reencryption, and one is the most",
			run->n_reencrypt);
}

/* --- areas --- */

static void check_overlap(const struct coffer_meta_at *at, const struct coffer_meta_area *a,
	const struct coffer_meta_area *b)
{
	if (a->offset < b->offset + b->size && b->offset < a->offset + a->size)
		coffer_meta_say(at, COFFER_META_REFUSED, "its area overlaps that of %s", b->who);
}

static bool check_place(const struct coffer_meta_at *at, const struct coffer_meta_area *a,
	uint64_t from, uint64_t to)
{
	uint64_t end;

	if (a->size == 0)
		coffer_meta_say(at, COFFER_META_REFUSED, "its area has no bytes");
	else if (a->offset < from)
		coffer_meta_say(at, COFFER_META_REFUSED,
			"its area begins at byte %" PRIu64
			", within the header copies, which end at byte %" PRIu64,
			a->offset, from);
	else if (!add_u64(a->offset, a->size, &end) || end > to)
		coffer_meta_say(at, COFFER_META_REFUSED,
			"its area, %" PRIu64 " bytes at byte %" PRIu64
			", ends behind the keyslots area, which ends at byte %" PRIu64,
			a->size, a->offset, to);
	else
		return true;
	return false;
}

void coffer_meta_check_areas(struct coffer_meta_run *run)
{
	const uint64_t from = 2 * run->m->copy_size, to = from + run->keyslots_size;

	if (!run->sizes_known)
		return; /* the finding about them is told */
	for (size_t i = 0; i < run->n_areas; i++) {
		const struct coffer_meta_area *a = &run->areas[i];
		struct coffer_meta_at at = {.run = run, .section = COFFER_META_AREA};

		memcpy(at.who, a->who, sizeof(at.who));
		if (!check_place(&at, a, from, to))
			continue;
		if (a->offset % SECTOR)
			coffer_meta_say(&at, COFFER_META_WRONG,
				"its area begins at byte %" PRIu64 ", which is no multiple of %d",
				a->offset, SECTOR);
		for (size_t k = 0; k < i; k++)
			if (run->areas[k].offset <= to && run->areas[k].size <= to)
				check_overlap(&at, a, &run->areas[k]);
	}
}

/* --- tokens --- */

static int check_token(const char *name, struct json_object *token, void *arg)
{
	struct coffer_meta_run *run = arg;
	const struct coffer_meta_at at = coffer_meta_at(run, COFFER_META_TOKEN, "token", name);
	const char *type, *key;

	(void)coffer_meta_number(&at, name, COFFER_META_NAMES);
	if (!coffer_json_is_object(token)) {
		coffer_meta_say(&at, COFFER_META_REFUSED, "it is no object");
		return 0;
	}
	type = coffer_meta_text(&at, token, "type");
	coffer_meta_names(&at, coffer_meta_array(&at, token, "keyslots"), run->keyslots, "keyslot");
	if (!type || strncmp(type, "luks2-", 6) != 0)
		return 0;
	if (strcmp(type, "luks2-keyring") != 0) {
		coffer_meta_say(&at, COFFER_META_NOTE,
			"its type is '%.64s', of those that cryptsetup keeps for itself", type);
		return 0;
	}
	key = coffer_json_string(token, "key_description");
	if (!key || !*key)
		coffer_meta_say(&at, COFFER_META_WRONG, "it names no key of the kernel's keyring");
	return 0;
}

void coffer_meta_check_tokens(struct coffer_meta_run *run)
{
	const struct coffer_meta_at at = {.run = run, .section = COFFER_META_TOKEN};

	if (few_enough(&at, run->tokens, "token"))
		(void)coffer_json_foreach(run->tokens, check_token, run);
}

/* --- digests --- */

static void check_value(const struct coffer_meta_at *at, const char *text, size_t hash_size)
{
	uint8_t value[COFFER_MAX_DIGEST_SIZE + 4];
	size_t n = 0;
	const int r = coffer_base64_decode(text, value, sizeof(value), &n);

	if (r == -EBADMSG)
		coffer_meta_say(at, COFFER_META_WRONG, "digest is no base64");
	else if (r < 0 || n < MIN_DIGEST || n > COFFER_MAX_DIGEST_SIZE ||
		 (hash_size > 0 && n != MIN_DIGEST && n != hash_size))
		coffer_meta_say(
			at, COFFER_META_WRONG, "digest has a length that its hash does not give");
}

/* What a key is confirmed with. libcryptsetup finds out only when a key is there. */
static void check_pbkdf2(const struct coffer_meta_at *at, struct json_object *digest)
{
	static const char *const texts[] = {"hash", "salt", "digest"};
	const char *hash = coffer_json_string(digest, "hash");
	uint32_t n;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		const char *text = coffer_json_string(digest, texts[i]);

		if (!text || !*text) {
			coffer_meta_say(
				at, COFFER_META_WRONG, "%s is missing, or no text", texts[i]);
			return;
		}
	}
	if (coffer_json_u32(digest, "iterations", &n) < 0 || n == 0)
		coffer_meta_say(at, COFFER_META_WRONG,
			"iterations is missing, or no number from 1 to 2^32 - 1");
	coffer_meta_hash(at, hash, "hash");
	coffer_meta_salt(at, coffer_json_string(digest, "salt"), "salt");
	check_value(at, coffer_json_string(digest, "digest"), coffer_digest_size(hash));
}

static int check_digest(const char *name, struct json_object *digest, void *arg)
{
	struct coffer_meta_run *run = arg;
	const struct coffer_meta_at at = coffer_meta_at(run, COFFER_META_DIGEST, "digest", name);
	struct json_object *keyslots, *segments;
	const char *type;

	(void)coffer_meta_number(&at, name, COFFER_META_DIGESTS);
	if (!coffer_json_is_object(digest)) {
		coffer_meta_say(&at, COFFER_META_REFUSED, "it is no object");
		return 0;
	}
	type = coffer_meta_text(&at, digest, "type");
	keyslots = coffer_meta_array(&at, digest, "keyslots");
	segments = coffer_meta_array(&at, digest, "segments");
	coffer_meta_names(&at, keyslots, run->keyslots, "keyslot");
	coffer_meta_names(&at, segments, run->segments, "segment");
	if (type && strcmp(type, "pbkdf2") != 0)
		coffer_meta_say(&at, COFFER_META_WRONG,
			"its type is '%.32s', and only pbkdf2 can be confirmed", type);
	else if (type)
		check_pbkdf2(&at, digest);
	if (keyslots && segments && coffer_json_length(keyslots) == 0 &&
		coffer_json_length(segments) == 0)
		coffer_meta_say(&at, COFFER_META_NOTE,
			"it belongs to no keyslot and no segment; cryptsetup drops it with its "
			"next "
			"change");
	return 0;
}

void coffer_meta_check_digests(struct coffer_meta_run *run)
{
	const struct coffer_meta_at at = {.run = run, .section = COFFER_META_DIGEST};

	if (few_enough(&at, run->digests, "digest"))
		(void)coffer_json_foreach(run->digests, check_digest, run);
}
