/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* metadata_segments.c - segments by themselves and to each other, and a reencryption's */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "luks2/metadata.h"
#include "luks2/metadata_parts.h"

enum {
	SECTOR = 512,
	MAX_SECTOR = 4096, /* of dm-crypt */
	DYNAMIC = 0,
};

struct segment {
	bool backup;
	const char *type, *encryption; /* encryption: of crypt only */
	uint64_t offset, size;	       /* DYNAMIC: to the end of the device */
	uint32_t sector_size;	       /* of crypt only */
	struct json_object *o;
};

struct table {
	struct coffer_meta_run *run;
	struct segment s[COFFER_META_MAX];
	unsigned int n, regular; /* all of them; those before the first backup */
	bool broken;		 /* one is not whole, so they are not held against each other */
};

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

/* --- one segment --- */

static bool check_integrity(const struct coffer_meta_at *at, struct json_object *o)
{
	struct json_object *integrity;

	if (!coffer_json_has(o, "integrity"))
		return true;
	integrity = coffer_meta_object(at, o, "integrity");
	return integrity && coffer_meta_text(at, integrity, "integrity.type") &&
	       coffer_meta_text(at, integrity, "integrity.journal_encryption") &&
	       coffer_meta_text(at, integrity, "integrity.journal_integrity");
}

static bool check_sector_size(const struct coffer_meta_at *at, struct segment *s)
{
	if (!coffer_meta_u32(at, s->o, "sector_size", &s->sector_size))
		return false;
	if (s->sector_size == 0 || s->sector_size % SECTOR) {
		coffer_meta_say(at, COFFER_META_REFUSED,
			"sector_size is %" PRIu32 ", which is no multiple of %d", s->sector_size,
			SECTOR);
		return false;
	}
	if (s->sector_size > MAX_SECTOR || (s->sector_size & (s->sector_size - 1)))
		coffer_meta_say(at, COFFER_META_WRONG,
			"sector_size is %" PRIu32
			", and the kernel has no sectors but of 512, 1024, 2048 and 4096",
			s->sector_size);
	if (s->size % s->sector_size) {
		coffer_meta_say(at, COFFER_META_REFUSED,
			"its size, %" PRIu64 ", is no multiple of its sectors of %" PRIu32, s->size,
			s->sector_size);
		return false;
	}
	return true;
}

static bool check_crypt(const struct coffer_meta_at *at, struct segment *s, const char *name)
{
	uint64_t iv;
	bool good = coffer_meta_u64(at, s->o, "iv_tweak", &iv);

	s->encryption = coffer_meta_text(at, s->o, "encryption");
	good = check_sector_size(at, s) && s->encryption && good;
	good = check_integrity(at, s->o) && good;
	if (coffer_meta_digests_of(at->run, "segments", name) == 0) {
		coffer_meta_say(at, COFFER_META_REFUSED, "no digest is of its key");
		good = false;
	}
	return good;
}

/* A range of a drive that encrypts by itself: since cryptsetup 2.7. */
static void check_opal(const struct coffer_meta_at *at, const struct segment *s)
{
	uint64_t size;
	uint32_t n;

	if (coffer_json_u32(s->o, "opal_segment_number", &n) < 0 ||
		coffer_json_u32(s->o, "opal_key_size", &n) < 0 ||
		coffer_json_u64s(s->o, "opal_segment_size", &size) < 0 || size == 0)
		coffer_meta_say(at, COFFER_META_WRONG,
			"what a drive that encrypts by itself needs to know is missing");
	else if (s->size == DYNAMIC || s->size > size)
		coffer_meta_say(at, COFFER_META_WRONG,
			"it is no part of the range that the drive encrypts");
}

static bool check_type(const struct coffer_meta_at *at, struct segment *s, const char *name)
{
	if (strcmp(s->type, "crypt") == 0)
		return check_crypt(at, s, name);
	if (strncmp(s->type, "hw-opal", 7) == 0)
		check_opal(at, s);
	else if (strcmp(s->type, "linear") != 0)
		coffer_meta_say(at, COFFER_META_WRONG,
			"its type is '%.32s', which is none of crypt, linear and hw-opal", s->type);
	return true;
}

