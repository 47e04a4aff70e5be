/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* metadata_parts.c - findings about one object of the metadata, and getters that make one */
#include "luks2/metadata_parts.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/crypto.h"
#include "base/findings.h"

enum {
	SALT_SIZE = 32,	 /* of keyslots and digests */
	SALT_ROOM = 256, /* for one that is too long */
};

static const char *const ids[] = {
	[COFFER_META_JSON] = "json",
	[COFFER_META_CONFIG] = "config",
	[COFFER_META_REQUIREMENT] = "requirement",
	[COFFER_META_KEYSLOT] = "keyslot",
	[COFFER_META_AREA] = "area",
	[COFFER_META_TOKEN] = "token",
	[COFFER_META_DIGEST] = "digest",
	[COFFER_META_SEGMENT] = "segment",
	[COFFER_META_REENCRYPTION] = "reencryption",
};
static_assert(ARRAY_SIZE(ids) == COFFER_META_N_SECTIONS, "every section has an id");

/* --- findings --- */

struct coffer_meta_at coffer_meta_at(struct coffer_meta_run *run, enum coffer_meta_section section,
	const char *what, const char *name)
{
	struct coffer_meta_at at = {.run = run, .section = section};

	(void)snprintf(
		at.who, sizeof(at.who), "%s %.12s%s", what, name, strlen(name) > 12 ? "..." : "");
	return at;
}

void coffer_meta_add(struct coffer_meta_run *run, enum coffer_meta_section section,
	enum coffer_verdict verdict, const char *who, const char *text)
{
	const int r = coffer_findings_add(run->l, ids[section], verdict, "%s%s%s%s", run->copy, who,
		who[0] ? ": " : "", text);

	if (run->r == 0)
		run->r = r;
}

void coffer_meta_say(
	const struct coffer_meta_at *at, enum coffer_meta_level level, const char *fmt, ...)
{
	struct coffer_meta_run *run = at->run;
	char text[400];
	va_list ap;

	run->refused = run->refused || level == COFFER_META_REFUSED;
	run->told = false;
	if (level == COFFER_META_NOTE && run->only_bad)
		return;
	if (run->said[at->section]++ >= COFFER_META_MOST)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	coffer_meta_add(run, at->section,
		level == COFFER_META_NOTE ? COFFER_VERDICT_NOTE : COFFER_VERDICT_BAD, at->who,
		text);
	run->told = run->r == 0;
}

void coffer_meta_remedy(const struct coffer_meta_at *at, const char *fmt, ...)
{
	char text[400];
	va_list ap;

	if (!at->run->told)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	coffer_findings_remedy(at->run->l, "%s", text);
}

/* --- getters --- */

static const char *key_of(const char *path)
{
	const char *dot = strrchr(path, '.');

	return dot ? dot + 1 : path;
}

/* Why a member is not what it must be. */
static void wrong_member(const struct coffer_meta_at *at, struct json_object *o, const char *path,
	const char *wanted)
{
	coffer_meta_say(at, COFFER_META_REFUSED,
		coffer_json_has(o, key_of(path)) ? "%s is %s" : "%s is missing", path, wanted);
}

struct json_object *coffer_meta_object(
	const struct coffer_meta_at *at, struct json_object *o, const char *path)
{
	struct json_object *v = coffer_json_object(o, key_of(path));

	if (!v)
		wrong_member(at, o, path, "no object");
	return v;
}

struct json_object *coffer_meta_array(
	const struct coffer_meta_at *at, struct json_object *o, const char *path)
{
	struct json_object *v = coffer_json_array(o, key_of(path));

	if (!v)
		wrong_member(at, o, path, "no list");
	return v;
}

const char *coffer_meta_text(
	const struct coffer_meta_at *at, struct json_object *o, const char *path)
{
	const char *s = coffer_json_string(o, key_of(path));

	if (s && *s)
		return s;
	wrong_member(at, o, path, s ? "empty" : "no text");
	return NULL;
}

bool coffer_meta_u64(
	const struct coffer_meta_at *at, struct json_object *o, const char *path, uint64_t *ret)
{
	if (coffer_json_u64s(o, key_of(path), ret) == 0)
		return true;
	wrong_member(at, o, path, "no text of a decimal number below 2^64");
	return false;
}

