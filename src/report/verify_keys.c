/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* verify_keys.c - the header's two copies, and every key that can be proven */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/findings.h"
#include "convert/session.h"
#include "header/judge_copies.h"
#include "luks2/copy.h"
#include "luks2/helper.h"
#include "luks2/locks.h"
#include "report/judge_volume.h"
#include "report/verify.h"

/* Two header copies and the keyslots area, as large as LUKS2 has them. */
#define MAX_AREA ((UINT64_C(128) << 20) + 2 * COFFER_LUKS2_MAX_COPY)

/* --- the header --- */

/* Is the newest copy on the disk still the one that was examined? */
static int header_changed(struct coffer_verifier *s, bool *ret, struct coffer_err *e)
{
	const struct coffer_header *h = s->disk.header;
	const int newest = s->disk.facts.header.newest;
	_cleanup_free_ uint8_t *block = coffer_dev_buffer(COFFER_LUKS2_BIN);
	int r;

	if (!block)
		return coffer_err_errno(e, ENOMEM, "read the LUKS2 header of %s", s->dev->name);
	r = coffer_dev_read(s->dev, block, COFFER_LUKS2_BIN, newest ? h->copy_size : 0, e);
	*ret = r == 0 && memcmp(block, h->copy[newest], COFFER_LUKS2_BIN) != 0;
	return r;
}

int coffer_verify_copy_header(struct coffer_verifier *s, bool *ret_changed, struct coffer_err *e)
{
	_cleanup_lock_ struct coffer_lock *lock = NULL;
	struct coffer_err why = {0};
	int r;

	cleanup_close(&s->header);
	s->header = -1;
	s->header_why = (struct coffer_err){0};
	*ret_changed = false;
	r = coffer_lock_metadata(s->dev, false, &lock, &why);
	if (r == 0 || r == -EACCES || r == -EPERM || r == -EROFS)
		r = coffer_header_memfd(
			s->dev, s->disk.header, min_u64(s->dev->size, MAX_AREA), &s->header, &why);
	if (r == -EBADMSG) {
		s->header_why = why;
		return 0;
	}
	if (r < 0) {
		if (e)
			*e = why;
		return r;
	}
	return header_changed(s, ret_changed, e);
}

static int check_metadata(struct coffer_verifier *s, struct coffer_err *e)
{
	struct coffer_err why = s->header_why;
	int r = why.code ? -why.code : coffer_luks2_accepts(s->header, &s->stop, &why);

	if (r == -EINTR)
		return coffer_verify_stopped(s, e);
	s->usable = r == 0;
	if (r == 0)
		return coffer_verify_add(s, COFFER_FINDING_METADATA, COFFER_VERDICT_OK, e,
			"libcryptsetup accepts the metadata");
	if (r == -ECOMM)
		return coffer_verify_add(
			s, COFFER_FINDING_METADATA, COFFER_VERDICT_UNCHECKED, e, "%s", why.msg);
	r = coffer_verify_add(s, COFFER_FINDING_METADATA, COFFER_VERDICT_BAD, e, "%s", why.msg);
	coffer_findings_advise(&s->v->checks,
		"coffer header check %s tells what is wrong; if no copy is good, restore a backup "
		"of the header: coffer header restore --header-backup-file FILE %s",
		s->device, s->device);
	return r;
}

int coffer_verify_header(struct coffer_verifier *s, struct coffer_err *e)
{
	const struct coffer_facts *f = &s->disk.facts;
	struct coffer_findings *l = &s->v->checks;
	const bool torn = s->v->status->stage == COFFER_STAGE_DAMAGED && f->transition_error < 0 &&
			  (f->header.copy[0].magic || f->header.copy[1].magic);
	int r = 0;

	if (s->v->status->luks_version == 1)
		return coffer_verify_add(s, COFFER_FINDING_METADATA, COFFER_VERDICT_UNCHECKED, e,
			"it is a LUKS1 volume, and coffer verifies LUKS2 only");
	if (s->disk.header || torn)
		r = coffer_judge_copies(f, s->device, l);
	if (r == 0)
		r = coffer_judge_progress(s->disk.operation, f, s->device, l);
	if (r < 0)
		return coffer_err_errno(e, -r, "verify %s", s->dev->name);
	return s->disk.header ? check_metadata(s, e) : 0;
}

/* --- keyslots --- */

struct slot_text {
	char text[96];
};

/* "keyslot 0 (argon2id, 512 bits)" */
static struct slot_text slot_name(const struct coffer_keyslot *slot)
{
	struct slot_text t;

	(void)snprintf(t.text, sizeof(t.text), "keyslot %u (%s%s%" PRIu64 " bits%s%s)",
		slot->number, slot->kdf, slot->kdf[0] ? ", " : "", (uint64_t)slot->key_size * 8,
		slot->bound ? "" : ", not of the volume's key",
		slot->priority == 0 ? ", only when it is named" : "");
	return t;
}

/* A keyslot whose area was overwritten with something that is not random opens nothing, whatever
 * the key. *ret_sound: there is no sign of that. */
