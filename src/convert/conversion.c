/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* conversion.c - progress of an encryption in place, as LUKS2 metadata describes it */
#include "convert/conversion.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "luks2/keyslots.h"

/* Segments: four regular ones at most (inside a hot step of stock) and three backups. */
enum {
	MAX_SEGMENTS = 7,
	DYNAMIC = 0
};

struct segment {
	bool crypt;
	uint64_t offset;
	uint64_t size;	       /* DYNAMIC: to the end of the device */
	uint64_t plain_offset; /* of its first byte, for crypt */
	const char *flag;      /* NULL: none */
};

struct table {
	struct segment s[MAX_SEGMENTS];
	unsigned int n;
	unsigned int n_regular;
};

static const char requirement[] = "online-reencrypt-v2";

/* --- the segments that coffer would write ----------------------------------------------------- */

static void add(struct table *t, bool crypt, uint64_t offset, uint64_t size, uint64_t plain_offset,
	const char *flag)
{
	t->s[t->n++] = (struct segment){crypt, offset, size, plain_offset, flag};
}

/* The regular segments at pointer p: what is still plain, then what is encrypted. While stock is
 * inside the step [@q, p), the step's ciphertext has a segment of its own. */
static void add_regular(struct table *t, const struct coffer_conversion *c, uint64_t q)
{
	const struct coffer_geometry *g = &c->geometry;
	const uint64_t p = c->pointer, plain = c->hot ? q : p;

	if (plain > 0)
		add(t, false, coffer_segment_copy_offset(g), g->shift, 0, NULL);
	if (plain > g->shift)
		add(t, false, g->shift, plain - g->shift, 0, NULL);
	if (c->hot)
		add(t, true, g->shift + q, p - q, q, "in-reencryption");
	if (p == 0 && !c->hot)
		add(t, true, g->shift, DYNAMIC, 0, NULL);
	else if (p < g->length)
		add(t, true, g->shift + p, g->length - p, p, NULL);
	t->n_regular = t->n;
}

static void build_table(struct table *t, const struct coffer_conversion *c, uint64_t q)
{
	const struct coffer_geometry *g = &c->geometry;

	*t = (struct table){0};
	add_regular(t, c, q);
	add(t, false, 0, g->length, 0, "backup-previous");
	add(t, true, g->shift, DYNAMIC, 0, "backup-final");
	add(t, false, coffer_segment_copy_offset(g), g->shift, 0, "backup-moved-segment");
}

/* NULL: no memory. */
static struct json_object *segment_json(const struct segment *s, const struct coffer_conversion *c)
{
	char size[32] = "dynamic", crypt[192] = "", flags[64] = "", text[512];
	struct json_object *o = NULL;
	int n;

	if (s->size != DYNAMIC)
		(void)snprintf(size, sizeof(size), "%" PRIu64, s->size);
	if (s->crypt)
		(void)snprintf(crypt, sizeof(crypt),
			",\"iv_tweak\":\"%" PRIu64
			"\",\"encryption\":\"%s\",\"sector_size\":%" PRIu32,
			s->plain_offset / COFFER_SECTOR, COFFER_CIPHER, c->geometry.sector_size);
	if (s->flag)
		(void)snprintf(flags, sizeof(flags), ",\"flags\":[\"%s\"]", s->flag);
	n = snprintf(text, sizeof(text),
		"{\"type\":\"%s\",\"offset\":\"%" PRIu64 "\",\"size\":\"%s\"%s%s}",
		s->crypt ? "crypt" : "linear", s->offset, size, crypt, flags);
	(void)coffer_json_parse(text, (size_t)n, &o);
	return o;
}

/* --- reading ---------------------------------------------------------------------------------- */

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

static bool text_is(struct json_object *o, const char *key, const char *value)
{
	const char *s = coffer_json_string(o, key);

	return s && strcmp(s, value) == 0;
}

/* Without memory to ask for: a failure must not look like a contradiction. */
static bool segment_matches(
	struct json_object *o, const struct segment *s, const struct coffer_conversion *c)
{
	uint64_t offset, size, iv;
	uint32_t sector_size;

	if (!text_is(o, "type", s->crypt ? "crypt" : "linear") ||
		coffer_json_u64s(o, "offset", &offset) < 0 || offset != s->offset)
		return false;
	if (s->size == DYNAMIC ? !text_is(o, "size", "dynamic")
			       : coffer_json_u64s(o, "size", &size) < 0 || size != s->size)
		return false;
	if (coffer_json_length(coffer_json_array(o, "flags")) != (s->flag ? 1 : 0) ||
		(s->flag && !has_flag(o, s->flag)))
		return false;
	if (!s->crypt)
		return true;
	return coffer_json_u64s(o, "iv_tweak", &iv) == 0 && iv == s->plain_offset / COFFER_SECTOR &&
	       coffer_json_u32(o, "sector_size", &sector_size) == 0 &&
	       sector_size == c->geometry.sector_size && text_is(o, "encryption", COFFER_CIPHER) &&
	       !coffer_json_object(o, "integrity");
}

