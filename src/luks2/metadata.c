/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* metadata.c - check what libcryptsetup does not check in LUKS2 metadata */
#include "luks2/metadata.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/crypto.h"
#include "base/findings.h"
#include "luks2/keyslots.h"

enum section {
	JSON,
	REQUIREMENT,
	KEYSLOT,
	DIGEST,
	SEGMENT,
	REENCRYPTION,
	N_SECTIONS
};

static const struct {
	enum coffer_finding_id id;
	enum coffer_text ok; /* nothing was found */
} sections[N_SECTIONS] = {
	[JSON] = {COFFER_FINDING_JSON, COFFER_TEXT_METADATA_JSON_UNIQUE},
	[REQUIREMENT] = {COFFER_FINDING_REQUIREMENT, COFFER_TEXT_METADATA_REQUIREMENTS},
	[KEYSLOT] = {COFFER_FINDING_KEYSLOT, COFFER_TEXT_METADATA_KEYSLOTS},
	[DIGEST] = {COFFER_FINDING_DIGEST, COFFER_TEXT_METADATA_DIGESTS},
	[SEGMENT] = {COFFER_FINDING_SEGMENT, COFFER_TEXT_METADATA_SEGMENTS},
	[REENCRYPTION] = {COFFER_FINDING_REENCRYPTION, COFFER_TEXT_METADATA_REENCRYPTION_NONE},
};

enum {
	MOST = 12, /* findings of one section */
	SECTOR = 512,
	MAX_SECTOR = 4096, /* of dm-crypt */
	STRIPES = 4000,	   /* cryptsetup always uses this number */
	SALT_SIZE = 32,
	MIN_DIGEST = 20, /* of a key: SHA-1's size, which is accepted with any hash */
};

#define MAX_KEYSLOTS_SIZE (UINT64_C(128) << 20)

struct check {
	const struct coffer_metadata *m;
	struct coffer_findings *l;
	size_t found[N_SECTIONS];
	int r;		      /* the first failure */
	unsigned int version; /* of the reencryption requirement: 1 to 3; 0: none in progress */
	char object[32];      /* "keyslot 3" */
};

static const struct coffer_argument none;

static void name_object(struct check *c, const char *kind, const char *name)
{
	(void)snprintf(c->object, sizeof(c->object), "%s %.12s", kind, name);
}

/* Add @t, with two arguments beside the object. */
static void find(struct check *c, enum section section, enum coffer_text t,
	struct coffer_argument x, struct coffer_argument y, const char *const *remedy)
{
	struct coffer_finding f;
	int r = coffer_finding_make(
		&f, t, COFFER_WITH(COFFER_ARG_TEXT("object", c->object), x, y), remedy);

	if (r == 0 && c->found[section]++ >= MOST) {
		coffer_finding_reset(&f);
		return;
	}
	f.id = sections[section].id;
	if (r == 0)
		r = coffer_findings_put(c->l, &f);
	c->r = c->r ? c->r : r;
}

static void find_member(struct check *c, enum section section, enum coffer_text t,
	const char *member, const char *value)
{
	find(c, section, t, COFFER_ARG_TEXT("member", member),
		COFFER_ARG_TEXT("value", value ? value : ""), NULL);
}

/* @member: NULL if all are valid. */
static void find_invalid(struct check *c, enum section section, const char *member)
{
	if (member)
		find(c, section, COFFER_TEXT_METADATA_INVALID, COFFER_ARG_TEXT("member", member),
			none, NULL);
}

static void check_text(struct check *c)
{
	if (coffer_json_has_duplicate(c->m->json, c->m->text, c->m->text_size))
		find(c, JSON, COFFER_TEXT_METADATA_JSON_DUPLICATE, none, none,
			COFFER_RUN("cryptsetup", "config", c->m->device, "--label", "LABEL"));
}

/* --- requirements --- */

static void check_requirement(struct check *c, const char *name)
{
	static const struct {
		const char *name, *what;
	} known[] = {
		{"opal", "the drive encrypts; needs cryptsetup 2.7 or newer"},
		{"opal-v2", "the drive encrypts; needs cryptsetup 2.7 or newer"},
		{"inline-hw-tags", "tags are in the sectors; needs cryptsetup 2.8 or newer"},
		{"offline-reencrypt", "only cryptsetup-reencrypt resumes this reencryption"},
	};
	static const char *const online[] = {
		"online-reencrypt", "online-reencrypt-v2", "online-reencrypt-v3"};

	for (unsigned int i = 0; i < ARRAY_SIZE(online); i++)
		if (strcmp(name, online[i]) == 0) {
			c->version = i + 1;
			find(c, REENCRYPTION,
				i == 0			 ? COFFER_TEXT_METADATA_REENCRYPTION_OLD
				: c->m->device_size == 0 ? COFFER_TEXT_METADATA_REENCRYPTION_NO_DATA
							 : COFFER_TEXT_METADATA_REENCRYPTION,
				none, none,
				i == 0 ? COFFER_RUN("cryptsetup", "repair", c->m->device)
				: c->m->device_size == 0
					? NULL
					: COFFER_RUN("coffer", "status", c->m->device));
			return;
		}
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (strcmp(name, known[i].name) == 0) {
			find_member(c, REQUIREMENT, COFFER_TEXT_METADATA_REQUIREMENT_KNOWN, name,
				known[i].what);
			return;
		}
	find_member(c, REQUIREMENT, COFFER_TEXT_METADATA_REQUIREMENT_UNKNOWN, name, "");
}

