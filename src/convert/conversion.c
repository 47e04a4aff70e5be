/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* conversion.c - progress of an encryption in place, as LUKS2 metadata describes it */
#include "convert/conversion.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "luks2/reencrypt_digest.h"

/* Segments: four regular ones at most (inside a hot step of stock) and three backups. */
enum {
	MAX_SEGMENTS = 7,
	DYNAMIC = 0
};

struct segment {
	bool crypt;
	uint64_t offset;
	uint64_t size; /* DYNAMIC: to the end of the device */
	uint64_t iv_tweak;
	const char *flag; /* NULL: none */
};

struct table {
	struct segment s[MAX_SEGMENTS];
	unsigned int n;
	unsigned int n_regular;
};

static const char requirement[] = "online-reencrypt-v2";

static void add(struct table *t, bool crypt, uint64_t offset, uint64_t size, uint64_t plain_offset,
	const char *flag)
{
	t->s[t->n++] = (struct segment){crypt, offset, size, plain_offset / COFFER_SECTOR, flag};
}

/* The regular segments at pointer p: what is still plain, then what is encrypted. */
static void add_regular(struct table *t, const struct coffer_conversion *c)
{
	const struct coffer_geometry *g = &c->geometry;
	const uint64_t p = c->pointer;

	if (p == 0) {
		add(t, true, g->shift, DYNAMIC, 0, NULL);
	} else {
		add(t, false, coffer_segment_copy_offset(g), g->shift, 0, NULL);
		if (p > g->shift)
			add(t, false, g->shift, p - g->shift, 0, NULL);
		if (p < g->length)
			add(t, true, g->shift + p, g->length - p, p, NULL);
	}
	t->n_regular = t->n;
}

static void build_table(struct table *t, const struct coffer_conversion *c)
{
	const struct coffer_geometry *g = &c->geometry;

	*t = (struct table){0};
	add_regular(t, c);
	add(t, false, 0, g->length, 0, "backup-previous");
	add(t, true, g->shift, DYNAMIC, 0, "backup-final");
	add(t, false, coffer_segment_copy_offset(g), g->shift, 0, "backup-moved-segment");
}

/* The table while stock is inside the step [q, p): its ciphertext has a segment of its own. */
static void build_hot_table(struct table *t, const struct coffer_conversion *c, uint64_t q)
{
	const struct coffer_geometry *g = &c->geometry;

	*t = (struct table){0};
	if (q > 0)
		add(t, false, coffer_segment_copy_offset(g), g->shift, 0, NULL);
	if (q > g->shift)
		add(t, false, g->shift, q - g->shift, 0, NULL);
	add(t, true, g->shift + q, c->pointer - q, q, "in-reencryption");
	if (c->pointer < g->length)
		add(t, true, g->shift + c->pointer, g->length - c->pointer, c->pointer, NULL);
	t->n_regular = t->n;
}

/* --- reading --- */

static struct json_object *nth(struct json_object *segments, unsigned int i)
{
	char key[16];

	(void)snprintf(key, sizeof(key), "%u", i);
	return coffer_json_object(segments, key);
}

static bool has_flag(struct json_object *segment, const char *flag)
{
	return coffer_json_array_has(coffer_json_array(segment, "flags"), flag);
}

static struct json_object *find_flag(struct json_object *segments, const char *flag)
{
	for (unsigned int i = 0; i < coffer_json_length(segments); i++)
		if (has_flag(nth(segments, i), flag))
			return nth(segments, i);
	return NULL;
}

static bool is_backup(struct json_object *segment)
{
	return has_flag(segment, "backup-previous") || has_flag(segment, "backup-final") ||
	       has_flag(segment, "backup-moved-segment");
}

static bool segment_matches(
	struct json_object *o, const struct segment *s, const struct coffer_conversion *c)
{
	const char *type = coffer_json_string(o, "type");
	const char *size_text = coffer_json_string(o, "size");
	struct json_object *flags = coffer_json_array(o, "flags");
	uint64_t offset, size, iv;
	uint32_t sector_size;

