/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* judge_volume.c - what facts of a disk mean for somebody who wants proof that it is in order */
#include "report/judge_volume.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/findings.h"
#include "base/quote.h"

static int judge_converting(
	const struct coffer_conversion *c, const char *device, struct coffer_checks *l)
{
	const uint64_t length = c->geometry.length;
	int r;

	if (c->pointer == 0)
		r = coffer_checks_add(l, "conversion", COFFER_CHECK_NOTE,
			"all %" PRIu64 " bytes are encrypted, the final header is not written yet",
			length);
	else
		r = coffer_checks_add(l, "conversion", COFFER_CHECK_NOTE,
			"a conversion is under way: %" PRIu64 " of %" PRIu64
			" bytes are encrypted%s",
			length - c->pointer, length,
			c->hot ? ", and cryptsetup was cut inside a step" : "");
	coffer_checks_remedy(l, "coffer encrypt %s", device);
	if (r < 0 || c->pointer > 0)
		return r;
	r = coffer_checks_add(l, "wipe-pending", COFFER_CHECK_NOTE,
		"the plain copy of the first %" PRIu64 " bytes at byte %" PRIu64
		" waits to be wiped",
		c->geometry.shift, coffer_head_copy(&c->geometry));
	coffer_checks_remedy(l, "coffer encrypt %s", device);
	return r;
}

int coffer_judge_progress(enum coffer_action a, const struct coffer_facts *f, const char *device,
	struct coffer_checks *l)
{
	int r;

	switch (a) {
	case COFFER_ACT_START:
	case COFFER_ACT_ENCRYPTED:
		return coffer_checks_add(
			l, "conversion", COFFER_CHECK_OK, "no conversion is under way");
	case COFFER_ACT_SYNC_FINAL:
		return coffer_checks_add(l, "conversion", COFFER_CHECK_OK,
			"no conversion is under way: it was finished, and one header copy does not "
			"know it yet");
	case COFFER_ACT_CONVERT:
	case COFFER_ACT_END:
		return judge_converting(&f->conversion, device, l);
	case COFFER_ACT_REDO_PLACEMENT:
	case COFFER_ACT_FINISH_PLACEMENT:
		r = coffer_checks_add(l, "conversion", COFFER_CHECK_NOTE,
			"the LUKS2 header is half placed; nothing is encrypted yet");
		coffer_checks_remedy(l, "coffer encrypt %s", device);
		return r;
	case COFFER_ACT_REDO_RESTORE:
		r = coffer_checks_add(l, "conversion", COFFER_CHECK_NOTE, "an abort is half done");
		coffer_checks_remedy(l, "coffer abort %s", device);
		return r;
	case COFFER_ACT_OTHER:
		r = coffer_checks_add(l, "conversion", COFFER_CHECK_NOTE, "%s", f->kind_reason.msg);
		coffer_checks_remedy(l, "cryptsetup reencrypt --resume-only %s", device);
		return r;
	case COFFER_ACT_SHRUNK:
		r = coffer_checks_add(l, "conversion", COFFER_CHECK_BAD,
			"the device has %" PRIu64 " bytes now, but holds a conversion of %" PRIu64,
			f->device_size,
			f->header.newest >= 0 ? f->conversion.geometry.device
					      : f->transition.geometry.device);
		coffer_checks_remedy(l, "give it its size back");
		return r;
	case COFFER_ACT_DAMAGED:
	case COFFER_N_ACTIONS:
		break;
	}
	return 0; /* the damage has a sentence of its own */
}

/* --- the filesystem --- */

static int judge_kind(const struct coffer_seen_fs *s, struct coffer_checks *l)
{
	if (!s->type[0])
		return coffer_checks_add(l, "filesystem", COFFER_CHECK_NOTE,
			"no filesystem that is known is to be seen");
	return coffer_checks_add(l, "filesystem", COFFER_CHECK_OK, "%s%s%s%s%s%s", s->type,
		s->uuid[0] ? ", UUID " : "", s->uuid, s->label[0] ? ", label '" : "", s->label,
		s->label[0] ? "'" : "");
}

int coffer_judge_filesystem(const struct coffer_seen_fs *s, struct coffer_checks *l)
{
	/* Of what changes while it is read a contradiction proves nothing. */
	const enum coffer_verdict bad = s->in_use ? COFFER_CHECK_NOTE : COFFER_CHECK_BAD;
	const char *while_used = s->in_use ? " (it is in use, so this may be half old)" : "";
	const int r = judge_kind(s, l);

	if (r < 0)
		return r;
	if (s->absurd)
		return coffer_checks_add(l, "filesystem-end", bad, "%s%s", s->absurd, while_used);
	if (s->fs.kind == COFFER_FS_NONE)
		return coffer_checks_add(l, "filesystem-end", COFFER_CHECK_UNCHECKED,
			"coffer cannot tell where %s ends", s->type[0] ? s->type : "it");
	if (s->fs.end > s->room)
		return coffer_checks_add(l, "filesystem-end", bad,
			"the filesystem ends at byte %" PRIu64 ", but there is room for %" PRIu64
			" bytes only: its end is missing%s",
			s->fs.end, s->room, while_used);
	return coffer_checks_add(l, "filesystem-end", COFFER_CHECK_OK,
		"the filesystem ends at byte %" PRIu64 " of %" PRIu64, s->fs.end, s->room);
}

