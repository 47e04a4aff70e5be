/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* verify_keys.c - every key that can be confirmed */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/findings.h"
#include "convert/session.h"
#include "luks2/helper.h"
#include "luks2/locks.h"
#include "report/verify.h"

/* --- keyslots --- */

/* "0 (argon2id, 512 bits)" */
static struct coffer_argument slot_name(const struct coffer_keyslot *slot)
{
	char text[96];

	(void)snprintf(text, sizeof(text), "%u (%s%s%" PRIu64 " bits%s%s)", slot->number, slot->kdf,
		slot->kdf[0] ? ", " : "", (uint64_t)slot->key_size * 8,
		slot->bound ? "" : ", not for the volume key",
		slot->priority == 0 ? ", used only on request" : "");
	return COFFER_ARG_TEXT("keyslot", text);
}

/* A keyslot whose area was overwritten with bytes that are not random opens with no key.
 * *ret_sound: there is no sign of that. */
static int check_area(struct coffer_verifier *s, const struct coffer_keyslot *slot, bool *ret_sound)
{
	uint8_t sector[COFFER_SECTOR];
	uint64_t bad = 0, first = 0;
	char number[16];

	for (uint64_t at = 0; at + sizeof(sector) <= slot->material; at += sizeof(sector)) {
		if (pread(s->header, sector, sizeof(sector), (off_t)(slot->offset + at)) !=
			(ssize_t)sizeof(sector))
			break; /* impossible sizes, which libcryptsetup does not accept either */
		if (!coffer_looks_random(sector, sizeof(sector)) && bad++ == 0)
			first = slot->offset + at;
	}
	*ret_sound = bad == 0;
	if (bad == 0)
		return 0;
	(void)snprintf(number, sizeof(number), "%u", slot->number);
	return coffer_findings_add(&s->checks, COFFER_TEXT_KEYSLOT_OVERWRITTEN,
		COFFER_WITH(slot_name(slot), COFFER_ARG_NUMBER("sectors", bad),
			COFFER_ARG_NUMBER("offset", first)),
		COFFER_RUN("cryptsetup", "luksKillSlot", s->dev->name, number));
}

/* Take over the key of a keyslot as the volume key. False: it differs from that of the keyslots
 * before. */
static bool take_key(
	struct coffer_verifier *s, const struct coffer_keyslot *slot, struct coffer_secret **key)
{
	/* While cryptsetup changes the volume key there are two. */
	if (!slot || !slot->bound || s->disk.facts.kind == COFFER_LUKS2_OTHER)
		return true;
	if (s->key)
		return s->key->size == (*key)->size &&
		       coffer_equal_secret(s->key->data, (*key)->data, s->key->size);
	s->key = TAKE_PTR(*key);
	return true;
}

static int try_slot(struct coffer_verifier *s, const struct coffer_keyslot *slot,
	size_t *ret_opened, struct coffer_err *e)
{
	_cleanup_secret_ struct coffer_secret *key = NULL;
	_cleanup_lock_ struct coffer_lock *lock = NULL;
	enum coffer_text t = COFFER_TEXT_KEYSLOT_OPENS;
	struct coffer_err why = {0};
	int r = 0;

	if (!s->passphrase)
		return coffer_findings_add(
			&s->checks, COFFER_TEXT_KEYSLOT_NO_KEY, COFFER_WITH(slot_name(slot)), NULL);
	if (s->o->serialize_memory_hard_pbkdf)
		r = coffer_lock_memory_hard(s->dev, &lock, &why);
	if (r == 0)
		r = coffer_luks2_open_slot(
			s->header, slot->number, s->passphrase, &s->stop, &key, &why);
	coffer_lock_free(TAKE_PTR(lock));
	if (r == -EINTR)
		return coffer_verify_stopped(s, e);
	if (r == 0)
		(*ret_opened)++;
	if (r == -EPERM)
		t = COFFER_TEXT_KEYSLOT_CLOSED;
	else if (r < 0)
		t = COFFER_TEXT_KEYSLOT_UNTRIED;
	else if (!take_key(s, slot, &key))
		t = COFFER_TEXT_KEYSLOT_OTHER_KEY;
	return coffer_findings_add(&s->checks, t,
		COFFER_WITH(slot_name(slot), COFFER_ARG_TEXT("reason", why.msg)), NULL);
}

static int check_slots(struct coffer_verifier *s, struct coffer_err *e)
{
	const size_t unchecked = coffer_findings_count(&s->checks, COFFER_VERDICT_UNCHECKED);
	size_t slots = 0, opened = 0;
	size_t untried;

	for (size_t i = 0; i < s->keys.n_slots; i++) {
		const struct coffer_keyslot *slot = &s->keys.slots[i];
		bool sound;
		int r;

		if (strcmp(slot->type, "luks2") != 0)
			continue; /* that of a reencryption holds no key */
		slots++;
		r = check_area(s, slot, &sound);
		if (r == 0 && sound)
			r = try_slot(s, slot, &opened, e);
		/* A signal does not end the wait for the lock of key derivations. */
		if (r == 0)
			r = coffer_verify_stopped(s, e);
		if (r < 0)
			return r;
	}
	if (slots == 0)
		return coffer_findings_add(&s->checks, COFFER_TEXT_KEYSLOTS_NONE, NULL, NULL);
	if (opened > 0 || !s->passphrase)
		return 0;
	untried = coffer_findings_count(&s->checks, COFFER_VERDICT_UNCHECKED) - unchecked;
	if (untried == slots)
		return 0;
	return coffer_findings_add(&s->checks, COFFER_TEXT_KEYSLOTS_CLOSED,
		COFFER_WITH(COFFER_ARG_TEXT("tried", untried ? "that could be tried" : "")), NULL);
}