	if (!type || strcmp(type, s->crypt ? "crypt" : "linear") != 0)
		return false;
	if (coffer_json_u64s(o, "offset", &offset) < 0 || offset != s->offset || !size_text)
		return false;
	if (s->size == DYNAMIC ? strcmp(size_text, "dynamic") != 0
			       : coffer_json_u64s(o, "size", &size) < 0 || size != s->size)
		return false;
	if (coffer_json_length(flags) != (s->flag ? 1 : 0) || (s->flag && !has_flag(o, s->flag)))
		return false;
	if (!s->crypt)
		return true;
	return coffer_json_u64s(o, "iv_tweak", &iv) == 0 && iv == s->iv_tweak &&
	       coffer_json_u32(o, "sector_size", &sector_size) == 0 &&
	       sector_size == c->geometry.sector_size && coffer_json_string(o, "encryption") &&
	       strcmp(coffer_json_string(o, "encryption"), c->cipher) == 0 &&
	       !coffer_json_object(o, "integrity");
}

/* Regular segments by position, backups by flag: stock orders the backups in two ways. */
static bool table_matches(
	struct json_object *segments, const struct table *t, const struct coffer_conversion *c)
{
	for (unsigned int i = 0; i < t->n_regular; i++)
		if (!segment_matches(nth(segments, i), &t->s[i], c))
			return false;
	for (unsigned int i = t->n_regular; i < t->n; i++)
		if (!segment_matches(find_flag(segments, t->s[i].flag), &t->s[i], c))
			return false;
	return coffer_json_length(segments) == t->n_regular + 3;
}

/* The pointer follows from the regular segments; whether they are right is checked after. */
static int read_pointer(struct json_object *segments, struct coffer_conversion *c, uint64_t *ret_q)
{
	struct json_object *first = nth(segments, 0);
	struct json_object *hot = find_flag(segments, "in-reencryption");
	uint64_t sum = 0, size;

	c->hot = hot != NULL;
	for (unsigned int i = 0; i < 2; i++) {
		struct json_object *s = nth(segments, i);
		const char *type = coffer_json_string(s, "type");

		if (!type || strcmp(type, "linear") != 0 || is_backup(s))
			break;
		if (coffer_json_u64s(s, "size", &size) < 0 || !add_u64(sum, size, &sum))
			return -EBADMSG;
	}
	if (!first)
		return -EBADMSG;
	*ret_q = sum;
	if (hot) {
		if (coffer_json_u64s(hot, "size", &size) < 0 || size > c->geometry.shift ||
			!add_u64(sum, size, &sum))
			return -EBADMSG;
	}
	c->pointer = sum;
	return 0;
}

static int read_geometry(struct json_object *segments, struct coffer_conversion *c)
{
	struct coffer_geometry *g = &c->geometry;
	struct json_object *final = find_flag(segments, "backup-final");
	struct json_object *moved = find_flag(segments, "backup-moved-segment");
	const char *cipher = coffer_json_string(final, "encryption");
	uint64_t segment_copy;

	if (!cipher || strlen(cipher) >= sizeof(c->cipher) ||
		coffer_json_u64s(final, "offset", &g->shift) < 0 ||
		coffer_json_u32(final, "sector_size", &g->sector_size) < 0 ||
		coffer_json_u64s(find_flag(segments, "backup-previous"), "size", &g->length) < 0 ||
		coffer_json_u64s(moved, "offset", &segment_copy) < 0 ||
		!add_u64(segment_copy, g->shift, &g->device))
		return -EBADMSG;
	(void)snprintf(c->cipher, sizeof(c->cipher), "%s", cipher);
	return 0;
}

struct find_keyslot {
	const char *type;
	const char *name;
	struct json_object *keyslot;
	unsigned int n;
};

