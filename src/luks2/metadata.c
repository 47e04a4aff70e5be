/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* metadata.c - what a person should know of LUKS2 metadata that libcryptsetup does not say */
#include "luks2/metadata.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/crypto.h"
#include "base/findings.h"

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
	const char *well;
} sections[N_SECTIONS] = {
	[JSON] = {COFFER_FINDING_JSON, "no object has two members of one name"},
	[REQUIREMENT] = {COFFER_FINDING_REQUIREMENT,
		"nothing is required of a reader that is not known"},
	[KEYSLOT] = {COFFER_FINDING_KEYSLOT, "every keyslot could be opened by its passphrase"},
	[DIGEST] = {COFFER_FINDING_DIGEST, "every digest can confirm a key"},
	[SEGMENT] = {COFFER_FINDING_SEGMENT, "the segments are possible ones and fit the device"},
	[REENCRYPTION] = {COFFER_FINDING_REENCRYPTION, "no reencryption is under way"},
};

enum {
	MOST = 12, /* findings of one section */
	SECTOR = 512,
	MAX_SECTOR = 4096, /* of dm-crypt */
	STRIPES = 4000, /* cryptsetup splits and merges by this number, whatever the field says */
	SALT_SIZE = 32,
	MIN_DIGEST = 20, /* of a key; SHA-1's, which is taken of any hash */
};

#define MAX_KEYSLOTS_SIZE (UINT64_C(128) << 20)

struct check {
	const struct coffer_metadata *m;
	struct coffer_findings *l;
	struct json_object *keyslots, *digests, *segments;
	size_t said[N_SECTIONS];
	bool told;	      /* the last finding is in the list, so a remedy belongs to it */
	int r;		      /* the first failure */
	unsigned int version; /* of the reencryption's requirement: 1 to 3; 0: none is under way */
	/* what is checked now; every sentence about it begins with its name */
	enum section section;
	char who[32]; /* "keyslot 3"; "": the section itself */
};

static void enter(struct check *c, enum section section, const char *what, const char *name)
{
	c->section = section;
	(void)snprintf(c->who, sizeof(c->who), "%s%s%.12s", what, *name ? " " : "", name);
}

static void add(
	struct check *c, enum coffer_finding_id id, enum coffer_verdict verdict, const char *text)
{
	const int r = coffer_findings_print(
		c->l, id, verdict, "%s%s%s%s", c->m->copy, c->who, c->who[0] ? ": " : "", text);

	c->r = c->r ? c->r : r;
	c->told = r == 0;
}

__attribute__((format(printf, 3, 4))) static void say(
	struct check *c, enum coffer_verdict verdict, const char *fmt, ...)
{
	char text[400];
	va_list ap;

	c->told = false;
	if (c->m->only_bad && verdict != COFFER_VERDICT_BAD)
		return;
	if (c->said[c->section]++ >= MOST)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	add(c, sections[c->section].id, verdict, text);
}

#define bad(c, ...)  say(c, COFFER_VERDICT_BAD, __VA_ARGS__)
#define note(c, ...) say(c, COFFER_VERDICT_NOTE, __VA_ARGS__)

__attribute__((format(printf, 2, 3))) static void remedy(struct check *c, const char *fmt, ...)
{
	char text[400];
	va_list ap;

	if (!c->told)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	coffer_findings_advise(c->l, "%s", text);
}

static void check_word(struct check *c)
{
	char text[400];

	(void)snprintf(text, sizeof(text), "libcryptsetup refuses the metadata: %s", c->m->reason);
	if (!c->m->accepted)
		add(c, COFFER_FINDING_METADATA, COFFER_VERDICT_BAD, text);
	else if (!c->m->only_bad)
		add(c, COFFER_FINDING_METADATA, COFFER_VERDICT_OK,
			"libcryptsetup accepts the metadata");
}

