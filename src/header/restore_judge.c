/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* restore_judge.c - may a backup of a LUKS2 header be restored to a disk? */
#include "header/restore_judge.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "luks2/copy.h"
#include "luks2/keyslots.h"
#include "luks2/metadata.h"

#define ALLOW(word)	    COFFER_ARG_TEXT("allow", word)
#define NUMBER(name, value) COFFER_ARG_NUMBER(name, value)
#define TEXT(name, value)   COFFER_ARG_TEXT(name, value)

static const struct {
	enum coffer_restore_allow word;
	const char *name;
} words[] = {
	{COFFER_ALLOW_UUID, "uuid"},
	{COFFER_ALLOW_GEOMETRY, "geometry"},
	{COFFER_ALLOW_VOLUME_KEY, "volume-key"},
	{COFFER_ALLOW_KEYSLOTS, "keyslots"},
};

/* What overrides @c: the word in its last argument; 0: nothing does. */
static unsigned int word_of(const struct coffer_finding *c)
{
	const struct coffer_argument *last = c->arguments;

	if (c->n_arguments == 0)
		return 0;
	last += c->n_arguments - 1;
	if (strcmp(last->name, "allow") != 0)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (strcmp(last->text, words[i].name) == 0)
			return words[i].word;
	return 0;
}

static int add(const struct coffer_restore_facts *f, struct coffer_findings *l, enum coffer_text t,
	const struct coffer_argument *arguments)
{
	const int r = coffer_findings_add(l, t, arguments, NULL);
	struct coffer_finding *c;

	if (r < 0)
		return r;
	c = &l->items[l->n - 1];
	if (word_of(c) & f->allow) {
		c->verdict = COFFER_VERDICT_NOTE;
		c->code = 0;
		c->outcome = COFFER_DONE;
		c->advice[0] = '\0';
	}
	return 0;
}

int coffer_restore_refuse(
	struct coffer_findings *l, const char *device, unsigned int allow, struct coffer_err *e)
{
	const struct coffer_finding *first = NULL, *absolute = NULL;
	char list[48] = ""; /* all words fit */
	size_t n = 0, used = 0;

	for (size_t i = 0; i < l->n; i++) {
		const struct coffer_finding *c = &l->items[i];

		if (c->verdict != COFFER_VERDICT_BAD)
			continue;
		n++;
		first = first ? first : c;
		if (!word_of(c) && !absolute)
			absolute = c;
		allow |= word_of(c);
	}
	if (n == 0)
		return 0;
	for (size_t i = 0; i < l->n && absolute; i++)
		if (word_of(&l->items[i]))
			l->items[i].advice[0] = '\0';
	if (absolute)
		return coffer_err_from_finding(e, device, absolute);
	(void)coffer_err_refuse(e, EPERM, "%s: %s", device, first->text);
	if (n > 1)
		coffer_err_append(e, ", and %zu more", n - 1);
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (allow & words[i].word)
			used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s",
				used ? "," : "", words[i].name);
	(void)coffer_err_advise(e, -EPERM, "to restore it anyway, add --allow %s", list);
	return coffer_err_id(e, -EPERM, first->id);
}

/* --- the comparisons --- */

struct slot_names {
	char s[128];
};

/* "keyslot 0", "keyslots 0, 2, 5"; "" for none. */
static struct slot_names name_slots(uint32_t bits)
{
	const bool many = (bits & (bits - 1)) != 0;
	struct slot_names n = {""};
	size_t used = 0;

	for (unsigned int i = 0; i < COFFER_MAX_KEYSLOTS && used < sizeof(n.s); i++)
		if (bits >> i & 1)
			used += (size_t)snprintf(n.s + used, sizeof(n.s) - used, "%s%u",
				used   ? ", "
				: many ? "keyslots "
				       : "keyslot ",
				i);
	return n;
}

static bool same_member(const struct coffer_restore_facts *f, const char *key)
{
	return coffer_metadata_member_equal(f->header->json, f->backup->json, key);
}

static struct json_object *key_digest(struct json_object *json)
{
	return coffer_keyslot_digest(json, "segments", "0");
}

static bool same_key_digest(const struct coffer_restore_facts *f)
{
	return coffer_digest_equal(key_digest(f->header->json), key_digest(f->backup->json));
}

