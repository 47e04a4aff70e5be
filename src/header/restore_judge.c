/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* restore_judge.c - may a backup of a LUKS2 header go back onto a disk? */
#include "header/restore_judge.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "luks2/copy.h"
#include "luks2/keyslots.h"

/* --- sentences --- */

/* "keyslot 0", "keyslots 0, 2, 5" */
static void name_slots(uint32_t bits, char *ret, size_t size)
{
	const bool many = (bits & (bits - 1)) != 0;
	size_t used = (size_t)snprintf(ret, size, "keyslot%s", many ? "s" : "");
	const char *between = " ";

	for (unsigned int i = 0; i < COFFER_MAX_KEYSLOTS && used < size; i++) {
		if (!(bits >> i & 1))
			continue;
		used += (size_t)snprintf(ret + used, size - used, "%s%u", between, i);
		between = ", ";
	}
}

#define HINT "if that is what you want: --allow "

static const struct {
	enum coffer_restore_word word;
	const char *name;
} words[] = {
	{COFFER_RESTORE_UUID, "uuid"},
	{COFFER_RESTORE_GEOMETRY, "geometry"},
	{COFFER_RESTORE_VOLUME_KEY, "volume-key"},
	{COFFER_RESTORE_KEYSLOTS, "keyslots"},
};

static const char *word_name(enum coffer_restore_word word)
{
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (words[i].word == word)
			return words[i].name;
	return "";
}

/* A reason to refuse, unless @word was allowed; 0: nobody may allow it. */
__attribute__((format(printf, 5, 6))) static int refuse(struct coffer_findings *l,
	const struct coffer_restore_facts *f, enum coffer_finding_id id,
	enum coffer_restore_word word, const char *fmt, ...)
{
	const bool allowed = word && (f->allow & word);
	char text[448];
	va_list ap;
	int r;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	r = coffer_findings_print(l, id, allowed ? COFFER_VERDICT_NOTE : COFFER_VERDICT_BAD, "%s%s",
		text, allowed ? " (allowed)" : "");
	if (r == 0 && word && !allowed)
		coffer_findings_advise(l, HINT "%s", word_name(word));
	return r;
}

/* The word that lifts what is BAD; 0: none does. */
static unsigned int word_of(const struct coffer_finding *c)
{
	const size_t n = strlen(HINT);

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (strncmp(c->advice, HINT, n) == 0 && strcmp(c->advice + n, words[i].name) == 0)
			return words[i].word;
	return 0;
}

static void name_words(unsigned int wanted, char *ret, size_t size)
{
	size_t used = 0;

	for (size_t i = 0; i < ARRAY_SIZE(words) && used < size; i++)
		if (wanted & words[i].word)
			used += (size_t)snprintf(ret + used, size - used, "%s%s",
				used > 0 ? "," : "", words[i].name);
}

struct coffer_restore_reason coffer_restore_sum_up(struct coffer_findings *l, unsigned int allow)
{
	struct coffer_restore_reason ret = {0};
	unsigned int lifts = 0;
	bool stays = false;

	for (size_t i = 0; i < l->n; i++) {
		const unsigned int word = word_of(&l->items[i]);

		if (l->items[i].verdict != COFFER_VERDICT_BAD)
			continue;
		if (ret.n++ == 0 || (!word && !stays))
			ret.first = i;
		stays = stays || !word;
		lifts |= word;
	}
	if (ret.n > 0 && !stays)
		name_words(lifts | allow, ret.words, sizeof(ret.words));
	for (size_t i = 0; i < l->n && stays; i++)
		if (word_of(&l->items[i]))
			l->items[i].advice[0] = '\0';
	return ret;
}

/* --- the checks --- */

static int judge_file(const struct coffer_restore_facts *f, struct coffer_findings *l)
{
	if (f->backup->sealed)
		return coffer_findings_print(l, COFFER_FINDING_BACKUP, COFFER_VERDICT_OK,
			"the file is as coffer wrote it, by its checksum");
	return coffer_findings_print(l, COFFER_FINDING_BACKUP, COFFER_VERDICT_NOTE,
		"the file has no trailer of coffer's: the header's own checksums are right, but "
		"nothing protects the keyslots in it, and the size of the device that it was made "
		"of is not known");
}

