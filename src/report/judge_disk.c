/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* judge_disk.c - the state of one disk, and of the volume on it */
#include "report/judge.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/findings.h"
#include "luks2/keyslots.h"

enum {
	/* cryptsetup measures a million or more in its two seconds; a thousand is its minimum.
	 * Below this a passphrase is tried 10 times faster. */
	FEW_ITERATIONS = 100000,
	STRIPES = 4000
};

/* --- stage --- */

const struct coffer_holder *coffer_status_holder(
	const struct coffer_status *s, enum coffer_holder_kind kind)
{
	for (size_t i = 0; i < s->n_holders; i++)
		if (s->holders[i].kind == kind)
			return &s->holders[i];
	return NULL;
}

/* What an unfinished conversion is; NULL: the stage is none. */
static const char *const meanings[COFFER_N_STAGES] = {
	[COFFER_STAGE_PLACING] = "the LUKS2 header is partly placed; nothing is encrypted yet",
	[COFFER_STAGE_PLACED] = "the LUKS2 header is placed; nothing is encrypted yet",
	[COFFER_STAGE_CONVERTING] = "the conversion is not finished",
	[COFFER_STAGE_WIPE_PENDING] =
		"all data is encrypted; the plain copy of the first bytes is not wiped yet",
	[COFFER_STAGE_UNDOING] = "an abort is not finished",
	[COFFER_STAGE_OTHER] = "a reencryption by cryptsetup is not finished",
};

static int judge_unfinished(
	const struct coffer_status *s, bool locked, bool complete, struct coffer_findings *l)
{
	const struct coffer_holder *worker = coffer_status_holder(s, COFFER_HOLDER_REENCRYPTION);
	const struct coffer_argument stage = COFFER_ARG_TEXT("meaning", meanings[s->stage]);

	if (worker)
		return coffer_findings_add(l, COFFER_TEXT_CONVERSION_ACTIVE,
			COFFER_WITH(stage, COFFER_ARG_NUMBER("pid", (uint64_t)worker->pid),
				COFFER_ARG_TEXT("program", worker->name)),
			NULL);
	if (locked)
		return coffer_findings_add(
			l, COFFER_TEXT_CONVERSION_ACTIVE_HIDDEN, COFFER_WITH(stage), NULL);
	return coffer_findings_add(l,
		complete ? COFFER_TEXT_CONVERSION_INTERRUPTED : COFFER_TEXT_CONVERSION_HIDDEN,
		COFFER_WITH(stage, COFFER_ARG_TEXT("reason", s->why)),
		(const char *const *)s->command);
}

int coffer_judge_stage(
	const struct coffer_status *s, bool locked, bool complete, struct coffer_findings *l)
{
	if (meanings[s->stage])
		return judge_unfinished(s, locked, complete, l);
	switch (s->stage) {
	case COFFER_STAGE_PLAIN:
	case COFFER_STAGE_RESERVED:
		/* Why a filesystem cannot be encrypted does not matter here; why there is none
		 * does. */
		return coffer_findings_add(l, COFFER_TEXT_CONVERSION_PLAIN,
			COFFER_WITH(COFFER_ARG_TEXT("reason", s->filesystem[0] ? "" : s->why)),
			NULL);
	case COFFER_STAGE_ENCRYPTED:
		return coffer_findings_add(l,
			s->luks_version == 1 ? COFFER_TEXT_CONVERSION_LUKS1
					     : COFFER_TEXT_CONVERSION_NONE,
			NULL, NULL);
	case COFFER_STAGE_SHRUNK:
		return coffer_findings_add(l, COFFER_TEXT_SHRUNK,
			COFFER_WITH(COFFER_ARG_NUMBER("device_bytes", s->size),
				COFFER_ARG_NUMBER("conversion_bytes", s->device_size)),
			NULL);
	default:
		return coffer_findings_add(l, COFFER_TEXT_DAMAGED,
			COFFER_WITH(COFFER_ARG_TEXT("reason", s->why)),
			(const char *const *)s->command);
	}
}

/* --- keyslots --- */

static bool opens(const struct coffer_keyslot *s)
{
	return s->bound && strcmp(s->type, "luks2") == 0;
}

static bool has_token(const struct coffer_keys *k, const struct coffer_keyslot *s)
{
	for (size_t i = 0; i < k->n_tokens; i++)
		if (k->tokens[i].keyslots >> s->number & 1)
			return true;
	return false;
}

static int judge_count(const struct coffer_keys *k, const struct coffer_keyslot_state *s,
	struct coffer_findings *l)
{
	size_t n = 0;