static int judge_file(const struct coffer_restore_facts *f, struct coffer_findings *l)
{
	return add(f, l,
		f->backup->info.sealed ? COFFER_TEXT_RESTORE_SEALED : COFFER_TEXT_RESTORE_UNSEALED,
		NULL);
}

/* No command that erases: the disk may be another one, and the second header copy may be usable. */
static int judge_content(const struct coffer_restore_facts *f, struct coffer_findings *l)
{
	const bool repairs = f->unfinished || f->header;

	if (!f->content[0])
		return 0;
	return coffer_findings_add(l,
		f->beside ? COFFER_TEXT_RESTORE_BESIDE
		: repairs ? COFFER_TEXT_RESTORE_UNFINISHED
			  : COFFER_TEXT_RESTORE_INSTEAD,
		COFFER_WITH(TEXT("content", f->content)),
		f->beside ? COFFER_RUN("coffer", "header", "check", f->device)
		: repairs ? COFFER_RUN("coffer", "repair", "--dry-run", f->device)
			  : COFFER_RUN("wipefs", f->device));
}

/* Two points of a conversion are never compatible: each commit outdates the one before. */
static int judge_conversion(const struct coffer_restore_facts *f, struct coffer_findings *l)
{
	const enum coffer_backup_conversion then = f->backup->info.conversion;
	struct coffer_backup_info now = {.conversion = COFFER_BACKUP_NONE};

	if (f->header && coffer_backup_read_conversion(f->header->json, &now, NULL) < 0)
		now.conversion = COFFER_BACKUP_OTHER;
	if (then == COFFER_BACKUP_NONE && now.conversion == COFFER_BACKUP_NONE)
		return 0;
	if (!f->header)
		return add(f, l, COFFER_TEXT_RESTORE_CONVERSION_UNKNOWN,
			COFFER_WITH(ALLOW("geometry")));
	if (then == now.conversion && same_member(f, "segments") && same_member(f, "config"))
		return add(f, l, COFFER_TEXT_RESTORE_CONVERSION_SAME, NULL);
	if (now.conversion == COFFER_BACKUP_NONE)
		return add(f, l, COFFER_TEXT_RESTORE_CONVERSION_BACKUP, NULL);
	return coffer_findings_add(l, COFFER_TEXT_RESTORE_CONVERSION_DISK, NULL,
		COFFER_RUN("coffer", "repair", "--dry-run", f->device));
}

static int judge_uuid(const struct coffer_restore_facts *f, struct coffer_findings *l)
{
	const char *now = f->header ? f->header->uuid : f->torn ? f->torn->uuid : NULL;
	const char *then = f->backup->info.uuid;

	if (!now)
		return add(
			f, l, COFFER_TEXT_RESTORE_UUID_UNKNOWN, COFFER_WITH(TEXT("backup", then)));
	if (strcmp(now, then) == 0)
		return add(f, l, COFFER_TEXT_RESTORE_UUID_SAME, COFFER_WITH(TEXT("backup", then)));
	return add(f, l, COFFER_TEXT_RESTORE_UUID_OTHER,
		COFFER_WITH(TEXT("backup", then), TEXT("disk", now), ALLOW("uuid")));
}

/* Bytes of the device that the segments need at least. */
static int furthest_end(const char *name, struct json_object *value, void *arg)
{
	uint64_t *furthest = arg, offset, size = COFFER_SECTOR, end;
	const char *text = coffer_json_string(value, "size");

	(void)name;
	if (!text || coffer_json_u64s(value, "offset", &offset) < 0)
		return 0;
	if (strcmp(text, "dynamic") != 0)
		(void)coffer_json_u64s(value, "size", &size);
	*furthest = add_u64(offset, size, &end) && end > *furthest ? end : *furthest;
	return 0;
}