/* Are the segments those of @t? Regular ones by position, backups by flag: stock orders the backups
 * in two ways. */
static bool table_matches(
	struct json_object *segments, const struct table *t, const struct coffer_conversion *c)
{
	for (unsigned int i = 0; i < t->n; i++)
		if (!segment_matches(i < t->n_regular
					     ? nth(segments, i)
					     : coffer_segment_flagged(segments, t->s[i].flag),
			    &t->s[i], c))
			return false;
	return coffer_json_length(segments) == t->n;
}

/* The pointer follows from the regular segments; whether they are right is checked after. */
static int read_pointer(struct json_object *segments, struct coffer_conversion *c, uint64_t *ret_q)
{
	struct json_object *hot = coffer_segment_flagged(segments, "in-reencryption");
	uint64_t sum = 0, size;

	if (!nth(segments, 0))
		return -EBADMSG;
	c->hot = hot != NULL;
	for (unsigned int i = 0; i < 2; i++) {
		struct json_object *s = nth(segments, i);

		if (!text_is(s, "type", "linear") || has_flag(s, "backup-previous") ||
			has_flag(s, "backup-final") || has_flag(s, "backup-moved-segment"))
			break;
		if (coffer_json_u64s(s, "size", &size) < 0 || !add_u64(sum, size, &sum))
			return -EBADMSG;
	}
	*ret_q = sum;
	if (hot && (coffer_json_u64s(hot, "size", &size) < 0 || size > c->geometry.shift ||
			   !add_u64(sum, size, &sum)))
		return -EBADMSG;
	c->pointer = sum;
	return 0;
}

/* The layout. NULL, or the reason why the reencryption is not of the kind that coffer does. */
static const char *read_geometry(struct json_object *json, struct coffer_conversion *c)
{
	struct coffer_geometry *g = &c->geometry;
	struct json_object *segments = coffer_json_object(json, "segments");
	struct json_object *previous = coffer_segment_flagged(segments, "backup-previous");
	struct json_object *final = coffer_segment_flagged(segments, "backup-final");
	struct json_object *moved = coffer_segment_flagged(segments, "backup-moved-segment");
	const char *name;
	struct json_object *slot = coffer_keyslot_reencrypt(json, &name);
	struct json_object *area = coffer_json_object(slot, "area");
	uint64_t segment_copy, shift;

	if (!slot)
		return "it has not one reencryption keyslot";
	if (!text_is(slot, "mode", "encrypt"))
		return "it is a decryption or a change of key";
	if (!text_is(slot, "direction", "backward") || !text_is(area, "type", "datashift") ||
		coffer_json_u64s(final, "offset", &g->shift) < 0 ||
		coffer_json_u32(final, "sector_size", &g->sector_size) < 0 ||
		coffer_json_u64s(previous, "size", &g->length) < 0 ||
		coffer_json_u64s(moved, "offset", &segment_copy) < 0 ||
		!add_u64(segment_copy, g->shift, &g->device))
		return "it does not shift the data";
	if (coffer_json_u64s(area, "shift_size", &shift) < 0 || shift != g->shift)
		return "its shift is not its data offset";
	if (!text_is(final, "encryption", COFFER_CIPHER))
		return "its cipher is not " COFFER_CIPHER;
	return NULL;
}

/* The digest of the volume key: the one that covers the segment flagged backup-final. */
static struct json_object *volume_key_digest(struct json_object *json)
{
	struct json_object *segments = coffer_json_object(json, "segments");
	char name[16] = "";

	for (unsigned int i = 0; i < coffer_json_length(segments); i++)
		if (has_flag(nth(segments, i), "backup-final"))
			(void)snprintf(name, sizeof(name), "%u", i);
	return name[0] ? coffer_keyslot_digest(json, "segments", name) : NULL;
}

static int read_key_size(struct json_object *json, uint32_t *ret)
{
	struct json_object *with_key = coffer_json_array(volume_key_digest(json), "keyslots");
	struct json_object *keyslots = coffer_json_object(json, "keyslots");
	const char *name;

	for (size_t i = 0; i < coffer_json_length(keyslots); i++) {
		struct json_object *slot = coffer_json_member(keyslots, i, &name);

		if (coffer_json_array_has(with_key, name) &&
			coffer_json_u32(slot, "key_size", ret) == 0)
			return 0;
	}
	return -EBADMSG;
}

/* Of a reencryption of coffer's kind. */
static int read_state(struct json_object *json, struct coffer_conversion *c, struct coffer_err *e)
{
	struct json_object *segments = coffer_json_object(json, "segments");
	struct table t;
	uint64_t q;

	if (read_pointer(segments, c, &q) < 0 || !coffer_pointer_ok(&c->geometry, c->pointer) ||
		(c->hot && !coffer_pointer_ok(&c->geometry, q)))
		return coffer_err_set(e, EBADMSG, "its segments show an impossible progress");
	build_table(&t, c, q);
	if (!table_matches(segments, &t, c))
		return coffer_err_set(e, EBADMSG,
			"its segments are not those of an encryption at byte %" PRIu64, c->pointer);
	if (read_key_size(json, &c->key_size) < 0)
		return coffer_err_set(e, EBADMSG, "no keyslot holds the key of the final segment");
	return 0;
}