static int find_keyslot(const char *name, struct json_object *value, void *arg)
{
	struct find_keyslot *f = arg;
	const char *type = coffer_json_string(value, "type");

	if (type && strcmp(type, f->type) == 0) {
		f->name = name;
		f->keyslot = value;
		f->n++;
	}
	return 0;
}

/* The keyslot of type reencrypt; NULL unless there is exactly one. */
static struct find_keyslot reencrypt_keyslot(struct json_object *json)
{
	struct find_keyslot f = {.type = "reencrypt"};

	(void)coffer_json_foreach(coffer_json_object(json, "keyslots"), find_keyslot, &f);
	return f.n == 1 ? f : (struct find_keyslot){0};
}

static bool text_is(struct json_object *o, const char *key, const char *value)
{
	const char *s = coffer_json_string(o, key);

	return s && strcmp(s, value) == 0;
}

/* Is the reencryption of the kind that coffer does? Otherwise *why gets the reason. */
static bool is_ours(struct json_object *json, struct coffer_conversion *c, const char **why)
{
	struct json_object *slot = reencrypt_keyslot(json).keyslot;
	struct json_object *area = coffer_json_object(slot, "area");
	uint64_t shift = 0;

	if (!slot)
		*why = "it has no reencryption keyslot";
	else if (!text_is(slot, "mode", "encrypt"))
		*why = "it is no encryption but a decryption or a change of key";
	else if (!text_is(slot, "direction", "backward") || !text_is(area, "type", "datashift"))
		*why = "it does not move the data to make room (datashift)";
	else if (coffer_json_u64s(area, "shift_size", &shift) < 0 || shift != c->geometry.shift)
		*why = "its shift is not its data offset";
	else if (strcmp(c->cipher, COFFER_CIPHER) != 0)
		*why = "its cipher is not " COFFER_CIPHER;
	else
		return true;
	return false;
}

struct final_digest {
	const char *segment; /* name of the segment whose digest is wanted */
	const char *name;
	struct json_object *digest;
};

static int find_digest(const char *name, struct json_object *value, void *arg)
{
	struct final_digest *f = arg;

	if (coffer_json_array_has(coffer_json_array(value, "segments"), f->segment)) {
		f->name = name;
		f->digest = value;
		return 1;
	}
	return 0;
}

static int find_key_size(const char *name, struct json_object *value, void *arg)
{
	void **args = arg;
	uint32_t *ret = args[1];

	return coffer_json_array_has(args[0], name) && coffer_json_u32(value, "key_size", ret) == 0;
}

/* The digest of the volume key: the one that covers the segment flagged backup-final. */
static struct final_digest volume_key_digest(struct json_object *json, char name[16])
{
	struct json_object *segments = coffer_json_object(json, "segments");
	struct final_digest f = {0};

	for (unsigned int i = 0; i < coffer_json_length(segments); i++) {
		if (!has_flag(nth(segments, i), "backup-final"))
			continue;
		(void)snprintf(name, 16, "%u", i);
		f.segment = name;
		(void)coffer_json_foreach(coffer_json_object(json, "digests"), find_digest, &f);
	}
	return f;
}

/* Are the segments those that coffer would write for @c? Stock may be inside the step [@q,
 * pointer). */
static bool segments_match(
	struct json_object *segments, const struct coffer_conversion *c, uint64_t q)
{
	struct table t, hot;

	build_table(&t, c);
	if (!c->hot)
		return table_matches(segments, &t, c);
	build_hot_table(&hot, c, q);
	memcpy(&hot.s[hot.n], &t.s[t.n_regular], 3 * sizeof(t.s[0])); /* the backups */
	hot.n += 3;
	return table_matches(segments, &hot, c);
}