static bool read_size(const struct coffer_meta_at *at, struct segment *s)
{
	const char *text = coffer_meta_text(at, s->o, "size");

	if (!text)
		return false;
	s->size = DYNAMIC;
	if (strcmp(text, "dynamic") == 0)
		return true;
	if (!coffer_meta_u64(at, s->o, "size", &s->size))
		return false;
	if (s->size == 0)
		coffer_meta_say(at, COFFER_META_REFUSED, "it has no bytes");
	return s->size > 0;
}

static bool check_flags(const struct coffer_meta_at *at, struct json_object *o)
{
	struct json_object *flags;

	if (!coffer_json_has(o, "flags"))
		return true;
	flags = coffer_meta_array(at, o, "flags");
	return flags && coffer_meta_texts(at, flags, "flags");
}

static bool check_fields(const struct coffer_meta_at *at, struct segment *s, const char *name)
{
	bool good = coffer_meta_u64(at, s->o, "offset", &s->offset);

	s->type = coffer_meta_text(at, s->o, "type");
	good = read_size(at, s) && good;
	good = check_flags(at, s->o) && good;
	if (!good || !s->type)
		return false;
	if (s->offset % SECTOR || s->size % SECTOR) {
		coffer_meta_say(at, COFFER_META_REFUSED,
			"its offset, %" PRIu64 ", or its size is no multiple of %d", s->offset,
			SECTOR);
		return false;
	}
	return check_type(at, s, name);
}

/* The number that @name is, of @limit; the names must be those without a gap. */
static bool number_of(const char *name, unsigned int limit, unsigned int *ret)
{
	char back[16];

	for (*ret = 0; *ret < limit; ++*ret) {
		(void)snprintf(back, sizeof(back), "%u", *ret);
		if (strcmp(name, back) == 0)
			return true;
	}
	return false;
}

static int check_segment(const char *name, struct json_object *o, void *arg)
{
	struct table *t = arg;
	const struct coffer_meta_at at =
		coffer_meta_at(t->run, COFFER_META_SEGMENT, "segment", name);
	struct segment s = {.o = o};
	unsigned int number;
	bool good = false;

	if (!coffer_json_is_object(o))
		coffer_meta_say(&at, COFFER_META_REFUSED, "it is no object");
	else
		good = check_fields(&at, &s, name);
	if (!number_of(name, t->n, &number)) {
		coffer_meta_say(&at, COFFER_META_REFUSED,
			"its name is none of those that follow each other from \"0\" on");
		good = false;
	} else {
		s.backup = is_backup(o);
		t->s[number] = s;
	}
	t->broken = t->broken || !good;
	return 0;
}

/* --- all of them --- */

static struct coffer_meta_at nth(const struct table *t, unsigned int i)
{
	char name[16];

	(void)snprintf(name, sizeof(name), "%u", i);
	return coffer_meta_at(t->run, COFFER_META_SEGMENT, "segment", name);
}

/* Regular segments come first. */
static bool check_order(struct table *t)
{
	const struct coffer_meta_at all = {.run = t->run, .section = COFFER_META_SEGMENT};
	bool good = true;

	while (t->regular < t->n && !t->s[t->regular].backup)
		t->regular++;
	if (t->regular == 0) {
		coffer_meta_say(&all, COFFER_META_REFUSED, "there is no segment but backups");
		return false;
	}
	for (unsigned int i = t->regular; i < t->n; i++) {
		const struct coffer_meta_at at = nth(t, i);

		if (t->s[i].backup)
			continue;
		coffer_meta_say(&at, COFFER_META_REFUSED, "it comes behind a backup segment");
		good = false;
	}
	return good;
}

static bool begins_in(const struct segment *a, const struct segment *b)
{
	return a->offset >= b->offset && (b->size == DYNAMIC || a->offset - b->offset < b->size);
}

static void check_pair(const struct table *t, unsigned int i, unsigned int k)
{
	const struct segment *a = &t->s[i], *b = &t->s[k];
	const struct coffer_meta_at at = nth(t, i);

	if (begins_in(a, b) || begins_in(b, a))
		coffer_meta_say(&at, COFFER_META_REFUSED, "it overlaps segment %u", k);
}