static void check_text(struct check *c)
{
	char name[64];
	const int r = coffer_json_duplicate(c->m->text, c->m->text_size, name, sizeof(name));

	enter(c, JSON, "", "");
	if (r < 0)
		c->r = c->r ? c->r : r;
	if (r <= 0)
		return;
	bad(c,
		"an object has two members '%s': cryptsetup goes by the last of them, others may "
		"go by the first",
		name);
	remedy(c,
		"any change that cryptsetup makes writes the last of them alone: cryptsetup config "
		"%s --label LABEL",
		c->m->device);
}

/* --- requirements --- */

static void check_online(struct check *c, unsigned int version)
{
	c->version = version;
	enter(c, REENCRYPTION, "", "");
	if (version > 1) {
		note(c, "a reencryption is under way");
		remedy(c, "coffer status %s tells how it goes on", c->m->device);
		return;
	}
	note(c, "a reencryption is under way that was begun by cryptsetup 2.4.2 or older: its "
		"metadata have no digest, and no newer version resumes it like that");
	remedy(c, "cryptsetup repair %s", c->m->device);
}

static void check_requirement(struct check *c, const char *name)
{
	static const struct {
		const char *name, *what;
		unsigned int online;
	} known[] = {
		{"online-reencrypt", NULL, 1},
		{"online-reencrypt-v2", NULL, 2},
		{"online-reencrypt-v3", NULL, 3},
		{"opal", "the drive encrypts by itself; that takes cryptsetup 2.7 or newer", 0},
		{"opal-v2", "the drive encrypts by itself; that takes cryptsetup 2.7 or newer", 0},
		{"inline-hw-tags",
			"tags lie in the drive's own sectors; that takes cryptsetup 2.8 or newer",
			0},
		{"offline-reencrypt",
			"a reencryption was begun with cryptsetup-reencrypt, and only that goes on "
			"with it",
			0},
	};

	enter(c, REQUIREMENT, "", "");
	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		if (strcmp(name, known[i].name) != 0)
			continue;
		if (known[i].online)
			check_online(c, known[i].online);
		else
			note(c, "'%s': %s", name, known[i].what);
		return;
	}
	bad(c, "the header requires '%.64s' of whoever opens it, and nothing here knows it", name);
	remedy(c, "use a newer cryptsetup with this volume");
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

static void check_salt(struct check *c, const char *text, const char *path)
{
	uint8_t salt[SALT_SIZE + 4];
	size_t n = 0;

	if (!text || coffer_base64_decode(text, salt, sizeof(salt), &n) < 0 || n != SALT_SIZE)
		bad(c, "%s is not %d bytes in base64", path, SALT_SIZE);
}

static void check_hash(struct check *c, const char *name, const char *path)
{
	if (name && coffer_digest_size(name) == 0)
		note(c, "%s '%.32s' is not known on this machine, or has more than %d bytes", path,
			name, COFFER_MAX_DIGEST_SIZE);
}

static void check_kdf(struct check *c, struct json_object *kdf)
{
	const char *type = coffer_json_string(kdf, "type");

	if (!type || (strcmp(type, "pbkdf2") != 0 && strcmp(type, "argon2i") != 0 &&
			     strcmp(type, "argon2id") != 0))
		bad(c, "its kdf is '%.32s', which is none of pbkdf2, argon2i and argon2id",
			type ? type : "");
	else
		check_salt(c, coffer_json_string(kdf, "salt"), "kdf.salt");
	check_hash(c, coffer_json_string(kdf, "hash"), "kdf.hash");
}