static int check_area(struct coffer_verifier *s, const struct coffer_keyslot *slot, bool *ret_sound,
	struct coffer_err *e)
{
	uint8_t sector[COFFER_SECTOR];
	uint64_t bad = 0, first = 0;
	int r;

	*ret_sound = true;
	for (uint64_t at = 0; at + sizeof(sector) <= slot->material; at += sizeof(sector)) {
		if (pread(s->header, sector, sizeof(sector), (off_t)(slot->offset + at)) !=
			(ssize_t)sizeof(sector))
			break; /* impossible sizes: libcryptsetup does not accept them either */
		if (coffer_looks_random(sector, sizeof(sector)))
			continue;
		if (bad++ == 0)
			first = slot->offset + at;
	}
	if (bad == 0)
		return 0;
	*ret_sound = false;
	r = coffer_verify_add(s, COFFER_FINDING_KEYSLOT, COFFER_VERDICT_BAD, e,
		"%s was overwritten: %" PRIu64 " sectors of it, the first at byte %" PRIu64
		", are no key material",
		slot_name(slot).text, bad, first);
	coffer_findings_advise(&s->v->checks,
		"if another keyslot opens: cryptsetup luksKillSlot %s %u; else restore a backup of "
		"the header: coffer header restore",
		s->device, slot->number);
	return r;
}

/* Take over a key that a keyslot gave: the volume's, if the keyslot is one of the volume. False: it
 * is not the one that the keyslots before have given. */
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

struct tally {
	size_t slots, opened, untried;
};

static int try_slot(struct coffer_verifier *s, const struct coffer_keyslot *slot, struct tally *n,
	struct coffer_err *e)
{
	_cleanup_secret_ struct coffer_secret *key = NULL;
	_cleanup_lock_ struct coffer_lock *lock = NULL;
	struct coffer_err why = {0};
	int r = 0;

	if (!s->passphrase)
		return coffer_verify_add(s, COFFER_FINDING_KEYSLOT, COFFER_VERDICT_UNCHECKED, e,
			"%s: no key was given to try it", slot_name(slot).text);
	if (s->o->serialize_memory_hard_pbkdf)
		r = coffer_lock_memory_hard(s->dev, &lock, &why);
	if (r == 0)
		r = coffer_luks2_open_slot(
			s->header, slot->number, s->passphrase, &s->stop, &key, &why);
	coffer_lock_free(TAKE_PTR(lock));
	if (r == -EINTR)
		return coffer_verify_stopped(s, e);
	if (r == -EPERM)
		return coffer_verify_add(s, COFFER_FINDING_KEYSLOT, COFFER_VERDICT_NOTE, e,
			"%s does not open with the given key", slot_name(slot).text);
	if (r < 0) {
		n->untried++;
		return coffer_verify_add(s, COFFER_FINDING_KEYSLOT, COFFER_VERDICT_UNCHECKED, e,
			"%s could not be tried: %s", slot_name(slot).text, why.msg);
	}
	n->opened++;
	if (!take_key(s, slot, &key))
		return coffer_verify_add(s, COFFER_FINDING_KEYSLOT, COFFER_VERDICT_BAD, e,
			"%s opens with the given key, but holds another volume key than the "
			"keyslots before it",
			slot_name(slot).text);
	return coffer_verify_add(s, COFFER_FINDING_KEYSLOT, COFFER_VERDICT_OK, e,
		"%s opens with the given key", slot_name(slot).text);
}

static int check_slots(struct coffer_verifier *s, struct coffer_err *e)
{
	struct tally n = {0};
	int r = 0;

	for (size_t i = 0; i < s->keys.n_slots && r == 0; i++) {
		const struct coffer_keyslot *slot = &s->keys.slots[i];
		bool sound;

		if (strcmp(slot->type, "luks2") != 0)
			continue; /* that of a reencryption holds no key */
		n.slots++;
		r = check_area(s, slot, &sound, e);
		if (r == 0 && sound)
			r = try_slot(s, slot, &n, e);
		if (r == 0)
			r = coffer_verify_stopped(s, e);
	}
	if (r < 0 || n.opened > 0)
		return r;
	if (n.slots == 0)
		return coffer_verify_add(s, COFFER_FINDING_KEYSLOT, COFFER_VERDICT_BAD, e,
			"there is no keyslot: nothing opens the volume but its volume key");
	if (!s->passphrase)
		return 0;
	return coffer_verify_add(s, COFFER_FINDING_KEYSLOT, COFFER_VERDICT_BAD, e,
		"no keyslot%s opens with the given key", n.untried ? " that could be tried" : "");
}

/* --- tokens --- */

static const struct coffer_keyslot *find_slot(const struct coffer_keys *k, unsigned int number)
{
	for (size_t i = 0; i < k->n_slots; i++)
		if (k->slots[i].number == number)
			return &k->slots[i];
	return NULL;
}

static int ask_token(
	struct coffer_verifier *s, const struct coffer_token *token, struct coffer_err *e)
{
	_cleanup_secret_ struct coffer_secret *key = NULL;
	struct coffer_err why = {0};
	int r;