static void check_end(const struct table *t, unsigned int i)
{
	const struct segment *s = &t->s[i];
	const struct coffer_meta_at at = nth(t, i);
	const uint64_t size = t->run->m->device_size;
	uint64_t end;

	if (!add_u64(s->offset, s->size, &end)) {
		/* Of a single segment libcryptsetup does not find out. */
		coffer_meta_say(&at, t->regular > 1 ? COFFER_META_REFUSED : COFFER_META_WRONG,
			"its end is no number");
		return;
	}
	if (s->size == DYNAMIC && i + 1 < t->regular)
		coffer_meta_say(&at, COFFER_META_REFUSED,
			"it goes to the end of the device, but is not the last one");
	if (size == 0 || (s->size == DYNAMIC ? s->offset < size : end <= size))
		return;
	coffer_meta_say(&at, COFFER_META_WRONG,
		"it %s at byte %" PRIu64 ", but the device has %" PRIu64 " bytes only",
		s->size == DYNAMIC ? "begins" : "ends", s->size == DYNAMIC ? s->offset : end, size);
	coffer_meta_remedy(&at, "give the device its size back");
}

/* --- a reencryption --- */

/* What dm-crypt would do with either is the same but for the place. */
static bool same_kind(const struct segment *a, const struct segment *b)
{
	if (strcmp(a->type, b->type) != 0)
		return false;
	return strcmp(a->type, "crypt") != 0 ||
	       (a->sector_size == b->sector_size && strcmp(a->encryption, b->encryption) == 0);
}

static const struct segment *find_backup(const struct table *t, const char *flag)
{
	const struct segment *found = NULL;

	for (unsigned int i = t->regular; i < t->n; i++)
		if (has_flag(t->s[i].o, flag))
			found = &t->s[i];
	return found;
}

static void check_progress(const struct table *t, const struct coffer_meta_at *at)
{
	const struct segment *final = find_backup(t, "backup-final");
	const struct segment *previous = find_backup(t, "backup-previous");
	bool hot = false;

	if (!final || !previous) {
		coffer_meta_say(at, COFFER_META_REFUSED, "segment %s is missing",
			final ? "backup-previous" : "backup-final");
		return;
	}
	for (unsigned int i = 0; i < t->regular; i++) {
		const struct segment *s = &t->s[i];
		const bool in_work = has_flag(s->o, "in-reencryption");

		hot = hot || in_work;
		if (same_kind(s, final) || (!in_work && same_kind(s, previous)))
			continue;
		coffer_meta_say(at, COFFER_META_REFUSED, "segment %u is not of the kind of %s", i,
			in_work ? "the final one" : "the final or of the previous one");
	}
	if (hot)
		coffer_meta_say(
			at, COFFER_META_NOTE, "it was cut inside a step, or is at work right now");
}

static void check_reencryption(const struct table *t)
{
	const struct coffer_meta_at at = {.run = t->run, .section = COFFER_META_REENCRYPTION};

	if (t->run->requirements.version > 0)
		check_progress(t, &at);
	else if (t->run->requirements.candidates == 0 && t->regular < t->n)
		coffer_meta_say(&at, COFFER_META_WRONG,
			"there are segments of a reencryption, but nothing says that one is under "
			"way");
}

void coffer_meta_check_segments(struct coffer_meta_run *run)
{
	const struct coffer_meta_at at = {.run = run, .section = COFFER_META_SEGMENT};
	const size_t n = coffer_json_length(run->segments);
	struct table t = {.run = run, .n = (unsigned int)n};

	if (n == 0 || n > COFFER_META_MAX) {
		coffer_meta_say(&at, COFFER_META_REFUSED, "there are %zu segments", n);
		return;
	}
	if (n > COFFER_META_NAMES)
		coffer_meta_say(&at, COFFER_META_WRONG,
			"there are %zu segments, and %d are the most", n, COFFER_META_NAMES);
	(void)coffer_json_foreach(run->segments, check_segment, &t);
	if (t.broken || !check_order(&t))
		return;
	for (unsigned int i = 0; i < t.regular; i++) {
		check_end(&t, i);
		for (unsigned int k = 0; k < i; k++)
			check_pair(&t, i, k);
	}
	check_reencryption(&t);
}

/* --- the keyslot of a reencryption --- */

static bool is_one_of(const char *text, const char *const *words, size_t n)
{
	for (size_t i = 0; text && i < n; i++)
		if (strcmp(text, words[i]) == 0)
			return true;
	return false;
}