	for (size_t i = 0; i < k->n_slots; i++)
		n += opens(&k->slots[i]);
	return coffer_findings_add(l,
		n > 1			  ? COFFER_TEXT_KEYSLOTS
		: n == 1 && s->converting ? COFFER_TEXT_KEYSLOTS_ONE_CONVERTING
		: n == 1		  ? COFFER_TEXT_KEYSLOTS_ONE
		: s->open		  ? COFFER_TEXT_KEYSLOTS_NONE_OPEN
					  : COFFER_TEXT_KEYSLOTS_NONE,
		COFFER_WITH(COFFER_ARG_NUMBER("keyslots", n)), NULL);
}

/* A keyslot of a token has a long random passphrase, for which a thousand iterations are enough. */
static int judge_pbkdf2(const struct coffer_keys *k, const struct coffer_keyslot_state *s,
	struct coffer_findings *l)
{
	for (size_t i = 0; i < k->n_slots; i++) {
		const struct coffer_keyslot *slot = &k->slots[i];
		char number[16];
		int r;

		if (!opens(slot) || strcmp(slot->kdf, "pbkdf2") != 0 ||
			slot->iterations >= FEW_ITERATIONS || has_token(k, slot))
			continue;
		(void)snprintf(number, sizeof(number), "%u", slot->number);
		r = coffer_findings_add(l, COFFER_TEXT_PBKDF_WEAK,
			COFFER_WITH(COFFER_ARG_NUMBER("keyslot", slot->number),
				COFFER_ARG_NUMBER("iterations", slot->iterations)),
			s->converting ? NULL
				      : COFFER_RUN("cryptsetup", "luksConvertKey", "--key-slot",
						number, "--pbkdf", "argon2id", s->device));
		if (r < 0)
			return r;
	}
	return 0;
}

static int judge_space(struct json_object *json, const struct coffer_keys *k,
	const struct coffer_keyslot_state *s, struct coffer_findings *l)
{
	uint64_t size, used = 0, one = 0;

	if (s->converting ||
		coffer_json_u64s(coffer_json_object(json, "config"), "keyslots_size", &size) < 0)
		return 0;
	for (size_t i = 0; i < k->n_slots; i++) {
		if (!add_u64(used, round_up_u64(k->slots[i].material, 4096), &used))
			return 0;
		if (opens(&k->slots[i]))
			one = round_up_u64((uint64_t)k->slots[i].key_size * STRIPES, 4096);
	}
	if (one == 0 || (k->n_slots < COFFER_MAX_KEYSLOTS && used <= size && size - used >= one))
		return 0;
	return coffer_findings_add(l, COFFER_TEXT_KEYSLOT_SPACE, NULL, NULL);
}

static int judge_memory(const struct coffer_keys *k, const struct coffer_keyslot_state *s,
	struct coffer_findings *l)
{
	const struct coffer_keyslot *most = NULL, *least = NULL;
	enum coffer_text t = COFFER_TEXT_KEY_MEMORY;

	for (size_t i = 0; i < k->n_slots; i++) {
		const struct coffer_keyslot *slot = &k->slots[i];

		if (!opens(slot))
			continue;
		most = !most || slot->memory > most->memory ? slot : most;
		least = !least || slot->memory < least->memory ? slot : least;
	}
	if (!most || s->available_kib == 0 || most->memory == 0)
		return 0;
	if (most->memory > s->available_kib)
		t = least->memory > s->available_kib && !s->open ? COFFER_TEXT_KEY_MEMORY_NONE
								 : COFFER_TEXT_KEY_MEMORY_LITTLE;
	return coffer_findings_add(l, t,
		COFFER_WITH(COFFER_ARG_NUMBER("keyslot", most->number),
			COFFER_ARG_SIZE("needed", (uint64_t)most->memory << 10),
			COFFER_ARG_SIZE(
				"available", min_u64(s->available_kib, UINT64_MAX >> 10) << 10)),
		NULL);
}

int coffer_judge_keyslots(
	struct json_object *json, const struct coffer_keyslot_state *s, struct coffer_findings *l)
{
	struct coffer_keys k;
	int r;

	coffer_keys_read(json, &k);
	r = judge_count(&k, s, l);
	if (r == 0)
		r = judge_pbkdf2(&k, s, l);
	if (r == 0)
		r = judge_space(json, &k, s, l);
	return r < 0 ? r : judge_memory(&k, s, l);
}

/* --- the volume --- */