static int judge_uuid(const struct coffer_restore_facts *f, struct coffer_findings *l)
{
	const char *uuid = f->backup->trailer.uuid;

	if (!f->json && f->torn && strcmp(uuid, f->torn->uuid) == 0)
		return coffer_findings_print(l, COFFER_FINDING_UUID, COFFER_VERDICT_OK,
			"the torn header on %s is of the volume %s, as the backup is", f->device,
			uuid);
	if (!f->json && f->torn)
		return refuse(l, f, COFFER_FINDING_UUID, COFFER_RESTORE_UUID,
			"the backup is of the volume %s, and the torn header on %s is of the "
			"volume %s",
			uuid, f->device, f->torn->uuid);
	if (!f->json)
		return coffer_findings_print(l, COFFER_FINDING_UUID, COFFER_VERDICT_UNCHECKED,
			"no header on %s is whole, so nothing tells whether the backup of the "
			"volume %s is this disk's",
			f->device, uuid);
	if (strcmp(uuid, f->uuid) == 0)
		return coffer_findings_print(l, COFFER_FINDING_UUID, COFFER_VERDICT_OK,
			"backup and disk are of the volume %s", uuid);
	return refuse(l, f, COFFER_FINDING_UUID, COFFER_RESTORE_UUID,
		"the backup is of the volume %s, and %s holds the volume %s", uuid, f->device,
		f->uuid);
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

/* By the device's size: all that there is to go by where no header is whole. */
static int judge_size(const struct coffer_restore_facts *f, struct coffer_findings *l)
{
	const struct coffer_trailer *t = &f->backup->trailer;
	uint64_t needed = t->image_size;

	(void)coffer_json_foreach(
		coffer_json_object(f->backup->json, "segments"), furthest_end, &needed);
	if (f->device_size < t->image_size)
		return refuse(l, f, COFFER_FINDING_SPACE, 0,
			"%s has %" PRIu64 " bytes, and the backup's header alone has %" PRIu64,
			f->device, f->device_size, t->image_size);
	if (needed > f->device_size)
		return refuse(l, f, COFFER_FINDING_GEOMETRY, COFFER_RESTORE_GEOMETRY,
			"the volume of the backup reaches to byte %" PRIu64
			", and %s ends at %" PRIu64,
			needed, f->device, f->device_size);
	if (f->backup->sealed && t->device_size > f->device_size)
		return refuse(l, f, COFFER_FINDING_GEOMETRY, COFFER_RESTORE_GEOMETRY,
			"the backup was made of a device of %" PRIu64 " bytes, and %s has %" PRIu64,
			t->device_size, f->device, f->device_size);
	if (f->backup->sealed && t->device_size < f->device_size)
		return coffer_findings_print(l, COFFER_FINDING_GEOMETRY, COFFER_VERDICT_NOTE,
			"the device had %" PRIu64 " bytes when the backup was made, and %s has "
			"%" PRIu64,
			t->device_size, f->device, f->device_size);
	/* of a whole header the segments say more */
	if (f->json)
		return 0;
	if (!f->backup->sealed)
		return coffer_findings_print(l, COFFER_FINDING_GEOMETRY, COFFER_VERDICT_UNCHECKED,
			"nothing tells whether the backup is of a device of this size");
	return coffer_findings_print(l, COFFER_FINDING_GEOMETRY, COFFER_VERDICT_OK,
		"the device has the %" PRIu64 " bytes that it had when the backup was made",
		t->device_size);
}

static int judge_geometry(const struct coffer_restore_facts *f, struct coffer_findings *l)
{
	const struct coffer_trailer *t = &f->backup->trailer;
	uint64_t size;
	int r;

	r = judge_size(f, l);
	if (r < 0)
		return r;
	/* A header in a file of its own: its data begin at byte 0 of another device. */
	if (!f->json && t->data_offset < t->image_size)
		return refuse(l, f, COFFER_FINDING_GEOMETRY, COFFER_RESTORE_GEOMETRY,
			"the backup is of a header whose data lie elsewhere; here it would "
			"overwrite what lies behind byte %" PRIu64,
			t->data_offset);
	if (!f->json)
		return 0;
	if (!coffer_metadata_member_equal(f->backup->json, f->json, "segments"))
		return refuse(l, f, COFFER_FINDING_GEOMETRY, COFFER_RESTORE_GEOMETRY,
			"by the backup the data lie elsewhere, or are encrypted in another way");
	if (coffer_image_size(f->json, f->copy_size, &size) < 0 || f->copy_size != t->copy_size ||
		size != t->image_size)
		return refuse(l, f, COFFER_FINDING_GEOMETRY, COFFER_RESTORE_GEOMETRY,
			"the header on the disk has copies of %" PRIu64 " bytes and the backup's "
			"of %" PRIu64 ", or their keyslots areas differ in size; so they cannot be "
			"exchanged one copy after the other, and a cut needs the same command "
			"again before the volume opens",
			f->copy_size, t->copy_size);
	return coffer_findings_print(l, COFFER_FINDING_GEOMETRY, COFFER_VERDICT_OK,
		"backup and disk agree where the data lie and how");
}

static int judge_volume_key(const struct coffer_restore_facts *f, struct coffer_findings *l)
{
	if (!f->json)
		return coffer_findings_print(l, COFFER_FINDING_VOLUME_KEY, COFFER_VERDICT_UNCHECKED,
			"no header on %s is whole, so nothing tells whether the backup's volume "
			"key is today's",
			f->device);
	if (coffer_digest_equal(coffer_keyslot_digest(f->json, "segments", "0"),
		    coffer_keyslot_digest(f->backup->json, "segments", "0")))
		return coffer_findings_print(l, COFFER_FINDING_VOLUME_KEY, COFFER_VERDICT_OK,
			"both name the digest of the same volume key");
	/* no digest is over a segment that is plain yet */
	if (!coffer_keyslot_digest(f->json, "segments", "0") &&
		!coffer_keyslot_digest(f->backup->json, "segments", "0") &&
		coffer_metadata_member_equal(f->json, f->backup->json, "digests"))
		return coffer_findings_print(l, COFFER_FINDING_VOLUME_KEY, COFFER_VERDICT_OK,
			"both name the same digests of keys");
	return refuse(l, f, COFFER_FINDING_VOLUME_KEY, COFFER_RESTORE_VOLUME_KEY,
		"the backup is of another volume key: what was encrypted with the one of today "
		"would be lost");
}

static int judge_worn(const struct coffer_restore_facts *f, struct coffer_findings *l)
{
	char names[160];

	if (!f->damaged_slots)
		return 0;
	name_slots(f->damaged_slots, names, sizeof(names));
	if (!f->backup->sealed)
		return refuse(l, f, COFFER_FINDING_KEYSLOT, COFFER_RESTORE_KEYSLOTS,
			"%s: on the disk are other bytes than in the backup, though the metadata "
			"are the same: one of the two is damaged, and the file has no checksum "
			"that tells which; if it is the file, its passphrase opens nothing any "
			"more",
			names);
	return coffer_findings_print(l, COFFER_FINDING_KEYSLOT, COFFER_VERDICT_NOTE,
		"%s: on the disk are other bytes than in the backup, though the metadata are the "
		"same: one of the two is damaged, and the backup's take its place",
		names);
}

/* The keyslots of a torn header cannot be read; its sequence number tells whether there is anything
 * that the backup does not know. */
static int judge_torn_keyslots(const struct coffer_restore_facts *f, struct coffer_findings *l)
{
	const struct coffer_trailer *t = &f->backup->trailer;

	if (f->torn && strcmp(f->torn->uuid, t->uuid) == 0 && f->torn->seqid > t->seqid)
		return refuse(l, f, COFFER_FINDING_KEYSLOTS, COFFER_RESTORE_KEYSLOTS,
			"the torn header on %s has the sequence number %" PRIu64
			" and the backup's %" PRIu64
			": it was changed since, and how cannot be read; a key that was removed "
			"would open the volume again",
			f->device, f->torn->seqid, t->seqid);
	return coffer_findings_print(l, COFFER_FINDING_KEYSLOTS, COFFER_VERDICT_UNCHECKED,
		"no header on %s is whole, so nothing tells whether keys were removed or added "
		"since the backup was made",
		f->device);
}

static int judge_keyslots(const struct coffer_restore_facts *f, struct coffer_findings *l)
{
	uint32_t back = 0, changed = 0, gone = 0;
	char text[3][256] = {"", "", ""}, names[160];
	const char *sep = "; ";

	if (!f->json)
		return judge_torn_keyslots(f, l);
	for (unsigned int i = 0; i < COFFER_MAX_KEYSLOTS; i++) {
		const bool here = coffer_metadata_has_keyslot(f->json, i),
			   there = coffer_metadata_has_keyslot(f->backup->json, i);

		if (there && !here)
			back |= UINT32_C(1) << i;
		else if (here && !there)
			gone |= UINT32_C(1) << i;
		else if (here && !coffer_keyslot_equal(f->json, f->backup->json, i))
			changed |= UINT32_C(1) << i;
	}
	if (back) {
		name_slots(back, names, sizeof(names));
		(void)snprintf(text[0], sizeof(text[0]),
			"%s: removed since; what opened it then would open the volume again",
			names);
	}
	if (changed) {
		name_slots(changed, names, sizeof(names));
		(void)snprintf(text[1], sizeof(text[1]),
			"%s: changed since; the key of that time would come back, and the one of "
			"today would go",
			names);
	}
	if (gone) {
		name_slots(gone, names, sizeof(names));
		(void)snprintf(text[2], sizeof(text[2]), "%s: added since, and would go", names);
	}
	if (back || changed || gone)
		return refuse(l, f, COFFER_FINDING_KEYSLOTS, COFFER_RESTORE_KEYSLOTS, "%s%s%s%s%s",
			text[0], back && (changed || gone) ? sep : "", text[1],
			changed && gone ? sep : "", text[2]);
	return coffer_findings_print(l, COFFER_FINDING_KEYSLOTS, COFFER_VERDICT_OK,
		"backup and disk have the same keyslots");
}

/* A text of the binary block. It keeps no key, but a name that crypttab may go by. */
static int judge_name(const struct coffer_restore_facts *f, struct coffer_findings *l,
	const char *what, const char *(*get)(const uint8_t *block))
{
	const char *now, *then;

	if (!f->block)
		return 0;
	now = get(f->block);
	then = get(f->backup->image);
	if (strncmp(now, then, COFFER_LUKS2_LABEL) == 0)
		return 0;
	return coffer_findings_print(l, COFFER_FINDING_CONFIG, COFFER_VERDICT_NOTE,
		"the %s '%.*s' becomes '%.*s' again", what, COFFER_LUKS2_LABEL, now,
		COFFER_LUKS2_LABEL, then);
}

static int judge_flags(const struct coffer_restore_facts *f, struct coffer_findings *l)
{
	struct json_object *now = coffer_json_object(f->json, "config");
	struct json_object *then = coffer_json_object(f->backup->json, "config");

	now = coffer_json_array(now, "flags");
	then = coffer_json_array(then, "flags");
	if ((coffer_json_length(now) == 0 && coffer_json_length(then) == 0) ||
		coffer_json_equal(now, then))
		return 0;
	return coffer_findings_print(l, COFFER_FINDING_CONFIG, COFFER_VERDICT_NOTE,
		"the flags for activation (as 'allow-discards') are others in the backup, and "
		"become those again");
}

static int judge_priorities(const struct coffer_restore_facts *f, struct coffer_findings *l)
{
	uint32_t bits = 0;
	char names[160];

	for (unsigned int i = 0; i < COFFER_MAX_KEYSLOTS; i++)
		if (coffer_metadata_has_keyslot(f->json, i) &&
			coffer_metadata_has_keyslot(f->backup->json, i) &&
			coffer_keyslot_priority(f->json, i) !=
				coffer_keyslot_priority(f->backup->json, i))
			bits |= UINT32_C(1) << i;
	if (!bits)
		return 0;
	name_slots(bits, names, sizeof(names));
	return coffer_findings_print(l, COFFER_FINDING_CONFIG, COFFER_VERDICT_NOTE,
		"%s: the priority is another one in the backup, and becomes that again", names);
}

/* What opens nothing, and yet somebody has set it since. */
static int judge_rest(const struct coffer_restore_facts *f, struct coffer_findings *l)
{
	int r = 0;

	if (!f->json)
		return 0;
	if (!coffer_metadata_member_equal(f->json, f->backup->json, "tokens"))
		r = coffer_findings_print(l, COFFER_FINDING_TOKEN, COFFER_VERDICT_NOTE,
			"the backup's tokens are not those on the disk");
	if (r == 0)
		r = judge_name(f, l, "label", coffer_luks2_label);
	if (r == 0)
		r = judge_name(f, l, "subsystem", coffer_luks2_subsystem);
	if (r == 0)
		r = judge_flags(f, l);
	return r < 0 ? r : judge_priorities(f, l);
}

/* States of a conversion are never comparable: each commit makes the one before worthless. */
static int judge_conversion(const struct coffer_restore_facts *f, struct coffer_findings *l)
{
	const enum coffer_luks2_kind then = f->backup->trailer.kind;
	enum coffer_luks2_kind now = COFFER_LUKS2_ENCRYPTED;
	struct coffer_conversion c;
	int r = 0;

	if (f->json && coffer_conversion_read(f->json, &now, &c, NULL) < 0)
		now = COFFER_LUKS2_OTHER;
	if (then == COFFER_LUKS2_ENCRYPTED && now == COFFER_LUKS2_ENCRYPTED)
		return 0;
	if (f->json && then == now &&
		coffer_metadata_member_equal(f->json, f->backup->json, "segments") &&
		coffer_json_equal(coffer_json_object(f->json, "config"),
			coffer_json_object(f->backup->json, "config")))
		return coffer_findings_print(l, COFFER_FINDING_CONVERSION, COFFER_VERDICT_NOTE,
			"a conversion is under way, and stands where it stood when the backup was "
			"made");
	if (!f->json)
		return refuse(l, f, COFFER_FINDING_CONVERSION, COFFER_RESTORE_GEOMETRY,
			"the backup was made while a conversion was under way; if one step was "
			"done "
			"since, restoring it destroys the data");
	r = refuse(l, f, COFFER_FINDING_CONVERSION, 0,
		"a conversion is under way %s; a header of another moment of it destroys the data",
		now == COFFER_LUKS2_ENCRYPTED ? "in the backup, and not on the disk"
					      : "on the disk");
	if (r == 0 && now != COFFER_LUKS2_ENCRYPTED)
		coffer_findings_advise(
			l, "what finishes it tells: coffer repair --dry-run %s", f->device);
	return r;
}

static int judge_content(const struct coffer_restore_facts *f, struct coffer_findings *l)
{
	int r;

	if (!f->content[0])
		return 0;
	if (f->beside) {
		r = refuse(l, f, COFFER_FINDING_CONTENT, 0,
			"beside the header there is %s on %s: what takes the disk for that, as a "
			"RAID does with each of its disks, must not find it changed",
			f->content, f->device);
		if (r == 0)
			coffer_findings_advise(l,
				"work on what is made of it, or see what can be taken away: "
				"coffer header check %s",
				f->device);
		return r;
	}
	r = refuse(l, f, COFFER_FINDING_CONTENT, 0,
		"instead of the first header copy there is %s on %s, and nothing tells that the "
		"backup belongs there",
		f->content, f->device);
	if (r == 0)
		coffer_findings_advise(l,
			"if it is worthless, take it away first (wipefs); what repair says about "
			"the disk: coffer repair --dry-run %s",
			f->device);
	return r;
}

/* The mapping that is there does not look at the header again, but who works with both must find
 * one volume. */
static int judge_use(const struct coffer_restore_facts *f, struct coffer_findings *l)
{
	int r;

	if (!f->active)
		return 0;
	if (f->json && f->active_same && strcmp(f->uuid, f->backup->trailer.uuid) == 0 &&
		coffer_metadata_member_equal(f->json, f->backup->json, "segments") &&
		coffer_digest_equal(coffer_keyslot_digest(f->json, "segments", "0"),
			coffer_keyslot_digest(f->backup->json, "segments", "0")) &&
		coffer_restore_by_copy(f))
		return coffer_findings_print(l, COFFER_FINDING_IN_USE, COFFER_VERDICT_NOTE,
			"%s is in use by a mapping of this volume; what is open stays so, since "
			"volume key and data stay what they are",
			f->device);
	if (!f->json && f->active_same && f->backup->trailer.kind == COFFER_LUKS2_ENCRYPTED)
		return coffer_findings_print(l, COFFER_FINDING_IN_USE, COFFER_VERDICT_NOTE,
			"%s is in use by a mapping of the volume %s", f->device,
			f->backup->trailer.uuid);
	if (!f->active_same)
		r = refuse(l, f, COFFER_FINDING_IN_USE, 0,
			"%s is in use, and not by mappings of the backup's volume alone",
			f->device);
	else
		r = refuse(l, f, COFFER_FINDING_IN_USE, 0,
			"%s is in use, and the backup is not certain to be of the same key and "
			"the same layout",
			f->device);
	if (r == 0)
		coffer_findings_advise(l, f->json ? "let go of it first"
						  : "do not close it before its data are safe: the "
						    "mapping may have the "
						    "only key");
	return r;
}

int coffer_restore_judge(const struct coffer_restore_facts *f, struct coffer_findings *l)
{
	int (*const checks[])(const struct coffer_restore_facts *, struct coffer_findings *) = {
		judge_file,
		judge_content,
		judge_conversion,
		judge_uuid,
		judge_geometry,
		judge_volume_key,
		judge_keyslots,
		judge_worn,
		judge_rest,
		judge_use,
	};
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(checks) && r == 0; i++)
		r = checks[i](f, l);
	return r;
}

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
	uint64_t size;

	return f->json && f->copy_size == f->backup->trailer.copy_size &&
	       coffer_image_size(f->json, f->copy_size, &size) == 0 &&
	       size == f->backup->trailer.image_size;
}
