/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* moved_segment.c - the moved-segment check: is the copy at D-S complete, and of what? */
#include "convert/moved_segment.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "convert/stored_map.h"
#include "luks2/copy.h"

enum {
	MIN_VALUES = 160
};

bool coffer_looks_random(const uint8_t *p, size_t n)
{
	bool seen[256] = {false};
	unsigned int values = 0;

	for (size_t i = 0; i < n; i++) {
		values += !seen[p[i]];
		seen[p[i]] = true;
	}
	return values >= MIN_VALUES;
}

/* JSON, padded with NULs. */
static bool is_text(const uint8_t *p, size_t n)
{
	size_t i = 0;

	while (i < n && p[i] >= ' ' && p[i] < 0x7f)
		i++;
	return bytes_are_zero(p + i, n - i);
}

static bool is_transition(const uint8_t *sector)
{
	static const char magic[] = "COFFER-";

	return memcmp(sector, magic, sizeof(magic) - 1) == 0;
}

bool coffer_may_be_used_map(const uint8_t *sector)
{
	if (coffer_stored_map_trace(sector))
		return true;
	for (size_t i = 0; i < COFFER_SECTOR; i += 16) {
		const uint64_t start = get_be64(sector + i), end = get_be64(sector + i + 8);

		if (start % COFFER_SECTOR || end % COFFER_SECTOR || start > end || end > INT64_MAX)
			return false;
	}
	return true;
}

bool coffer_is_header_trace(const uint8_t *sector, uint64_t at, uint64_t *copy_size)
{
	static const char json[] = "{\"keyslots\":";
	struct coffer_luks2_bin bin;

	if (at < COFFER_BLOCK && is_transition(sector))
		return true;
	if ((at == 0 || coffer_luks2_is_copy_size(at)) &&
		coffer_luks2_bin_read(sector, at, &bin) == 0) {
		*copy_size = bin.copy_size;
		return true;
	}
	if (at < COFFER_LUKS2_BIN || memcmp(sector, json, sizeof(json) - 1) != 0)
		return false;
	if (coffer_luks2_is_copy_size(at - COFFER_LUKS2_BIN))
		*copy_size = at - COFFER_LUKS2_BIN;
	return at == COFFER_LUKS2_BIN || coffer_luks2_is_copy_size(at - COFFER_LUKS2_BIN);
}

bool coffer_looks_like_header(const uint8_t *sector, uint64_t at, uint64_t copy_size, bool ours)
{
	const uint64_t in_copy = at % copy_size;

	if (at < COFFER_BLOCK && is_transition(sector))
		return true;
	if (at >= 2 * copy_size)
		return coffer_looks_random(sector, COFFER_SECTOR) ||
		       (ours && coffer_may_be_used_map(sector)); /* zeros may be one, too */
	if (in_copy == 0)
		return coffer_luks2_magic(sector, at > 0);
	if (in_copy < COFFER_LUKS2_BIN)
		return bytes_are_zero(sector, COFFER_SECTOR);
	return is_text(sector, COFFER_SECTOR);
}

bool coffer_may_be_header(const uint8_t *sector, uint64_t at, bool ours)
{
	for (uint64_t c = 0; coffer_luks2_next_copy_size(&c);)
		if (coffer_looks_like_header(sector, at, c, ours))
			return true;
	return false;
}

#define SAY(text, size, ...) ((void)snprintf((text), (size), __VA_ARGS__), true)

static bool mirror_disagrees(const struct coffer_moved_segment *v)
{
	/* Below S it is part of what is in question. */
	const bool exists = v->fs.mirror > 0 && v->fs.mirror + v->fs.super >= v->geometry.shift;

	return exists && !v->mirror_agrees;
}

bool coffer_moved_segment_is_ambiguous(
	const struct coffer_moved_segment *v, char *text, size_t text_size)
{
	const uint64_t copy = v->has_copy ? coffer_segment_copy_offset(&v->geometry) : 0;

	text[0] = '\0';
	if (!v->has_copy)
		return false;
	if (v->used_map)
		return SAY(text, text_size,
			"a used map of coffer lies in the first bytes, and a moved-segment copy at "
			"byte %" PRIu64 ", but there is no header",
			copy);
	/* A copy of another filesystem, or of this one before it was used, is of an older try. */
	if (v->saved || v->may_be_header == 0 || v->used || (v->has_plain && !v->same_fs) ||
		mirror_disagrees(v))
		return false;
	return SAY(text, text_size,
		"a moved-segment copy (%s) lies at byte %" PRIu64 ", %" PRIu64
		" bytes long; %" PRIu64 " sectors of the first bytes differ, and %" PRIu64
		" of them may be a LUKS2 header's; nothing proves which of the two is complete",
		coffer_fs_name(v->fs.kind), copy, v->geometry.shift, v->different,
		v->may_be_header);
}

bool coffer_moved_segment_copy_is_incomplete(
	const struct coffer_moved_segment *v, char *text, size_t text_size)
{
	const uint64_t copy = coffer_segment_copy_offset(&v->geometry);

	text[0] = '\0';
	if (v->copy_lost)
		return SAY(text, text_size,
			"no filesystem at byte %" PRIu64 ", where the moved-segment copy must lie, "
			"but a backup superblock of %s further on",
			copy, coffer_fs_name(v->fs.kind));
	if (v->has_copy && v->unsaved > 0)
		return SAY(text, text_size,
			"%" PRIu64 " sectors of its first %" PRIu64
			" bytes are still the filesystem's, and the copy at byte %" PRIu64
			" lacks them",
			v->unsaved, v->header_end, copy);
	if (v->has_copy && v->unsaved_beyond > 0) /* use of the volume writes to the copy */
		return SAY(text, text_size,
			"%" PRIu64 " sectors after its header, from byte %" PRIu64
			" on, differ from the copy at byte %" PRIu64
			": either the volume was used, or the copy is not complete",
			v->unsaved_beyond, v->header_end, copy);
	if (v->copy_unknown)
		return SAY(text, text_size,
			"unknown content at byte %" PRIu64
			", where the moved-segment copy must lie",
			copy);
	return false;
}

static const char *reason_against(const struct coffer_moved_segment *v)
{
	if (v->several)
		return "it may be a part of another copy";
	/* Once such a map is in place coffer converts by it, and free space stays plain: the checks
	 * below would take an encrypted filesystem for a plain one. */
	if (v->used_map)
		return "a used map lies in the first bytes: the data may be encrypted";
	/* A copy of an older try, or a half written one, differs from a filesystem that is in use,
	 * and its superblock may be the same. */
	if (v->traces == 0)
		return "the first bytes have no trace of a LUKS2 header";
	if (v->used)
		return "the filesystem was used after the copy was made";
	if (v->unlike_header > 0)
		return "some of the first bytes are neither a header's nor the copy's";
	if (mirror_disagrees(v))
		return "the backup superblock belongs to another filesystem";
	return v->unconverted ? NULL : "the data may already be encrypted";
}

bool coffer_moved_segment_is_torn(const struct coffer_moved_segment *v, char *why, size_t why_size)
{
	const uint64_t copy = coffer_segment_copy_offset(&v->geometry);
	const char *reason;

	why[0] = '\0';
	if (!v->has_copy || v->different == 0 || v->saved)
		return false;
	reason = reason_against(v);
	if (!reason)
		return SAY(why, why_size,
			"the first bytes are partly overwritten with a LUKS2 header; their copy "
			"lies at byte %" PRIu64,
			copy);
	(void)SAY(why, why_size, "a moved-segment copy lies at byte %" PRIu64 ", but %s", copy,
		reason);
	return false;
}