int coffer_judge_filesystem(const struct coffer_filesystem_facts *s, struct coffer_findings *l)
{
	enum coffer_text t = COFFER_TEXT_FILESYSTEM_END;
	int r;

	r = coffer_findings_add(l,
		s->type[0] ? COFFER_TEXT_FILESYSTEM_FOUND : COFFER_TEXT_FILESYSTEM_NONE,
		COFFER_WITH(COFFER_ARG_TEXT("filesystem", s->type),
			COFFER_ARG_TEXT("uuid", s->uuid), COFFER_ARG_TEXT("label", s->label)),
		NULL);
	if (r < 0)
		return r;
	/* A contradiction proves nothing if it was read while it changed. */
	if (s->invalid)
		t = s->in_use ? COFFER_TEXT_FILESYSTEM_END_IN_USE : COFFER_TEXT_FILESYSTEM_INVALID;
	else if (s->fs.kind == COFFER_FS_NONE)
		t = COFFER_TEXT_FILESYSTEM_END_UNKNOWN;
	else if (s->fs.end > s->available)
		t = s->in_use ? COFFER_TEXT_FILESYSTEM_END_IN_USE
			      : COFFER_TEXT_FILESYSTEM_END_MISSING;
	return coffer_findings_add(l, t,
		COFFER_WITH(COFFER_ARG_NUMBER("filesystem_end", s->fs.end),
			COFFER_ARG_NUMBER("available", s->available),
			COFFER_ARG_TEXT("filesystem", s->type[0] ? s->type : "the content"),
			COFFER_ARG_TEXT("reason", s->invalid ? s->invalid : "")),
		NULL);
}

/* --- remains of a conversion --- */

static int judge_records(const struct coffer_remnants *s, struct coffer_findings *l)
{
	static const char *const names[] = {
		[COFFER_RECORD_PLACE] = "placement", [COFFER_RECORD_UNDO] = "undo"};
	bool found = false;

	for (int kind = COFFER_RECORD_PLACE; kind <= COFFER_RECORD_UNDO; kind++) {
		const bool own = strcmp(s->record[kind].uuid, s->uuid) == 0;
		int r;

		if (!s->has_record[kind])
			continue;
		found = true;
		r = coffer_findings_add(l,
			own ? COFFER_TEXT_RECORD_OWN : COFFER_TEXT_RECORD_FOREIGN,
			COFFER_WITH(COFFER_ARG_TEXT("kind", names[kind]),
				COFFER_ARG_NUMBER(
					"offset", coffer_record_offset(&s->geometry, kind))),
			NULL);
		if (r < 0)
			return r;
	}
	return found ? 0 : coffer_findings_add(l, COFFER_TEXT_RECORD_NONE, NULL, NULL);
}

static int judge_image(const struct coffer_remnants *s, struct coffer_findings *l)
{
	const struct coffer_record *rec = &s->record[COFFER_RECORD_PLACE];
	const bool own = strcmp(rec->uuid, s->uuid) == 0;

	if (!s->has_record[COFFER_RECORD_PLACE])
		return 0;
	return coffer_findings_add(l,
		!s->image_intact ? COFFER_TEXT_IMAGE_GONE
		: own		 ? COFFER_TEXT_IMAGE_OWN
				 : COFFER_TEXT_IMAGE_FOREIGN,
		COFFER_WITH(COFFER_ARG_NUMBER("offset", coffer_image_offset(&s->geometry)),
			COFFER_ARG_TEXT("uuid", rec->uuid)),
		NULL);
}

static int judge_copy(const struct coffer_remnants *s, struct coffer_findings *l)
{
	enum coffer_text t = COFFER_TEXT_SEGMENT_COPY_OTHER;

	if (!s->copy_type[0])
		t = COFFER_TEXT_SEGMENT_COPY_NONE;
	else if (!s->fs_uuid)
		t = COFFER_TEXT_SEGMENT_COPY_UNKNOWN;
	else if (s->fs_uuid[0] && strcmp(s->fs_uuid, s->copy_uuid) == 0)
		t = COFFER_TEXT_SEGMENT_COPY_LEFT;
	return coffer_findings_add(l, t,
		COFFER_WITH(COFFER_ARG_NUMBER("offset", coffer_segment_copy_offset(&s->geometry)),
			COFFER_ARG_NUMBER("size", s->geometry.shift),
			COFFER_ARG_TEXT("filesystem", s->copy_type),
			COFFER_ARG_TEXT("uuid", s->copy_uuid)),
		NULL);
}

int coffer_judge_remnants(const struct coffer_remnants *s, struct coffer_findings *l)
{
	int r;

	r = judge_records(s, l);
	if (r == 0)
		r = judge_image(s, l);
	return r < 0 ? r : judge_copy(s, l);
}
