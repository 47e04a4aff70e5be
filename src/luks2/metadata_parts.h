/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* metadata_parts.h - what the parts of luks2meta share: findings, and getters that make one */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/json.h"
#include "coffer/finding.h"

enum coffer_meta_section {
	COFFER_META_JSON,
	COFFER_META_CONFIG,
	COFFER_META_REQUIREMENT,
	COFFER_META_KEYSLOT,
	COFFER_META_AREA,
	COFFER_META_TOKEN,
	COFFER_META_DIGEST,
	COFFER_META_SEGMENT,
	COFFER_META_REENCRYPTION,
	COFFER_META_N_SECTIONS,
};

enum coffer_meta_level {
	COFFER_META_NOTE,
	COFFER_META_WRONG,   /* BAD: libcryptsetup loads it, but it cannot be used as it is */
	COFFER_META_REFUSED, /* BAD: libcryptsetup does not load it */
};

enum {
	COFFER_META_MOST = 12, /* findings that are told of one section */
	/* More than the format allows of anything, so that all of it can be told; and few enough
	 * that a hostile header costs no time. */
	COFFER_META_MAX = 64,
	COFFER_META_NAMES = 32, /* keyslots, tokens and segments are called "0" to "31" */
	COFFER_META_DIGESTS = 8,
};

struct coffer_meta_area {
	char who[32]; /* "keyslot 3" */
	uint64_t offset, size;
};

/* What the requirements say of a reencryption. */
struct coffer_meta_requirements {
	unsigned int candidates; /* how many have the form online-reencrypt[-vN] */
	unsigned int version;	 /* of the one that is known: 1 to 3; 0: none is under way */
};

struct coffer_meta;

struct coffer_meta_run {
	const struct coffer_meta *m;
	const char *copy; /* in front of each sentence: "", or which of two copies it is */
	bool only_bad;	  /* leave out what is OK, and notes */
	struct coffer_findings *l;
	struct json_object *config, *keyslots, *tokens, *digests, *segments;
	size_t said[COFFER_META_N_SECTIONS]; /* findings, those that were not told too */
	bool told; /* the finding that was said last is in the list, so a remedy belongs to it */
	bool refused;
	int r; /* the first failure */
	struct coffer_meta_requirements requirements;
	struct coffer_meta_area areas[COFFER_META_MAX];
	size_t n_areas;
	unsigned int n_reencrypt; /* keyslots of that type */
	bool sizes_known;	  /* the config's sizes are possible ones */
	uint64_t keyslots_size;
};

/* One object that is looked at: every sentence about it begins with its name. */
struct coffer_meta_at {
	struct coffer_meta_run *run;
	enum coffer_meta_section section;
	char who[32]; /* "keyslot 3"; "": the section itself */
};
struct coffer_meta_at coffer_meta_at(struct coffer_meta_run *run, enum coffer_meta_section section,
	const char *what, const char *name);

/* One finding, whatever was told before. */
void coffer_meta_add(struct coffer_meta_run *run, enum coffer_meta_section section,
	enum coffer_verdict verdict, const char *who, const char *text);

void coffer_meta_say(const struct coffer_meta_at *at, enum coffer_meta_level level, const char *fmt,
	...) __attribute__((format(printf, 3, 4)));
void coffer_meta_remedy(const struct coffer_meta_at *at, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* Getters of a member that must be there: REFUSED where it is not, or of another type. @path names
 * it in the sentence, "kdf.salt"; its last word is the key in @o. */
struct json_object *coffer_meta_object(
	const struct coffer_meta_at *at, struct json_object *o, const char *path);
struct json_object *coffer_meta_array(
	const struct coffer_meta_at *at, struct json_object *o, const char *path);
/* A text that is not empty. */
const char *coffer_meta_text(
	const struct coffer_meta_at *at, struct json_object *o, const char *path);
bool coffer_meta_u64(
	const struct coffer_meta_at *at, struct json_object *o, const char *path, uint64_t *ret);
/* An integer; WRONG where it is none of 1 to 2^32 - 1. */
bool coffer_meta_count(
	const struct coffer_meta_at *at, struct json_object *o, const char *path, uint32_t *ret);
/* An integer of 32 bits. */
bool coffer_meta_u32(
	const struct coffer_meta_at *at, struct json_object *o, const char *path, uint32_t *ret);

/* @name as the number it must be: REFUSED where it is no digits, WRONG where it is none of the
 * @limit names that there are. */
bool coffer_meta_number(const struct coffer_meta_at *at, const char *name, unsigned int limit);
/* Every item of @array is the name of an object in @objects; @what: "keyslot". */
void coffer_meta_names(const struct coffer_meta_at *at, struct json_object *array,
	struct json_object *objects, const char *what);
/* Every item of @array is a text; REFUSED, with @path, where one is not. */
bool coffer_meta_texts(
	const struct coffer_meta_at *at, struct json_object *array, const char *path);
/* A salt of 32 bytes in base64; WRONG where it is none. */
void coffer_meta_salt(const struct coffer_meta_at *at, const char *text, const char *path);
/* A note where this machine does not know a hash. */
void coffer_meta_hash(const struct coffer_meta_at *at, const char *name, const char *path);

/* In how many digests' @list ("keyslots" or "segments") is @name? */
unsigned int coffer_meta_digests_of(
	const struct coffer_meta_run *run, const char *list, const char *name);

/* The sections. Requirements come first, keyslots before areas. */
void coffer_meta_check_requirements(struct coffer_meta_run *run);
void coffer_meta_check_config(struct coffer_meta_run *run);
void coffer_meta_check_tokens(struct coffer_meta_run *run);
void coffer_meta_check_digests(struct coffer_meta_run *run);
void coffer_meta_check_segments(struct coffer_meta_run *run);
void coffer_meta_check_keyslots(struct coffer_meta_run *run);
void coffer_meta_check_areas(struct coffer_meta_run *run);
/* The keyslot of a reencryption. */
void coffer_meta_check_reencrypt(
	const struct coffer_meta_at *at, struct json_object *slot, const char *name);