	r = coffer_luks2_open_token(s->header, token->number, &s->stop, &key, &why);
	if (r == -EINTR)
		return coffer_verify_stopped(s, e);
	if (r == -ENOENT)
		return coffer_verify_add(s, COFFER_FINDING_TOKEN, COFFER_VERDICT_UNCHECKED, e,
			"token %u (%s): nothing on this machine can ask it", token->number,
			token->type);
	if (r == -ENOANO)
		return coffer_verify_add(s, COFFER_FINDING_TOKEN, COFFER_VERDICT_UNCHECKED, e,
			"token %u (%s) wants a PIN", token->number, token->type);
	if (r == -ECOMM)
		return coffer_verify_add(s, COFFER_FINDING_TOKEN, COFFER_VERDICT_UNCHECKED, e,
			"token %u (%s): %s", token->number, token->type, why.msg);
	if (r < 0)
		return coffer_verify_add(s, COFFER_FINDING_TOKEN, COFFER_VERDICT_BAD, e,
			"token %u (%s) opens no keyslot here: %s", token->number, token->type,
			why.msg);
	if (!take_key(s, find_slot(&s->keys, (unsigned int)r), &key))
		return coffer_verify_add(s, COFFER_FINDING_TOKEN, COFFER_VERDICT_BAD, e,
			"token %u (%s) opens keyslot %d, which holds another volume key than the "
			"others",
			token->number, token->type, r);
	return coffer_verify_add(s, COFFER_FINDING_TOKEN, COFFER_VERDICT_OK, e,
		"token %u (%s) opens keyslot %d", token->number, token->type, r);
}

static int check_tokens(struct coffer_verifier *s, struct coffer_err *e)
{
	int r = 0;

	for (size_t i = 0; i < s->keys.n_tokens && r == 0; i++) {
		const struct coffer_token *token = &s->keys.tokens[i];

		if (!token->keyslots)
			r = coffer_verify_add(s, COFFER_FINDING_TOKEN, COFFER_VERDICT_NOTE, e,
				"token %u (%s) belongs to no keyslot", token->number, token->type);
		else if (!s->o->use_tokens)
			r = coffer_verify_add(s, COFFER_FINDING_TOKEN, COFFER_VERDICT_UNCHECKED, e,
				"token %u (%s) was not asked", token->number, token->type);
		else
			r = ask_token(s, token, e);
		if (r == 0)
			r = coffer_verify_stopped(s, e);
	}
	return r;
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
	const char *what = reencryption ? "the conversion's metadata" : "the volume key";
	struct coffer_err why = {0};
	int r;

	if (!reencryption && d->segments == 0)
		return coffer_verify_add(s, COFFER_FINDING_DIGEST, COFFER_VERDICT_NOTE, e,
			"digest %u is of a key that is not the volume's", d->number);
	if (s->disk.facts.kind == COFFER_LUKS2_OTHER)
		return coffer_verify_add(s, COFFER_FINDING_DIGEST, COFFER_VERDICT_UNCHECKED, e,
			"digest %u: the reencryption that is under way is cryptsetup's", d->number);
	if (!s->key)
		return coffer_verify_add(s, COFFER_FINDING_DIGEST, COFFER_VERDICT_UNCHECKED, e,
			"digest %u, of %s: it takes a key to confirm it", d->number, what);
	r = reencryption ? coffer_luks2_check_digest(s->disk.header->json, s->key, &s->stop, &why)
			 : coffer_luks2_check_key(s->header, s->key, &s->stop, &why);
	if (r == -EINTR)
		return coffer_verify_stopped(s, e);
	if (r == -ECOMM)
		return coffer_verify_add(s, COFFER_FINDING_DIGEST, COFFER_VERDICT_UNCHECKED, e,
			"digest %u: %s", d->number, why.msg);
	if (r < 0)
		return coffer_verify_add(s, COFFER_FINDING_DIGEST, COFFER_VERDICT_BAD, e,
			"digest %u does not confirm %s: %s", d->number, what, why.msg);
	return coffer_verify_add(s, COFFER_FINDING_DIGEST, COFFER_VERDICT_OK, e,
		"digest %u confirms %s", d->number, what);
}

static int check_volume_key(struct coffer_verifier *s, struct coffer_err *e)
{
	if (!s->key)
		return coffer_verify_add(s, COFFER_FINDING_VOLUME_KEY, COFFER_VERDICT_UNCHECKED, e,
			s->passphrase ? "the volume key is not known"
				      : "the volume key is not known, since no key was given");
	return coffer_verify_add(s, COFFER_FINDING_VOLUME_KEY, COFFER_VERDICT_OK, e,
		"the volume key has %zu bits", s->key->size * 8);
}

static int ask(struct coffer_verifier *s, struct coffer_err *e)
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
	r = ask(s, e);
	if (r == 0)
		r = check_slots(s, e);
	if (r == 0)
		r = check_tokens(s, e);
	for (size_t i = 0; i < s->keys.n_digests && r == 0; i++)
		r = check_digest(s, &s->keys.digests[i], e);
	return r < 0 ? r : check_volume_key(s, e);
}
