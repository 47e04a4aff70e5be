/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* judge_volume.c - what facts of a disk mean for somebody who wants proof that it is in order */
#include "report/judge_volume.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/findings.h"
#include "base/quote.h"

static int judge_converting(
	const struct coffer_conversion *c, const char *device, struct coffer_findings *l)
{
	const uint64_t length = c->geometry.length;
	int r;

	if (c->pointer == 0)
		r = coffer_findings_print(l, COFFER_FINDING_CONVERSION, COFFER_VERDICT_NOTE,
			"all %" PRIu64 " bytes are encrypted, the final header is not written yet",
			length);
	else
		r = coffer_findings_print(l, COFFER_FINDING_CONVERSION, COFFER_VERDICT_NOTE,
			"a conversion is under way: %" PRIu64 " of %" PRIu64
			" bytes are encrypted%s",
			length - c->pointer, length,
			c->hot ? ", and cryptsetup was cut inside a step" : "");
	coffer_findings_advise(l, "coffer encrypt %s", device);
	if (r < 0 || c->pointer > 0)
		return r;
	r = coffer_findings_print(l, COFFER_FINDING_WIPE_PENDING, COFFER_VERDICT_NOTE,
		"the plain copy of the first %" PRIu64 " bytes at byte %" PRIu64
		" waits to be wiped",
		c->geometry.shift, coffer_segment_copy_offset(&c->geometry));
	coffer_findings_advise(l, "coffer encrypt %s", device);
	return r;
}

int coffer_judge_progress(enum coffer_operation a, const struct coffer_facts *f, const char *device,
	struct coffer_findings *l)
{
	int r;

	switch (a) {
	case COFFER_OP_START:
	case COFFER_OP_ENCRYPTED:
		return coffer_findings_print(l, COFFER_FINDING_CONVERSION, COFFER_VERDICT_OK,
			"no conversion is under way");
	case COFFER_OP_SYNC_FINAL:
		return coffer_findings_print(l, COFFER_FINDING_CONVERSION, COFFER_VERDICT_OK,
			"no conversion is under way: it was finished, and one header copy does not "
			"know it yet");
	case COFFER_OP_CONVERT:
	case COFFER_OP_FINALIZE:
		return judge_converting(&f->conversion, device, l);
	case COFFER_OP_REDO_PLACEMENT:
	case COFFER_OP_FINISH_PLACEMENT:
		r = coffer_findings_print(l, COFFER_FINDING_CONVERSION, COFFER_VERDICT_NOTE,
			"the LUKS2 header is half placed; nothing is encrypted yet");
		coffer_findings_advise(l, "coffer encrypt %s", device);
		return r;
	case COFFER_OP_FINISH_UNDO:
		r = coffer_findings_print(
			l, COFFER_FINDING_CONVERSION, COFFER_VERDICT_NOTE, "an abort is half done");
		coffer_findings_advise(l, "coffer abort %s", device);
		return r;
	case COFFER_OP_OTHER:
		r = coffer_findings_print(l, COFFER_FINDING_CONVERSION, COFFER_VERDICT_NOTE, "%s",
			f->kind_reason.msg);
		coffer_findings_advise(l, "cryptsetup reencrypt --resume-only %s", device);
		return r;
	case COFFER_OP_SHRUNK:
		r = coffer_findings_print(l, COFFER_FINDING_CONVERSION, COFFER_VERDICT_BAD,
			"the device has %" PRIu64 " bytes now, but holds a conversion of %" PRIu64,
			f->device_size,
			f->header.newest >= 0 ? f->conversion.geometry.device
					      : f->transition.geometry.device);
		coffer_findings_advise(l, "give it its size back");
		return r;
	case COFFER_OP_DAMAGED:
	case COFFER_OP_UNKNOWN:
	case COFFER_N_OPERATIONS:
		break;
	}
	return 0; /* the damage has a sentence of its own */
}

/* --- the filesystem --- */

static int judge_kind(const struct coffer_seen_fs *s, struct coffer_findings *l)
{
	if (!s->type[0])
		return coffer_findings_print(l, COFFER_FINDING_FILESYSTEM, COFFER_VERDICT_NOTE,
			"no filesystem that is known is to be seen");
	return coffer_findings_print(l, COFFER_FINDING_FILESYSTEM, COFFER_VERDICT_OK,
		"%s%s%s%s%s%s", s->type, s->uuid[0] ? ", UUID " : "", s->uuid,
		s->label[0] ? ", label '" : "", s->label, s->label[0] ? "'" : "");
}

int coffer_judge_filesystem(const struct coffer_seen_fs *s, struct coffer_findings *l)
{
	/* Of what changes while it is read a contradiction proves nothing. */
	const enum coffer_verdict bad = s->in_use ? COFFER_VERDICT_NOTE : COFFER_VERDICT_BAD;
	const char *while_used = s->in_use ? " (it is in use, so this may be half old)" : "";
	const int r = judge_kind(s, l);

	if (r < 0)
		return r;
	if (s->absurd)
		return coffer_findings_print(
			l, COFFER_FINDING_FILESYSTEM_END, bad, "%s%s", s->absurd, while_used);
	if (s->fs.kind == COFFER_FS_NONE)
		return coffer_findings_print(l, COFFER_FINDING_FILESYSTEM_END,
			COFFER_VERDICT_UNCHECKED, "coffer cannot tell where %s ends",
			s->type[0] ? s->type : "it");
	if (s->fs.end > s->room)
		return coffer_findings_print(l, COFFER_FINDING_FILESYSTEM_END, bad,
			"the filesystem ends at byte %" PRIu64 ", but there is room for %" PRIu64
			" bytes only: its end is missing%s",
			s->fs.end, s->room, while_used);
	return coffer_findings_print(l, COFFER_FINDING_FILESYSTEM_END, COFFER_VERDICT_OK,
		"the filesystem ends at byte %" PRIu64 " of %" PRIu64, s->fs.end, s->room);
}