static void check_key(struct check *c, struct json_object *slot)
{
	struct json_object *area = coffer_json_object(slot, "area");
	struct json_object *af = coffer_json_object(slot, "af");
	uint32_t key_size = 0, stripes = 0;
	uint64_t size = 0, material;

	check_kdf(c, coffer_json_object(slot, "kdf"));
	check_hash(c, coffer_json_string(af, "hash"), "af.hash");
	if (coffer_json_u32(af, "stripes", &stripes) < 0 || stripes != STRIPES)
		bad(c, "af.stripes is not %d, which cryptsetup goes by", STRIPES);
	if (coffer_json_u32(slot, "key_size", &key_size) < 0 || key_size == 0)
		bad(c, "its key has no bytes");
	material = round_up_u64((uint64_t)key_size * STRIPES, SECTOR);
	if (coffer_json_u64s(area, "size", &size) < 0 || size < material)
		bad(c,
			"its area has %" PRIu64 " bytes, but a key of %" PRIu32
			" bytes, split, takes %" PRIu64,
			size, key_size, material);
}

/* What stock resumes. */
static void check_resilience(struct check *c, struct json_object *slot)
{
	static const char *const types[] = {"none", "checksum", "journal", "datashift",
		"datashift-checksum", "datashift-journal"};
	const char *type = coffer_json_string(coffer_json_object(slot, "area"), "type");

	c->section = REENCRYPTION;
	for (size_t i = 0; type && i < ARRAY_SIZE(types); i++)
		if (strcmp(type, types[i]) == 0)
			return;
	bad(c, "area.type is '%.32s', which nothing resumes", type ? type : "");
}

struct count {
	const char *name;
	unsigned int n;
};

static int count_digest(const char *name, struct json_object *digest, void *arg)
{
	struct count *count = arg;

	(void)name;
	count->n += coffer_json_array_has(coffer_json_array(digest, "keyslots"), count->name);
	return 0;
}

static int check_keyslot(const char *name, struct json_object *slot, void *arg)
{
	const char *type = coffer_json_string(slot, "type");
	struct count digests = {.name = name};
	struct check *c = arg;

	enter(c, KEYSLOT, "keyslot", name);
	if (type && strcmp(type, "luks2") == 0) {
		check_key(c, slot);
		return 0;
	}
	if (!type || strcmp(type, "reencrypt") != 0) {
		note(c, "its type is '%.32s', which cryptsetup does not open", type ? type : "");
		return 0;
	}
	check_resilience(c, slot);
	(void)coffer_json_foreach(c->digests, count_digest, &digests);
	if (c->version > 1 && digests.n != 1) {
		bad(c, "%u digests are of the reencryption's metadata, and there must be one",
			digests.n);
		remedy(c, "cryptsetup repair %s", c->m->device);
	}
	return 0;
}

/* libcryptsetup finds out only when a key is there. */
static int check_digest(const char *name, struct json_object *digest, void *arg)
{
	const char *type = coffer_json_string(digest, "type");
	const char *hash = coffer_json_string(digest, "hash");
	const char *text = coffer_json_string(digest, "digest");
	const size_t size = hash ? coffer_digest_size(hash) : 0;
	uint8_t value[COFFER_MAX_DIGEST_SIZE + 4];
	struct check *c = arg;
	uint32_t iterations;
	size_t n = 0;

	enter(c, DIGEST, "digest", name);
	if (!type || strcmp(type, "pbkdf2") != 0) {
		bad(c, "its type is '%.32s', and only pbkdf2 can be confirmed", type ? type : "");
		return 0;
	}
	if (!hash || !*hash)
		bad(c, "hash is missing");
	check_hash(c, hash, "hash");
	check_salt(c, coffer_json_string(digest, "salt"), "salt");
	if (coffer_json_u32(digest, "iterations", &iterations) < 0 || iterations == 0)
		bad(c, "iterations is missing, or no number from 1 to 2^32 - 1");
	if (!text || coffer_base64_decode(text, value, sizeof(value), &n) < 0 || n < MIN_DIGEST ||
		n > COFFER_MAX_DIGEST_SIZE || (size && n != MIN_DIGEST && n != size))
		bad(c, "digest has a length that its hash does not give");
	return 0;
}

/* --- segments --- */