/* Where hashes of what is overwritten are kept. */
static void check_checksum(const struct coffer_meta_at *at, struct json_object *area)
{
	const char *hash = coffer_meta_text(at, area, "area.hash");
	uint32_t n;

	if (hash)
		coffer_meta_hash(at, hash, "area.hash");
	if (coffer_meta_u32(at, area, "area.sector_size", &n) && (n < SECTOR || (n & (n - 1))))
		coffer_meta_say(at, COFFER_META_REFUSED,
			"area.sector_size is %" PRIu32 ", which is no power of two from %d on", n,
			SECTOR);
}

static void check_shift(
	const struct coffer_meta_at *at, struct json_object *area, enum coffer_meta_level level)
{
	uint64_t shift;

	if (coffer_json_u64s(area, "shift_size", &shift) < 0 || shift == 0 || shift % SECTOR)
		coffer_meta_say(at, level,
			"area.shift_size is missing, or no text of a number that is a multiple of "
			"%d",
			SECTOR);
}

static void check_resilience(const struct coffer_meta_at *at, struct json_object *area)
{
	static const char *const types[] = {"none", "checksum", "journal", "datashift",
		"datashift-checksum", "datashift-journal"};
	const char *type = coffer_json_string(area, "type");
	const bool of_two = type && strncmp(type, "datashift-", 10) == 0;

	if (!type)
		return; /* told with the area */
	if (!is_one_of(type, types, ARRAY_SIZE(types))) {
		coffer_meta_say(
			at, COFFER_META_WRONG, "area.type is '%.32s', which nothing resumes", type);
		return;
	}
	if (strcmp(type, "checksum") == 0 || strcmp(type, "datashift-checksum") == 0)
		check_checksum(at, area);
	if (strcmp(type, "datashift-checksum") == 0)
		check_shift(at, area, COFFER_META_WRONG); /* libcryptsetup does not look then */
	else if (strncmp(type, "datashift", 9) == 0)
		check_shift(at, area, COFFER_META_REFUSED);
	if (of_two && at->run->requirements.version > 0 && at->run->requirements.version < 3)
		coffer_meta_say(at, COFFER_META_WRONG,
			"area.type is '%s', which takes online-reencrypt-v3", type);
}

void coffer_meta_check_reencrypt(
	const struct coffer_meta_at *slot_at, struct json_object *slot, const char *name)
{
	static const char *const modes[] = {"encrypt", "reencrypt", "decrypt"};
	static const char *const directions[] = {"forward", "backward"};
	struct coffer_meta_at at = *slot_at;
	const unsigned int digests = coffer_meta_digests_of(at.run, "keyslots", name);
	const char *mode, *direction;
	uint32_t size;

	at.section = COFFER_META_REENCRYPTION;
	mode = coffer_meta_text(&at, slot, "mode");
	if (mode && !is_one_of(mode, modes, ARRAY_SIZE(modes)))
		coffer_meta_say(&at, COFFER_META_REFUSED,
			"mode is '%.32s', which is none of encrypt, reencrypt and decrypt", mode);
	direction = coffer_meta_text(&at, slot, "direction");
	if (direction && !is_one_of(direction, directions, ARRAY_SIZE(directions)))
		coffer_meta_say(&at, COFFER_META_REFUSED,
			"direction is '%.32s', which is neither forward nor backward", direction);
	if (coffer_json_u32(slot, "key_size", &size) == 0 && size != 1)
		coffer_meta_say(&at, COFFER_META_REFUSED, "key_size is %" PRIu32 ", not 1", size);
	check_resilience(&at, coffer_json_object(slot, "area"));
	if (at.run->requirements.version > 1 && digests != 1) {
		coffer_meta_say(&at, COFFER_META_WRONG,
			"%u digests are of the reencryption's metadata, and there must be one",
			digests);
		coffer_meta_remedy(&at, "cryptsetup repair %s", at.run->m->device);
	}
}

/* --- where the data begin --- */

static int take_lowest(const char *name, struct json_object *segment, void *arg)
{
	uint64_t *lowest = arg, offset;

	(void)name;
	if (is_backup(segment) || coffer_json_u64s(segment, "offset", &offset) < 0)
		return 0;
	*lowest = min_u64(*lowest, offset);
	return 0;
}

uint64_t coffer_meta_data_offset(struct json_object *json)
{
	uint64_t lowest = UINT64_MAX;

	(void)coffer_json_foreach(coffer_json_object(json, "segments"), take_lowest, &lowest);
	return lowest == UINT64_MAX ? 0 : lowest;
}