/* --- leftovers --- */

static int judge_records(const struct coffer_leftovers *s, struct coffer_checks *l)
{
	const struct coffer_geometry *g = &s->geometry;
	int r = 0, found = 0;

	for (int kind = COFFER_PLACE; r == 0 && kind <= COFFER_RESTORE; kind++) {
		const bool own = strcmp(s->record[kind].uuid, s->uuid) == 0;

		if (!s->has_record[kind])
			continue;
		found++;
		r = coffer_checks_add(l, "record", own ? COFFER_CHECK_BAD : COFFER_CHECK_NOTE,
			"the record of %s lies at byte %" PRIu64 ", %s",
			kind == COFFER_PLACE ? "a placement" : "an abort",
			coffer_record_offset(g, kind),
			own ? "where this volume's own data should be"
			    : "of another volume; it means nothing for this one");
		if (own)
			coffer_checks_remedy(l,
				"the volume's data there are lost: compare the filesystem with a "
				"backup");
	}
	if (r == 0 && found == 0)
		r = coffer_checks_add(l, "record", COFFER_CHECK_OK,
			"no record of a placement lies at byte %" PRIu64 " or %" PRIu64,
			coffer_record_offset(g, COFFER_PLACE),
			coffer_record_offset(g, COFFER_RESTORE));
	return r;
}

static int judge_image(const struct coffer_leftovers *s, struct coffer_checks *l)
{
	const struct coffer_record *rec = &s->record[COFFER_PLACE];
	int r;

	if (!s->has_record[COFFER_PLACE])
		return 0;
	if (!s->image_intact)
		return coffer_checks_add(l, "image", COFFER_CHECK_OK,
			"the image that belongs to the record is gone");
	if (strcmp(rec->uuid, s->uuid) != 0)
		return coffer_checks_add(l, "image", COFFER_CHECK_NOTE,
			"a copy of another volume's header, %s, lies at byte %" PRIu64, rec->uuid,
			coffer_image_offset(&s->geometry));
	r = coffer_checks_add(l, "image", COFFER_CHECK_BAD,
		"a copy of the header as it was first lies at byte %" PRIu64
		": the passphrase of then opens the volume for ever",
		coffer_image_offset(&s->geometry));
	coffer_checks_remedy(l, "once the data are safe, change the volume key: cryptsetup "
				"reencrypt");
	return r;
}

static int judge_head_copy(const struct coffer_leftovers *s, struct coffer_checks *l)
{
	const uint64_t at = coffer_head_copy(&s->geometry);
	int r;

	if (!s->head_type[0])
		return coffer_checks_add(l, "head-copy", COFFER_CHECK_OK,
			"no plain filesystem begins at byte %" PRIu64
			", where the copy of the first bytes was",
			at);
	if (!s->fs_uuid || strcmp(s->fs_uuid, s->head_uuid) != 0 || !s->fs_uuid[0])
		return coffer_checks_add(l, "head-copy", COFFER_CHECK_NOTE,
			"a plain %s%s%s begins at byte %" PRIu64 ": %s", s->head_type,
			s->head_uuid[0] ? ", UUID " : "", s->head_uuid, at,
			s->fs_uuid ? "not this volume's"
				   : "with a key it can be told whether it is this volume's");
	r = coffer_checks_add(l, "head-copy", COFFER_CHECK_BAD,
		"the plain copy of this volume's first %" PRIu64 " bytes is still at byte %" PRIu64,
		s->geometry.shift, at);
	if (s->fs_end > 0 && s->fs_end <= coffer_gap(&s->geometry))
		coffer_checks_remedy(l,
			"the filesystem does not reach there; close the volume, then: dd "
			"if=/dev/urandom of=%s bs=1M conv=notrunc,fsync oflag=seek_bytes "
			"seek=%" PRIu64 " iflag=count_bytes,fullblock count=%" PRIu64,
			s->device, at, s->geometry.shift);
	return r;
}

int coffer_judge_leftovers(const struct coffer_leftovers *s, struct coffer_checks *l)
{
	int r;

	r = judge_records(s, l);
	if (r == 0)
		r = judge_image(s, l);
	return r < 0 ? r : judge_head_copy(s, l);
}