bool coffer_meta_u32(
	const struct coffer_meta_at *at, struct json_object *o, const char *path, uint32_t *ret)
{
	if (coffer_json_u32(o, key_of(path), ret) == 0)
		return true;
	wrong_member(at, o, path, "no number from 0 to 2^32 - 1");
	return false;
}

bool coffer_meta_count(
	const struct coffer_meta_at *at, struct json_object *o, const char *path, uint32_t *ret)
{
	if (!coffer_json_is_int(o, key_of(path))) {
		wrong_member(at, o, path, "no whole number");
		return false;
	}
	if (coffer_json_u32(o, key_of(path), ret) == 0 && *ret > 0)
		return true;
	coffer_meta_say(at, COFFER_META_WRONG, "%s is no number from 1 to 2^32 - 1", path);
	return false;
}

bool coffer_meta_number(const struct coffer_meta_at *at, const char *name, unsigned int limit)
{
	unsigned int n = 0;

	if (name[strspn(name, "0123456789")]) {
		coffer_meta_say(at, COFFER_META_REFUSED, "its name is no number");
		return false;
	}
	for (const char *s = name; *s && n < limit; s++)
		n = 10 * n + (unsigned int)(*s - '0');
	if (*name && n < limit && (name[0] != '0' || !name[1]))
		return true;
	coffer_meta_say(at, COFFER_META_WRONG, "its name is none of \"0\" to \"%u\"", limit - 1);
	return false;
}

void coffer_meta_names(const struct coffer_meta_at *at, struct json_object *array,
	struct json_object *objects, const char *what)
{
	for (size_t i = 0; i < coffer_json_length(array); i++) {
		const char *name = coffer_json_item_string(array, i);

		if (!name)
			coffer_meta_say(
				at, COFFER_META_REFUSED, "item %zu of its %ss is no text", i, what);
		else if (!coffer_json_object(objects, name))
			coffer_meta_say(at, COFFER_META_REFUSED,
				"it names the %s %.12s, and there is none", what, name);
	}
}

bool coffer_meta_texts(const struct coffer_meta_at *at, struct json_object *array, const char *path)
{
	for (size_t i = 0; i < coffer_json_length(array); i++)
		if (!coffer_json_item_string(array, i)) {
			coffer_meta_say(
				at, COFFER_META_REFUSED, "item %zu of %s is no text", i, path);
			return false;
		}
	return true;
}

void coffer_meta_salt(const struct coffer_meta_at *at, const char *text, const char *path)
{
	uint8_t salt[SALT_ROOM];
	size_t n = 0;
	const int r = coffer_base64_decode(text, salt, sizeof(salt), &n);

	if (r == -EBADMSG)
		coffer_meta_say(at, COFFER_META_WRONG, "%s is no base64", path);
	else if (r < 0)
		coffer_meta_say(
			at, COFFER_META_WRONG, "%s is longer than %d bytes", path, SALT_SIZE);
	else if (n != SALT_SIZE)
		coffer_meta_say(
			at, COFFER_META_WRONG, "%s has %zu bytes, not %d", path, n, SALT_SIZE);
}

void coffer_meta_hash(const struct coffer_meta_at *at, const char *name, const char *path)
{
	if (coffer_digest_size(name) == 0)
		coffer_meta_say(at, COFFER_META_NOTE,
			"%s '%.32s' is not known on this machine, or has more than %d bytes", path,
			name, COFFER_MAX_DIGEST_SIZE);
}

struct counting {
	const char *list, *name;
	unsigned int n;
};

static int count_digest(const char *name, struct json_object *digest, void *arg)
{
	struct counting *c = arg;

	(void)name;
	c->n += coffer_json_array_has(coffer_json_array(digest, c->list), c->name);
	return 0;
}

unsigned int coffer_meta_digests_of(
	const struct coffer_meta_run *run, const char *list, const char *name)
{
	struct counting c = {.list = list, .name = name};

	/* More than that many are refused; their lists may be as long as the area. */
	if (coffer_json_length(run->digests) <= COFFER_META_MAX)
		(void)coffer_json_foreach(run->digests, count_digest, &c);
	return c.n;
}