int coffer_conversion_read(struct json_object *json, enum coffer_luks2_kind *ret_kind,
	struct coffer_conversion *ret, struct coffer_err *e)
{
	struct json_object *config = coffer_json_object(json, "config");
	struct json_object *mandatory =
		coffer_json_array(coffer_json_object(config, "requirements"), "mandatory");
	struct json_object *segments = coffer_json_object(json, "segments");
	const char *first = coffer_json_item_string(mandatory, 0);
	struct coffer_conversion c = {0};
	const char *why;
	int r;

	if (coffer_json_length(mandatory) == 0) {
		/* The requirement and the backups come and go in one commit. */
		if (coffer_segment_flagged(segments, "backup-final"))
			return coffer_err_set(e, EBADMSG,
				"its segments are those of a reencryption, but none is required");
		*ret_kind = COFFER_LUKS2_ENCRYPTED;
		return 0;
	}
	*ret_kind = COFFER_LUKS2_OTHER;
	ret->hot = coffer_segment_flagged(segments, "in-reencryption") != NULL;
	if (coffer_json_length(mandatory) != 1 || !coffer_json_array_has(mandatory, requirement)) {
		(void)coffer_err_set(e, EOPNOTSUPP, "its header requires '%s'%s",
			first ? first : "an unnamed feature",
			coffer_json_length(mandatory) > 1 ? " and more" : "");
		return 0;
	}
	why = read_geometry(json, &c);
	if (why)
		(void)coffer_err_set(e, EOPNOTSUPP, "%s", why);
	if (why || coffer_geometry_check(&c.geometry, e) < 0) {
		(void)coffer_err_wrap(e, -EOPNOTSUPP,
			"a reencryption that coffer does not support is in progress");
		return 0;
	}
	r = read_state(json, &c, e);
	if (r < 0)
		return r;
	*ret = c;
	*ret_kind = COFFER_LUKS2_CONVERTING;
	return 0;
}

/* --- writing ---------------------------------------------------------------------------------- */

/* Replace the segments by @t, and the list of those that the volume key's digest covers. */
static int write_table(
	struct json_object *json, const struct table *t, const struct coffer_conversion *c)
{
	_cleanup_json_ struct json_object *segments = coffer_json_object_new();
	_cleanup_json_ struct json_object *covered = coffer_json_array_new();
	struct json_object *digest = volume_key_digest(json);
	char key[16];
	int r;

	if (!digest)
		return -EBADMSG;
	if (!segments || !covered)
		return -ENOMEM;
	for (unsigned int i = 0; i < t->n; i++) {
		(void)snprintf(key, sizeof(key), "%u", i);
		r = coffer_json_put(segments, key, segment_json(&t->s[i], c));
		if (r == 0 && t->s[i].crypt)
			r = coffer_json_append_string(covered, key);
		if (r < 0)
			return r;
	}
	r = coffer_json_put(digest, "segments", TAKE_PTR(covered));
	return r < 0 ? r : coffer_json_put(json, "segments", TAKE_PTR(segments));
}

int coffer_conversion_write(
	struct json_object *json, const struct coffer_conversion *c, struct coffer_err *e)
{
	struct table t;
	int r;

	build_table(&t, c, 0);
	r = c->hot ? -EINVAL : write_table(json, &t, c); /* coffer commits between steps only */
	if (r < 0)
		return coffer_err_errno(e, -r, "build the metadata for byte %" PRIu64, c->pointer);
	return 0;
}

int coffer_conversion_finish(
	struct json_object *json, const struct coffer_conversion *c, struct coffer_err *e)
{
	struct json_object *digests = coffer_json_object(json, "digests");
	struct coffer_conversion end = *c;
	struct table t = {0};
	const char *slot, *name;
	int r;

	if (!coffer_keyslot_reencrypt(json, &slot))
		return coffer_err_set(e, EBADMSG, "the metadata has no reencryption keyslot");
	end.pointer = 0;
	end.hot = false;
	add_regular(&t, &end, 0);
	r = write_table(json, &t, &end);
	if (r < 0)
		return coffer_err_errno(e, -r, "build the final metadata");
	for (size_t i = coffer_json_length(digests); i-- > 0;) {
		struct json_object *d = coffer_json_member(digests, i, &name);

		if (coffer_json_array_has(coffer_json_array(d, "keyslots"), slot))
			coffer_json_del(digests, name);
	}
	coffer_json_del(coffer_json_object(json, "keyslots"), slot);
	coffer_json_del(coffer_json_object(json, "config"), "requirements");
	return 0;
}