/* --- leftovers --- */

static int judge_records(const struct coffer_remnants *s, struct coffer_findings *l)
{
	const struct coffer_geometry *g = &s->geometry;
	int r = 0, found = 0;

	for (int kind = COFFER_RECORD_PLACE; r == 0 && kind <= COFFER_RECORD_UNDO; kind++) {
		const bool own = strcmp(s->record[kind].uuid, s->uuid) == 0;

		if (!s->has_record[kind])
			continue;
		found++;
		r = coffer_findings_print(l, COFFER_FINDING_RECORD,
			own ? COFFER_VERDICT_BAD : COFFER_VERDICT_NOTE,
			"the record of %s lies at byte %" PRIu64 ", %s",
			kind == COFFER_RECORD_PLACE ? "a placement" : "an abort",
			coffer_record_offset(g, kind),
			own ? "where this volume's own data should be"
			    : "of another volume; it means nothing for this one");
		if (own)
			coffer_findings_advise(l,
				"the volume's data there are lost: compare the filesystem with a "
				"backup");
	}
	if (r == 0 && found == 0)
		r = coffer_findings_print(l, COFFER_FINDING_RECORD, COFFER_VERDICT_OK,
			"no record of a placement lies at byte %" PRIu64 " or %" PRIu64,
			coffer_record_offset(g, COFFER_RECORD_PLACE),
			coffer_record_offset(g, COFFER_RECORD_UNDO));
	return r;
}

static int judge_image(const struct coffer_remnants *s, struct coffer_findings *l)
{
	const struct coffer_record *rec = &s->record[COFFER_RECORD_PLACE];
	int r;

	if (!s->has_record[COFFER_RECORD_PLACE])
		return 0;
	if (!s->image_intact)
		return coffer_findings_print(l, COFFER_FINDING_IMAGE, COFFER_VERDICT_OK,
			"the image that belongs to the record is gone");
	if (strcmp(rec->uuid, s->uuid) != 0)
		return coffer_findings_print(l, COFFER_FINDING_IMAGE, COFFER_VERDICT_NOTE,
			"a copy of another volume's header, %s, lies at byte %" PRIu64, rec->uuid,
			coffer_image_offset(&s->geometry));
	r = coffer_findings_print(l, COFFER_FINDING_IMAGE, COFFER_VERDICT_BAD,
		"a copy of the header as it was first lies at byte %" PRIu64
		": the passphrase of then opens the volume for ever",
		coffer_image_offset(&s->geometry));
	coffer_findings_advise(l, "once the data are safe, change the volume key: cryptsetup "
				  "reencrypt");
	return r;
}

static int judge_head_copy(const struct coffer_remnants *s, struct coffer_findings *l)
{
	const uint64_t at = coffer_segment_copy_offset(&s->geometry);
	int r;

	if (!s->head_type[0])
		return coffer_findings_print(l, COFFER_FINDING_MOVED_SEGMENT_COPY,
			COFFER_VERDICT_OK,
			"no plain filesystem begins at byte %" PRIu64
			", where the copy of the first bytes was",
			at);
	if (!s->fs_uuid || strcmp(s->fs_uuid, s->head_uuid) != 0 || !s->fs_uuid[0])
		return coffer_findings_print(l, COFFER_FINDING_MOVED_SEGMENT_COPY,
			COFFER_VERDICT_NOTE, "a plain %s%s%s begins at byte %" PRIu64 ": %s",
			s->head_type, s->head_uuid[0] ? ", UUID " : "", s->head_uuid, at,
			s->fs_uuid ? "not this volume's"
				   : "with a key it can be told whether it is this volume's");
	r = coffer_findings_print(l, COFFER_FINDING_MOVED_SEGMENT_COPY, COFFER_VERDICT_BAD,
		"the plain copy of this volume's first %" PRIu64 " bytes is still at byte %" PRIu64,
		s->geometry.shift, at);
	if (s->fs_end > 0 && s->fs_end <= coffer_gap_offset(&s->geometry))
		coffer_findings_advise(l,
			"the filesystem does not reach there; close the volume, then: dd "
			"if=/dev/urandom of=%s bs=1M conv=notrunc,fsync oflag=seek_bytes "
			"seek=%" PRIu64 " iflag=count_bytes,fullblock count=%" PRIu64,
			s->device, at, s->geometry.shift);
	return r;
}

int coffer_judge_remnants(const struct coffer_remnants *s, struct coffer_findings *l)
{
	int r;

	r = judge_records(s, l);
	if (r == 0)
		r = judge_image(s, l);
	return r < 0 ? r : judge_head_copy(s, l);
}