/* Of a reencryption of coffer's kind. */
static int read_state(struct json_object *json, struct coffer_conversion *c, struct coffer_err *e)
{
	struct json_object *segments = coffer_json_object(json, "segments");
	struct final_digest digest;
	char name[16];
	uint64_t q;

	if (read_pointer(segments, c, &q) < 0 || !coffer_pointer_ok(&c->geometry, c->pointer) ||
		(c->hot && !coffer_pointer_ok(&c->geometry, q)))
		return coffer_err_set(e, EBADMSG, "the segments tell of no possible progress");
	if (!segments_match(segments, c, q))
		return coffer_err_set(e, EBADMSG,
			"the segments are not those of an encryption that stands at byte %" PRIu64,
			c->pointer);
	digest = volume_key_digest(json, name);
	if (coffer_json_foreach(coffer_json_object(json, "keyslots"), find_key_size,
		    (void *[]){coffer_json_array(digest.digest, "keyslots"), &c->key_size}) != 1)
		return coffer_err_set(e, EBADMSG, "no keyslot holds the key of the final segment");
	return 0;
}

/* Is it a reencryption that coffer can do? False: @e has the reason. */
static bool read_kind(struct json_object *json, struct json_object *mandatory,
	struct coffer_conversion *c, struct coffer_err *e)
{
	const char *why = NULL, *first = coffer_json_item_string(mandatory, 0);

	if (coffer_json_length(mandatory) != 1 || !coffer_json_array_has(mandatory, requirement)) {
		(void)coffer_err_set(e, EOPNOTSUPP, "its header asks for '%s'%s",
			first ? first : "something that is no name",
			coffer_json_length(mandatory) > 1 ? " and more" : "");
		return false;
	}
	if (read_geometry(coffer_json_object(json, "segments"), c) < 0 || !is_ours(json, c, &why)) {
		(void)coffer_err_set(e, EOPNOTSUPP,
			"a reencryption is under way that coffer does not do: %s",
			why ? why : "its segments tell of no moved head");
		return false;
	}
	if (coffer_geometry_check(&c->geometry, e) < 0) {
		(void)coffer_err_wrap(
			e, -EOPNOTSUPP, "a reencryption is under way that coffer cannot do");
		return false;
	}
	return true;
}

int coffer_conversion_read(struct json_object *json, enum coffer_luks2_kind *ret_kind,
	struct coffer_conversion *ret, struct coffer_err *e)
{
	struct json_object *config = coffer_json_object(json, "config");
	struct json_object *mandatory =
		coffer_json_array(coffer_json_object(config, "requirements"), "mandatory");
	struct json_object *segments = coffer_json_object(json, "segments");
	struct coffer_conversion c = {0};
	int r;

	if (coffer_json_length(mandatory) == 0) {
		/* The requirement and the backups come and go in one commit. */
		if (find_flag(segments, "backup-final"))
			return coffer_err_set(e, EBADMSG,
				"the segments are those of a reencryption, yet none is announced");
		*ret_kind = COFFER_LUKS2_ENCRYPTED;
		return 0;
	}
	*ret_kind = COFFER_LUKS2_OTHER;
	ret->hot = find_flag(segments, "in-reencryption") != NULL;
	if (!read_kind(json, mandatory, &c, e))
		return 0;
	r = read_state(json, &c, e);
	if (r < 0)
		return r;
	*ret = c;
	*ret_kind = COFFER_LUKS2_CONVERTING;
	return 0;
}

/* --- writing --- */

static int put_segment(struct json_object *segments, unsigned int i, const struct segment *s,
	const struct coffer_conversion *c)
{
	_cleanup_json_ struct json_object *o = coffer_json_object_new();
	_cleanup_json_ struct json_object *flags = s->flag ? coffer_json_array_new() : NULL;
	char key[16];
	int r;

	if (!o || (s->flag && !flags))
		return -ENOMEM;
	r = coffer_json_put_string(o, "type", s->crypt ? "crypt" : "linear");
	if (r == 0)
		r = coffer_json_put_u64s(o, "offset", s->offset);
	if (r == 0)
		r = s->size == DYNAMIC ? coffer_json_put_string(o, "size", "dynamic")
				       : coffer_json_put_u64s(o, "size", s->size);
	if (r == 0 && s->crypt)
		r = coffer_json_put_u64s(o, "iv_tweak", s->iv_tweak);
	if (r == 0 && s->crypt)
		r = coffer_json_put_string(o, "encryption", c->cipher);
	if (r == 0 && s->crypt)
		r = coffer_json_put_int(o, "sector_size", (int)c->geometry.sector_size);
	if (r == 0 && flags) {
		r = coffer_json_append_string(flags, s->flag);
		if (r == 0)
			r = coffer_json_put(o, "flags", TAKE_PTR(flags));
	}
	if (r < 0)
		return r;
	(void)snprintf(key, sizeof(key), "%u", i);
	return coffer_json_put(segments, key, TAKE_PTR(o));
}