static void check_requirements(struct check *c)
{
	struct json_object *config = coffer_json_object(c->m->json, "config");
	struct json_object *mandatory =
		coffer_json_array(coffer_json_object(config, "requirements"), "mandatory");

	for (size_t i = 0; i < coffer_json_length(mandatory); i++) {
		const char *name = coffer_json_item_string(mandatory, i);

		check_requirement(c, name ? name : "");
	}
}

/* --- keyslots and digests --- */

static bool is_one_of(const char *text, const char *const *list)
{
	for (; text && *list; list++)
		if (strcmp(text, *list) == 0)
			return true;
	return false;
}

static bool is_salt(const char *text)
{
	uint8_t salt[SALT_SIZE + 4];
	size_t n = 0;

	return text && coffer_base64_decode(text, salt, sizeof(salt), &n) == 0 && n == SALT_SIZE;
}

static void check_hash(struct check *c, enum section section, struct json_object *o)
{
	const char *name = coffer_json_string(o, "hash");

	if (name && coffer_digest_size(name) == 0)
		find_member(c, section, COFFER_TEXT_METADATA_UNKNOWN, "hash", name);
}

/* The first member for which no passphrase opens the keyslot. */
static const char *invalid_in_key(struct json_object *slot)
{
	static const char *const kdfs[] = {"pbkdf2", "argon2i", "argon2id", NULL};
	struct json_object *kdf = coffer_json_object(slot, "kdf");
	uint32_t key_size = 0, stripes = 0;
	uint64_t size = 0;

	if (!is_one_of(coffer_json_string(kdf, "type"), kdfs))
		return "kdf.type";
	if (!is_salt(coffer_json_string(kdf, "salt")))
		return "kdf.salt";
	if (coffer_json_u32(coffer_json_object(slot, "af"), "stripes", &stripes) < 0 ||
		stripes != STRIPES)
		return "af.stripes";
	if (coffer_json_u32(slot, "key_size", &key_size) < 0 || key_size == 0)
		return "key_size";
	/* smaller than the split key */
	if (coffer_json_u64s(coffer_json_object(slot, "area"), "size", &size) < 0 ||
		size < round_up_u64((uint64_t)key_size * STRIPES, SECTOR))
		return "area.size";
	return NULL;
}

static void check_reencryption(struct check *c, const char *name, struct json_object *slot)
{
	/* what cryptsetup resumes */
	static const char *const types[] = {"none", "checksum", "journal", "datashift",
		"datashift-checksum", "datashift-journal", NULL};
	const char *type = coffer_json_string(coffer_json_object(slot, "area"), "type");

	find_invalid(c, REENCRYPTION, is_one_of(type, types) ? NULL : "area.type");
	if (c->version > 1 && !coffer_keyslot_digest(c->m->json, "keyslots", name))
		find(c, REENCRYPTION, COFFER_TEXT_METADATA_REENCRYPTION_DIGEST, none, none,
			COFFER_RUN("cryptsetup", "repair", c->m->device));
}

static int check_keyslot(const char *name, struct json_object *slot, void *arg)
{
	const char *type = coffer_json_string(slot, "type");
	struct check *c = arg;

	name_object(c, "keyslot", name);
	if (type && strcmp(type, "luks2") == 0) {
		find_invalid(c, KEYSLOT, invalid_in_key(slot));
		check_hash(c, KEYSLOT, coffer_json_object(slot, "kdf"));
		check_hash(c, KEYSLOT, coffer_json_object(slot, "af"));
	} else if (type && strcmp(type, "reencrypt") == 0) {
		check_reencryption(c, name, slot);
	} else {
		find_member(c, KEYSLOT, COFFER_TEXT_METADATA_UNKNOWN, "type", type);
	}
	return 0;
}

/* The first member for which no key can be confirmed. libcryptsetup checks them only with a key. */
static const char *invalid_in_digest(struct json_object *digest)
{
	const char *type = coffer_json_string(digest, "type");
	const char *hash = coffer_json_string(digest, "hash");
	const char *text = coffer_json_string(digest, "digest");
	const size_t size = hash ? coffer_digest_size(hash) : 0;
	uint8_t value[COFFER_MAX_DIGEST_SIZE + 4];
	uint32_t iterations;
	size_t n = 0;

	if (!type || strcmp(type, "pbkdf2") != 0)
		return "type";
	if (!hash || !*hash)
		return "hash";
	if (!is_salt(coffer_json_string(digest, "salt")))
		return "salt";
	if (coffer_json_u32(digest, "iterations", &iterations) < 0 || iterations == 0)
		return "iterations";
	if (!text || coffer_base64_decode(text, value, sizeof(value), &n) < 0 || n < MIN_DIGEST ||
		n > COFFER_MAX_DIGEST_SIZE || (size && n != MIN_DIGEST && n != size))
		return "digest";
	return NULL;
}