static bool has_flag(struct json_object *segment, const char *flag)
{
	return coffer_json_array_has(coffer_json_array(segment, "flags"), flag);
}

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
		!add_u64(offset, size, &end)) {
		bad(c, "its end is no number");
		return;
	}
	if (device == 0 || (dynamic ? offset < device : end <= device))
		return;
	bad(c, "it %s at byte %" PRIu64 ", but the device has %" PRIu64 " bytes only",
		dynamic ? "begins" : "ends", dynamic ? offset : end, device);
	remedy(c, "give the device its size back");
}

static void check_type(struct check *c, struct json_object *segment)
{
	const char *type = coffer_json_string(segment, "type");
	uint32_t sector = 0;

	if (type && strcmp(type, "crypt") == 0) {
		if (coffer_json_u32(segment, "sector_size", &sector) < 0 || sector < SECTOR ||
			sector > MAX_SECTOR || (sector & (sector - 1)))
			bad(c,
				"sector_size is %" PRIu32
				", and the kernel has no sectors but of 512, 1024, 2048 and 4096",
				sector);
		return;
	}
	if (!type || (strcmp(type, "linear") != 0 && strncmp(type, "hw-opal", 7) != 0))
		bad(c, "its type is '%.32s', which is none of crypt, linear and hw-opal",
			type ? type : "");
}

static int check_segment(const char *name, struct json_object *segment, void *arg)
{
	struct check *c = arg;

	enter(c, SEGMENT, "segment", name);
	if (is_backup(segment)) {
		if (c->version > 0)
			return 0;
		c->section = REENCRYPTION;
		bad(c, "it is of a reencryption, but nothing says that one is under way");
		return 0;
	}
	check_type(c, segment);
	check_end(c, segment);
	if (!has_flag(segment, "in-reencryption"))
		return 0;
	c->section = REENCRYPTION;
	note(c, "it was cut inside a step, or is at work right now");
	return 0;
}

/* --- all of it --- */

/* One line for each section in which nothing was found, and the rest of those with too much. */
static void sum_up(struct check *c)
{
	char text[64];

	c->who[0] = '\0';
	for (int i = 0; i < N_SECTIONS; i++) {
		if (c->said[i] > MOST) {
			(void)snprintf(
				text, sizeof(text), "%zu more of this kind", c->said[i] - MOST);
			add(c, sections[i].id, COFFER_VERDICT_BAD, text);
		} else if (c->said[i] == 0 && !c->m->only_bad) {
			add(c, sections[i].id, COFFER_VERDICT_OK, sections[i].well);
		}
	}
}

int coffer_metadata_check(const struct coffer_metadata *m, struct coffer_findings *l)
{
	struct check c = {.m = m, .l = l};

	check_word(&c);
	check_text(&c);
	if (!m->accepted)
		return c.r;
	c.keyslots = coffer_json_object(m->json, "keyslots");
	c.digests = coffer_json_object(m->json, "digests");
	c.segments = coffer_json_object(m->json, "segments");
	check_requirements(&c);
	(void)coffer_json_foreach(c.keyslots, check_keyslot, &c);
	(void)coffer_json_foreach(c.digests, check_digest, &c);
	(void)coffer_json_foreach(c.segments, check_segment, &c);
	sum_up(&c);
	return c.r;
}

/* --- sizes --- */

uint64_t coffer_metadata_header_size(struct json_object *json, uint64_t copy_size)
{
	uint64_t size;

	if (coffer_json_u64s(coffer_json_object(json, "config"), "keyslots_size", &size) < 0 ||
		size > MAX_KEYSLOTS_SIZE)
		return 0;
	return size + 2 * copy_size;
}

static int take_lowest(const char *name, struct json_object *segment, void *arg)
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

	(void)coffer_json_foreach(coffer_json_object(json, "segments"), take_lowest, &lowest);
	return lowest == UINT64_MAX ? 0 : lowest;
}