static int judge_size(const struct coffer_restore_facts *f, struct coffer_findings *l)
{
	const struct coffer_backup_info *b = &f->backup->info;
	uint64_t needed = b->image_size;

	(void)coffer_json_foreach(
		coffer_json_object(f->backup->json, "segments"), furthest_end, &needed);
	if (b->sealed)
		needed = needed > b->device_size ? needed : b->device_size;
	if (f->device_size < b->image_size)
		return add(f, l, COFFER_TEXT_RESTORE_TOO_SMALL,
			COFFER_WITH(
				NUMBER("needed", b->image_size), NUMBER("size", f->device_size)));
	if (needed > f->device_size)
		return add(f, l, COFFER_TEXT_RESTORE_BEYOND_END,
			COFFER_WITH(NUMBER("end", needed), NUMBER("size", f->device_size),
				ALLOW("geometry")));
	if (b->sealed && b->device_size < f->device_size)
		return add(f, l, COFFER_TEXT_RESTORE_GROWN,
			COFFER_WITH(
				NUMBER("backup", b->device_size), NUMBER("size", f->device_size)));
	/* The segments of a usable header say more, and a file without a trailer says nothing. */
	return f->header || !b->sealed ? 0 : add(f, l, COFFER_TEXT_RESTORE_SIZE_SAME, NULL);
}

static int judge_layout(const struct coffer_restore_facts *f, struct coffer_findings *l)
{
	const struct coffer_backup_info *b = &f->backup->info;
	enum coffer_text t;

	if (!f->header && b->data_offset >= b->image_size)
		return 0;
	if (!f->header) /* a detached header: its data begin at byte 0 of another device */
		t = COFFER_TEXT_RESTORE_DETACHED;
	else if (!same_member(f, "segments"))
		t = COFFER_TEXT_RESTORE_SEGMENTS_OTHER;
	else if (!coffer_restore_by_copy(f))
		t = COFFER_TEXT_RESTORE_SIZES_OTHER;
	else
		return add(f, l, COFFER_TEXT_RESTORE_SEGMENTS_SAME, NULL);
	return add(f, l, t, COFFER_WITH(ALLOW("geometry")));
}

static int judge_volume_key(const struct coffer_restore_facts *f, struct coffer_findings *l)
{
	if (!f->header)
		return add(f, l, COFFER_TEXT_RESTORE_KEY_UNKNOWN, NULL);
	/* No digest covers a segment that is still plain: then all digests must be equal. */
	if (same_key_digest(f) || (!key_digest(f->header->json) && !key_digest(f->backup->json) &&
					  same_member(f, "digests")))
		return add(f, l, COFFER_TEXT_RESTORE_KEY_SAME, NULL);
	return add(f, l, COFFER_TEXT_RESTORE_KEY_OTHER, COFFER_WITH(ALLOW("volume-key")));
}

/* The keyslots of a torn header cannot be read, but its sequence number shows whether it was
 * changed since. */
static int judge_torn_keyslots(const struct coffer_restore_facts *f, struct coffer_findings *l)
{
	const struct coffer_backup_info *b = &f->backup->info;

	if (f->torn && strcmp(f->torn->uuid, b->uuid) == 0 && f->torn->seqid > b->seqid)
		return add(f, l, COFFER_TEXT_RESTORE_KEYSLOTS_LATER,
			COFFER_WITH(NUMBER("disk", f->torn->seqid), NUMBER("backup", b->seqid),
				ALLOW("keyslots")));
	return add(f, l, COFFER_TEXT_RESTORE_KEYSLOTS_UNKNOWN, NULL);
}

static int judge_keyslots(const struct coffer_restore_facts *f, struct coffer_findings *l)
{
	uint32_t removed = 0, changed = 0, added = 0;

	if (!f->header)
		return judge_torn_keyslots(f, l);
	for (unsigned int i = 0; i < COFFER_MAX_KEYSLOTS; i++) {
		const bool now = coffer_metadata_has_keyslot(f->header->json, i);
		const bool then = coffer_metadata_has_keyslot(f->backup->json, i);
		const uint32_t bit = UINT32_C(1) << i;

		removed |= then && !now ? bit : 0;
		added |= now && !then ? bit : 0;
		if (now && then && !coffer_keyslot_equal(f->header->json, f->backup->json, i))
			changed |= bit;
	}
	if (!removed && !changed && !added)
		return add(f, l, COFFER_TEXT_RESTORE_KEYSLOTS_SAME, NULL);
	return add(f, l, COFFER_TEXT_RESTORE_KEYSLOTS_OTHER,
		COFFER_WITH(TEXT("removed", name_slots(removed).s),
			TEXT("changed", name_slots(changed).s), TEXT("added", name_slots(added).s),
			ALLOW("keyslots")));
}