static int check_digest(const char *name, struct json_object *digest, void *arg)
{
	struct check *c = arg;

	name_object(c, "digest", name);
	find_invalid(c, DIGEST, invalid_in_digest(digest));
	check_hash(c, DIGEST, digest);
	return 0;
}

/* --- segments --- */

static bool is_backup(struct json_object *segment)
{
	struct json_object *flags = coffer_json_array(segment, "flags");

	for (size_t i = 0; i < coffer_json_length(flags); i++) {
		const char *flag = coffer_json_item_string(flags, i);

		if (flag && strncmp(flag, "backup-", 7) == 0)
			return true;
	}
	return false;
}

static void check_end(struct check *c, struct json_object *segment)
{
	const char *text = coffer_json_string(segment, "size");
	const bool dynamic = text && strcmp(text, "dynamic") == 0;
	const uint64_t device = c->m->device_size;
	uint64_t offset = 0, size = 0, end;

	if (coffer_json_u64s(segment, "offset", &offset) < 0 ||
		(!dynamic && coffer_json_u64s(segment, "size", &size) < 0) ||
		!add_u64(offset, dynamic ? SECTOR : size, &end)) {
		find_invalid(c, SEGMENT, "size");
		return;
	}
	if (device != 0 && (dynamic ? offset >= device : end > device))
		find(c, SEGMENT, COFFER_TEXT_METADATA_SEGMENT_END,
			(struct coffer_argument)COFFER_ARG_SIZE("end", end),
			(struct coffer_argument)COFFER_ARG_SIZE("device_size", device), NULL);
}

static const char *invalid_in_segment(struct json_object *segment)
{
	const char *type = coffer_json_string(segment, "type");
	uint32_t sector = 0;

	if (!type)
		return "type";
	if (strcmp(type, "crypt") != 0)
		return strcmp(type, "linear") == 0 || strncmp(type, "hw-opal", 7) == 0 ? NULL
										       : "type";
	if (coffer_json_u32(segment, "sector_size", &sector) < 0 || sector < SECTOR ||
		sector > MAX_SECTOR || (sector & (sector - 1)))
		return "sector_size";
	return NULL;
}

static int check_segment(const char *name, struct json_object *segment, void *arg)
{
	struct check *c = arg;

	name_object(c, "segment", name);
	if (is_backup(segment)) {
		if (c->version == 0)
			find(c, REENCRYPTION, COFFER_TEXT_METADATA_REENCRYPTION_BACKUP, none, none,
				NULL);
		return 0;
	}
	find_invalid(c, SEGMENT, invalid_in_segment(segment));
	check_end(c, segment);
	if (coffer_json_array_has(coffer_json_array(segment, "flags"), "in-reencryption"))
		find(c, REENCRYPTION, COFFER_TEXT_METADATA_REENCRYPTION_STEP, none, none, NULL);
	return 0;
}

/* --- all of it --- */

/* What a section without findings says, and how many findings were left out of one with too many.
 */
static void sum_up(struct check *c)
{
	c->object[0] = '\0';
	for (int i = 0; i < N_SECTIONS; i++) {
		const size_t n = c->found[i];

		c->found[i] = 0;
		if (n > MOST)
			find(c, (enum section)i, COFFER_TEXT_METADATA_MORE,
				(struct coffer_argument)COFFER_ARG_NUMBER("count", n - MOST), none,
				NULL);
		else if (n == 0)
			find(c, (enum section)i, sections[i].ok, none, none, NULL);
	}
}

int coffer_metadata_check(const struct coffer_metadata *m, struct coffer_findings *l)
{
	struct check c = {.m = m, .l = l};

	check_text(&c);
	check_requirements(&c);
	(void)coffer_json_foreach(coffer_json_object(m->json, "keyslots"), check_keyslot, &c);
	(void)coffer_json_foreach(coffer_json_object(m->json, "digests"), check_digest, &c);
	(void)coffer_json_foreach(coffer_json_object(m->json, "segments"), check_segment, &c);
	sum_up(&c);
	return c.r;
}

/* --- sizes --- */

uint64_t coffer_metadata_header_size(struct json_object *json, uint64_t copy_size)
{
	uint64_t size;

	if (coffer_json_u64s(coffer_json_object(json, "config"), "keyslots_size", &size) < 0 ||
		size > MAX_KEYSLOTS_SIZE || size % COFFER_BLOCK)
		return 0;
	return size + 2 * copy_size;
}

static int find_lowest(const char *name, struct json_object *segment, void *arg)
{
	uint64_t *lowest = arg, offset;

	(void)name;
	if (is_backup(segment) || coffer_json_u64s(segment, "offset", &offset) < 0)
		return 0;
	*lowest = min_u64(*lowest, offset);
	return 0;
}

uint64_t coffer_metadata_data_offset(struct json_object *json)
{
	uint64_t lowest = UINT64_MAX;

	(void)coffer_json_foreach(coffer_json_object(json, "segments"), find_lowest, &lowest);
	return lowest == UINT64_MAX ? 0 : lowest;
}
