/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* reencrypt_digest.c - the keyed digest that protects reencryption metadata */
#include "luks2/reencrypt_digest.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/crypto.h"
#include "base/err.h"
#include "base/secret.h"
#include "luks2/keyslots.h"

enum {
	MAX_BLOB = 2048,
	MAX_TEXT = 64,
	SALT_SIZE = 32,
	MIN_DIGEST = 20,
	MAX_DIGEST = 64
};

/* The password under construction; one missing or overlong part makes it bad. */
struct blob {
	struct coffer_secret *s;
	size_t n;
	bool bad;
};

static void put(struct blob *b, const void *p, size_t n)
{
	if (n > b->s->capacity - b->n) {
		b->bad = true;
		return;
	}
	memcpy(b->s->data + b->n, p, n);
	b->n += n;
}

static void put_text(struct blob *b, struct json_object *o, const char *key)
{
	const char *s = coffer_json_string(o, key);

	if (!s || strlen(s) > MAX_TEXT) {
		b->bad = true;
		return;
	}
	put(b, s, strlen(s));
}

static void put_number(struct blob *b, struct json_object *o, const char *key)
{
	uint8_t raw[8];
	uint64_t v = 0;

	if (coffer_json_u64s(o, key, &v) < 0)
		b->bad = true;
	put_be64(raw, v);
	put(b, raw, sizeof(raw));
}

static void put_segment(struct blob *b, struct json_object *s)
{
	const char *size = coffer_json_string(s, "size");
	const char *type = coffer_json_string(s, "type");
	uint32_t sector_size = 0;
	uint8_t raw[4];

	put_text(b, s, "type");
	put_number(b, s, "offset");
	if (size && strcmp(size, "dynamic") == 0)
		put(b, size, strlen(size));
	else
		put_number(b, s, "size");
	if (!type || strcmp(type, "crypt") != 0)
		return;
	put_number(b, s, "iv_tweak");
	put_text(b, s, "encryption");
	if (coffer_json_u32(s, "sector_size", &sector_size) < 0)
		b->bad = true;
	put_be32(raw, sector_size);
	put(b, raw, sizeof(raw));
}

int coffer_reencrypt_digest_verify(
	struct json_object *json, const uint8_t *key, size_t key_size, struct coffer_err *e)
{
	struct json_object *segments = coffer_json_object(json, "segments"), *area, *digest, *slot;
	const char *hash, *name;
	_cleanup_secret_ struct coffer_secret *s = NULL;
	uint8_t salt[SALT_SIZE + 3], want[MAX_DIGEST + 3], have[MAX_DIGEST];
	size_t salt_size, want_size;
	uint32_t iterations;
	struct blob b = {0};
	int r;

	slot = coffer_keyslot_reencrypt(json, &name);
	digest = slot ? coffer_keyslot_digest(json, "keyslots", name) : NULL;
	if (!digest)
		return coffer_err_set(e, EKEYREJECTED,
			"the reencryption metadata has no digest; run 'cryptsetup repair' first");
	r = coffer_secret_new(MAX_BLOB, &s, e);
	if (r < 0)
		return r;
	b.s = s;
	hash = coffer_json_string(digest, "hash");
	area = coffer_json_object(slot, "area");
	put(&b, "v2", 2);
	put(&b, key, key_size);
	put_text(&b, slot, "mode");
	put_text(&b, slot, "direction");
	put_text(&b, area, "type");
	put_number(&b, area, "offset");
	put_number(&b, area, "size");
	put_number(&b, area, "shift_size");
	/* The very segments that the conversion uses. */
	put_segment(&b, coffer_segment_flagged(segments, "backup-previous"));
	put_segment(&b, coffer_segment_flagged(segments, "backup-final"));
	put_segment(&b, coffer_segment_flagged(segments, "backup-moved-segment"));

	if (b.bad || !hash || coffer_json_u32(digest, "iterations", &iterations) < 0 ||
		iterations == 0 ||
		coffer_base64_decode(
			coffer_json_string(digest, "salt"), salt, sizeof(salt), &salt_size) < 0 ||
		salt_size != SALT_SIZE ||
		coffer_base64_decode(
			coffer_json_string(digest, "digest"), want, sizeof(want), &want_size) < 0 ||
		want_size < MIN_DIGEST || want_size > MAX_DIGEST)
		return coffer_err_set(e, EBADMSG,
			"the reencryption metadata or its digest is invalid or not supported; "
			"try 'cryptsetup reencrypt --resume-only'");
	r = coffer_pbkdf2(hash, s->data, b.n, salt, salt_size, iterations, have, want_size);
	if (r < 0)
		return coffer_err_set(e, -r,
			"libcrypto cannot compute the digest '%s' of the reencryption metadata; "
			"try 'cryptsetup reencrypt --resume-only'",
			hash);
	if (!coffer_equal_secret(have, want, want_size))
		return coffer_err_set(e, EKEYREJECTED,
			"the reencryption metadata does not match its digest: another program "
			"changed it");
	return 0;
}