static int judge_damaged_slots(const struct coffer_restore_facts *f, struct coffer_findings *l)
{
	const struct slot_names names = name_slots(f->damaged_slots);

	if (!f->damaged_slots)
		return 0;
	if (f->backup->info.sealed)
		return add(f, l, COFFER_TEXT_RESTORE_SLOT_DAMAGED,
			COFFER_WITH(TEXT("keyslots", names.s)));
	return add(f, l, COFFER_TEXT_RESTORE_SLOT_UNKNOWN,
		COFFER_WITH(TEXT("keyslots", names.s), ALLOW("keyslots")));
}

static bool same_flags(const struct coffer_restore_facts *f)
{
	struct json_object *now, *then;

	now = coffer_json_array(coffer_json_object(f->header->json, "config"), "flags");
	then = coffer_json_array(coffer_json_object(f->backup->json, "config"), "flags");
	return coffer_json_length(now) + coffer_json_length(then) == 0 ||
	       coffer_json_equal(now, then);
}

static bool same_priorities(const struct coffer_restore_facts *f)
{
	for (unsigned int i = 0; i < COFFER_MAX_KEYSLOTS; i++)
		if (coffer_keyslot_priority(f->header->json, i) !=
			coffer_keyslot_priority(f->backup->json, i))
			return false;
	return true;
}

static bool same_tokens(const struct coffer_restore_facts *f)
{
	return same_member(f, "tokens");
}

static bool same_labels(const struct coffer_restore_facts *f)
{
	return coffer_luks2_labels_equal(f->header->copy[0], f->backup->image);
}

/* Settings that open nothing, but that somebody has changed since. */
static int judge_settings(const struct coffer_restore_facts *f, struct coffer_findings *l)
{
	static const struct {
		const char *name;
		bool (*same)(const struct coffer_restore_facts *f);
	} settings[] = {
		{"tokens", same_tokens},
		{"label or subsystem", same_labels},
		{"activation flags", same_flags},
		{"keyslot priorities", same_priorities},
	};
	char list[96] = ""; /* all of them fit */
	size_t used = 0;

	for (size_t i = 0; i < ARRAY_SIZE(settings) && f->header; i++)
		if (!settings[i].same(f))
			used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s",
				used ? ", " : "", settings[i].name);
	if (!used)
		return 0;
	return add(f, l, COFFER_TEXT_RESTORE_SETTINGS, COFFER_WITH(TEXT("settings", list)));
}

/* An active mapping does not read the header again, but all users of the device must find one
 * volume. */
static int judge_use(const struct coffer_restore_facts *f, struct coffer_findings *l)
{
	enum coffer_text t = COFFER_TEXT_RESTORE_IN_USE;

	if (!f->active)
		return 0;
	if (!f->header && (!f->active_same || f->backup->info.conversion != COFFER_BACKUP_NONE))
		t = COFFER_TEXT_RESTORE_IN_USE_LOST;
	else if (f->header &&
		 (!f->active_same || strcmp(f->header->uuid, f->backup->info.uuid) != 0 ||
			 !same_member(f, "segments") || !same_key_digest(f) ||
			 !coffer_restore_by_copy(f)))
		t = COFFER_TEXT_RESTORE_IN_USE_OTHER;
	return add(f, l, t, NULL);
}

int coffer_restore_judge(const struct coffer_restore_facts *f, struct coffer_findings *l)
{
	static int (*const checks[])(
		const struct coffer_restore_facts *, struct coffer_findings *) = {
		judge_file,
		judge_content,
		judge_conversion,
		judge_uuid,
		judge_size,
		judge_layout,
		judge_volume_key,
		judge_keyslots,
		judge_damaged_slots,
		judge_settings,
		judge_use,
	};
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(checks) && r == 0; i++)
		r = checks[i](f, l);
	return r;
}

/* --- facts --- */

const struct coffer_copy_facts *coffer_restore_torn(const struct coffer_facts *f)
{
	const struct coffer_copy_facts *first = &f->header.copy[0], *second = &f->header.copy[1];

	if (f->header.newest >= 0 || (!first->magic && !second->magic))
		return NULL;
	if (!first->magic || (second->magic && strcmp(first->uuid, second->uuid) == 0 &&
				     second->seqid > first->seqid))
		return second;
	return first;
}

bool coffer_restore_by_copy(const struct coffer_restore_facts *f)
{
	return f->header && f->header->copy_size == f->backup->copy_size &&
	       coffer_metadata_header_size(f->header->json, f->header->copy_size) ==
		       f->backup->info.image_size;
}
