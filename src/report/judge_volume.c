/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* judge_volume.c - what the filesystem and the remains of a conversion mean */
#include "report/judge_volume.h"

#include <string.h>

#include "base/findings.h"

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
