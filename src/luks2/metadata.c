/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "luks2/metadata.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/findings.h"
#include "base/crypto.h"
#include "luks2/copy.h"
#include "luks2/metadata_parts.h"

enum {
	MOST = 12,	 /* findings that are told of one section */
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

static void add(struct coffer_meta_run *run, enum coffer_meta_section section,
	enum coffer_verdict verdict, const char *who, const char *text)
{
	const int r = coffer_checks_add(run->l, ids[section], verdict, "%s%s%s%s", run->m->copy,
		who, who[0] ? ": " : "", text);

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
	if (level == COFFER_META_NOTE && run->m->only_bad)
		return;
	if (run->said[at->section]++ >= MOST)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	add(run, at->section, level == COFFER_META_NOTE ? COFFER_CHECK_NOTE : COFFER_CHECK_BAD,
		at->who, text);
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
	coffer_checks_remedy(at->run->l, "%s", text);
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

/* --- the whole --- */

static void check_text(struct coffer_meta_run *run)
{
	const struct coffer_meta_at at = {.run = run, .section = COFFER_META_JSON};
	const struct coffer_meta *m = run->m;
	const uint64_t area = m->copy_size - COFFER_LUKS2_BIN;
	const char *written = coffer_json_text(m->json);
	char name[64];
	int r = 0;

	if (m->text)
		r = coffer_json_duplicate(m->text, m->text_size, name, sizeof(name));
	if (r < 0 || !written) {
		run->r = -ENOMEM;
		return;
	}
	if (r > 0) {
		coffer_meta_say(&at, COFFER_META_WRONG,
			"an object has two members '%s': cryptsetup goes by the last of them, "
			"others may go by the first",
			name);
		coffer_meta_remedy(&at,
			"any change that cryptsetup makes writes the last of them alone: "
			"cryptsetup "
			"config %s --label LABEL",
			m->device);
	}
	if (strlen(written) > area)
		coffer_meta_say(&at, COFFER_META_REFUSED,
			"written anew it has %zu bytes, and there is room for %" PRIu64,
			strlen(written), area);
}

static struct json_object *top_object(struct coffer_meta_run *run, const char *key)
{
	const struct coffer_meta_at at = {.run = run, .section = COFFER_META_JSON};

	return coffer_meta_object(&at, run->m->json, key);
}

/* One line for each section in which nothing was found, and the rest of those with too much. */
static void sum_up(struct coffer_meta_run *run)
{
	static const char *const well[] = {
		[COFFER_META_JSON] = "the metadata are one JSON object with all its parts",
		[COFFER_META_CONFIG] = "the sizes of the header's areas are possible ones",
		[COFFER_META_REQUIREMENT] = "nothing is required of a reader that is not known",
		[COFFER_META_KEYSLOT] = "every keyslot has what it must have",
		[COFFER_META_AREA] = "the keyslots' areas lie where they may, and do not overlap",
		[COFFER_META_TOKEN] = "every token has what it must have",
		[COFFER_META_DIGEST] = "every digest has what it must have",
		[COFFER_META_SEGMENT] = "the segments are possible ones and fit together",
		[COFFER_META_REENCRYPTION] = "no reencryption is under way",
	};
	char text[64];

	static_assert(ARRAY_SIZE(well) == COFFER_META_N_SECTIONS, "every section has a sentence");
	for (int i = 0; i < COFFER_META_N_SECTIONS; i++) {
		if (run->said[i] > MOST) {
			(void)snprintf(
				text, sizeof(text), "%zu more of this kind", run->said[i] - MOST);
			add(run, (enum coffer_meta_section)i, COFFER_CHECK_BAD, "", text);
		} else if (run->said[i] == 0 && !run->m->only_bad) {
			add(run, (enum coffer_meta_section)i, COFFER_CHECK_OK, "", well[i]);
		}
	}
}

int coffer_meta_check(const struct coffer_meta *m, struct coffer_checks *l, bool *ret_accepted)
{
	struct coffer_meta_run run = {.m = m, .l = l};

	check_text(&run);
	run.config = top_object(&run, "config");
	run.keyslots = top_object(&run, "keyslots");
	run.tokens = top_object(&run, "tokens");
	run.digests = top_object(&run, "digests");
	run.segments = top_object(&run, "segments");
	coffer_meta_check_requirements(&run);
	coffer_meta_check_tokens(&run);
	coffer_meta_check_digests(&run);
	if (run.segments)
		coffer_meta_check_segments(&run);
	coffer_meta_check_keyslots(&run);
	if (run.config)
		coffer_meta_check_config(&run);
	coffer_meta_check_areas(&run);
	sum_up(&run);
	*ret_accepted = !run.refused;
	return run.r;
}

int coffer_meta_accepted(
	struct json_object *json, const char *text, size_t text_size, uint64_t copy_size, bool *ret)
{
	const struct coffer_meta m = {.json = json,
		.text = text,
		.text_size = text_size,
		.copy_size = copy_size,
		.device = "",
		.copy = "",
		.only_bad = true};
	struct coffer_checks scratch = {0};
	const int r = coffer_meta_check(&m, &scratch, ret);

	coffer_checks_free(&scratch);
	return r;
}

uint64_t coffer_meta_header_size(struct json_object *json, uint64_t copy_size)
{
	struct json_object *config = coffer_json_object(json, "config");
	uint64_t size;

	if (coffer_json_u64s(config, "keyslots_size", &size) < 0 ||
		!add_u64(size, 2 * copy_size, &size))
		return 0;
	return size;
}