/* Could libcryptsetup be asked? If not, its helper says so, or has ended. */
static bool was_asked(int r)
{
	return r != -ECOMM && r != -EIO && r != -ENOMEM;
}

/* --- tokens --- */

static const struct coffer_keyslot *find_slot(const struct coffer_keys *k, unsigned int number)
{
	for (size_t i = 0; i < k->n_slots; i++)
		if (k->slots[i].number == number)
			return &k->slots[i];
	return NULL;
}

static int check_token(
	struct coffer_verifier *s, const struct coffer_token *token, struct coffer_err *e)
{
	_cleanup_secret_ struct coffer_secret *key = NULL;
	enum coffer_text t = COFFER_TEXT_TOKEN_OPENS;
	struct coffer_err why = {0};
	char name[96];
	int r = 0;

	(void)snprintf(name, sizeof(name), "%u (%s)", token->number, token->type);
	if (!token->keyslots) {
		t = COFFER_TEXT_TOKEN_UNBOUND;
	} else if (!s->o->use_tokens) {
		t = COFFER_TEXT_TOKEN_NOT_ASKED;
	} else {
		r = coffer_luks2_open_token(s->header, token->number, &s->stop, &key, &why);
		if (r == -EINTR)
			return coffer_verify_stopped(s, e);
		if (r < 0)
			t = r == -ENOENT   ? COFFER_TEXT_TOKEN_NO_HANDLER
			    : r == -ENOANO ? COFFER_TEXT_TOKEN_PIN
			    : was_asked(r) ? COFFER_TEXT_TOKEN_CLOSED
					   : COFFER_TEXT_TOKEN_UNTRIED;
		else if (!take_key(s, find_slot(&s->keys, (unsigned int)r), &key))
			t = COFFER_TEXT_TOKEN_OTHER_KEY;
	}
	return coffer_findings_add(&s->checks, t,
		COFFER_WITH(COFFER_ARG_TEXT("token", name),
			COFFER_ARG_NUMBER("keyslot", r > 0 ? (uint64_t)r : 0),
			COFFER_ARG_TEXT("reason", why.msg)),
		NULL);
}

/* --- digests --- */

static bool is_of_reencryption(const struct coffer_keys *k, const struct coffer_key_digest *d)
{
	for (size_t i = 0; i < k->n_slots; i++)
		if (strcmp(k->slots[i].type, "reencrypt") == 0 &&
			(d->keyslots >> k->slots[i].number & 1))
			return true;
	return false;
}

static int check_digest(
	struct coffer_verifier *s, const struct coffer_key_digest *d, struct coffer_err *e)
{
	const bool reencryption = is_of_reencryption(&s->keys, d);
	enum coffer_text t = COFFER_TEXT_DIGEST;
	struct coffer_err why = {0};
	int r;

	if (!reencryption && d->segments == 0) {
		t = COFFER_TEXT_DIGEST_OTHER;
	} else if (s->disk.facts.kind == COFFER_LUKS2_OTHER) {
		t = COFFER_TEXT_DIGEST_STOCK;
	} else if (!s->key) {
		t = COFFER_TEXT_DIGEST_NO_KEY;
	} else {
		r = reencryption ? coffer_luks2_check_digest(s->header, s->key, &s->stop, &why)
				 : coffer_luks2_check_key(s->header, s->key, &s->stop, &why);
		if (r == -EINTR)
			return coffer_verify_stopped(s, e);
		if (r < 0)
			t = was_asked(r) ? COFFER_TEXT_DIGEST_FAILED : COFFER_TEXT_DIGEST_UNCHECKED;
	}
	return coffer_findings_add(&s->checks, t,
		COFFER_WITH(COFFER_ARG_NUMBER("digest", d->number),
			COFFER_ARG_TEXT("of", reencryption ? "conversion metadata" : "volume key"),
			COFFER_ARG_TEXT("reason", why.msg)),
		NULL);
}

/* --- all of them --- */

static int read_passphrase(struct coffer_verifier *s, struct coffer_err *e)
{
	const struct coffer_encrypt_callbacks *c = &s->o->callbacks;
	int r;

	if (!c->passphrase)
		return 0;
	r = coffer_secret_new(COFFER_MAX_PASSPHRASE, &s->passphrase, e);
	if (r < 0)
		return r;
	r = c->passphrase(
		c->userdata, COFFER_ASK_EXISTING, s->passphrase->data, s->passphrase->capacity, e);
	if (r < 0)
		return r;
	s->passphrase->size = (size_t)r;
	return 0;
}

int coffer_verify_keys(struct coffer_verifier *s, struct coffer_err *e)
{
	int r;

	if (!s->usable)
		return 0;
	r = read_passphrase(s, e);
	if (r == 0)
		r = check_slots(s, e);
	for (size_t i = 0; i < s->keys.n_tokens && r == 0; i++)
		r = check_token(s, &s->keys.tokens[i], e);
	for (size_t i = 0; i < s->keys.n_digests && r == 0; i++)
		r = check_digest(s, &s->keys.digests[i], e);
	if (r < 0)
		return r;
	return coffer_findings_add(&s->checks,
		s->key ? COFFER_TEXT_VOLUME_KEY : COFFER_TEXT_VOLUME_KEY_UNKNOWN,
		COFFER_WITH(COFFER_ARG_NUMBER("bits", s->key ? s->key->size * 8 : 0)), NULL);
}