/* Replace the segments by @t, and the list of those that the volume key's digest covers. */
static int write_table(
	struct json_object *json, const struct table *t, const struct coffer_conversion *c)
{
	_cleanup_json_ struct json_object *segments = coffer_json_object_new();
	_cleanup_json_ struct json_object *covered = coffer_json_array_new();
	struct final_digest digest;
	char name[16], key[16];
	int r;

	digest = volume_key_digest(json, name);
	if (!digest.digest)
		return -EBADMSG;
	if (!segments || !covered)
		return -ENOMEM;
	for (unsigned int i = 0; i < t->n; i++) {
		r = put_segment(segments, i, &t->s[i], c);
		if (r < 0)
			return r;
		(void)snprintf(key, sizeof(key), "%u", i);
		r = t->s[i].crypt ? coffer_json_append_string(covered, key) : 0;
		if (r < 0)
			return r;
	}
	r = coffer_json_put(digest.digest, "segments", TAKE_PTR(covered));
	return r < 0 ? r : coffer_json_put(json, "segments", TAKE_PTR(segments));
}

int coffer_conversion_write(
	struct json_object *json, const struct coffer_conversion *c, struct coffer_err *e)
{
	struct table t;
	int r;

	build_table(&t, c);
	r = write_table(json, &t, c);
	if (r < 0)
		return coffer_err_errno(e, -r, "build the metadata for byte %" PRIu64, c->pointer);
	return 0;
}

struct name_list {
	char names[8][8];
	unsigned int n;
};

static int collect_digest_of(const char *name, struct json_object *value, void *arg)
{
	void **args = arg;
	struct name_list *list = args[1];

	if (coffer_json_array_has(coffer_json_array(value, "keyslots"), args[0]) &&
		list->n < ARRAY_SIZE(list->names))
		(void)snprintf(list->names[list->n++], sizeof(list->names[0]), "%s", name);
	return 0;
}

int coffer_conversion_finish(
	struct json_object *json, const struct coffer_conversion *c, struct coffer_err *e)
{
	struct find_keyslot slot = reencrypt_keyslot(json);
	struct json_object *digests = coffer_json_object(json, "digests");
	struct coffer_conversion end = *c;
	struct name_list gone = {0};
	struct table t = {0};
	char slot_name[16];
	int r;

	if (!slot.keyslot)
		return coffer_err_set(e, EBADMSG, "the metadata has no reencryption keyslot");
	(void)snprintf(slot_name, sizeof(slot_name), "%s", slot.name);
	end.pointer = 0;
	add_regular(&t, &end);
	r = write_table(json, &t, &end);
	if (r < 0)
		return coffer_err_errno(e, -r, "build the final metadata");
	(void)coffer_json_foreach(digests, collect_digest_of, (void *[]){slot_name, &gone});
	for (unsigned int i = 0; i < gone.n; i++)
		coffer_json_del(digests, gone.names[i]);
	coffer_json_del(coffer_json_object(json, "keyslots"), slot_name);
	coffer_json_del(coffer_json_object(json, "config"), "requirements");
	return 0;
}

/* --- the digest over the reencryption --- */

int coffer_conversion_verify(
	struct json_object *json, const uint8_t *key, size_t key_size, struct coffer_err *e)
{
	return coffer_reencrypt_digest_verify(json, key, key_size, e);
}
