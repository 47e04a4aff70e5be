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

#define NO(...) (snprintf(why, why_size, __VA_ARGS__), false)

static bool mirror_exists(const struct coffer_moved_segment *v)
{
	return v->fs.mirror > 0 && v->fs.mirror + v->fs.super >= v->geometry.shift;
}

bool coffer_moved_segment_is_ambiguous(
	const struct coffer_moved_segment *v, char *text, size_t text_size)
{
	text[0] = '\0';
	if (v->has_copy && v->used_map) {
		(void)snprintf(text, text_size,
			"a map of what is used, as coffer keeps it behind its header, lies in the "
			"first bytes, and a copy of a filesystem's start at byte %" PRIu64
			", but there is no header",
			coffer_segment_copy_offset(&v->geometry));
		return true;
	}
	/* A copy of another filesystem, or of this one before it was used, is of an older try. */
	if (!v->has_copy || v->saved || v->overwritten == 0 || v->used ||
		(v->has_head && !v->living) || (mirror_exists(v) && !v->mirror_agrees))
		return false;
	if (v->has_head)
		(void)snprintf(text, text_size,
			"a copy of the first %" PRIu64 " bytes of the %s filesystem lies at byte "
			"%" PRIu64 "; %" PRIu64 " sectors of the two differ, and %" PRIu64
			" of them may be a LUKS2 header's in the first bytes: either cryptsetup "
			"was cut while it made the copy, and the first bytes are whole, or while "
			"it wrote its header over them, and what they held is in the copy, if it "
			"is anywhere",
			v->geometry.shift, coffer_fs_name(v->fs.kind),
			coffer_segment_copy_offset(&v->geometry), v->different, v->overwritten);
	else
		(void)snprintf(text, text_size,
			"the first bytes hold no filesystem any more, but a copy of the first "
			"%" PRIu64 " bytes of one, of type %s, lies at byte %" PRIu64 "; %" PRIu64
			" sectors of the two differ, and %" PRIu64
			" of them may be a LUKS2 header's in the first bytes; nothing proves that "
			"the copy is complete",
			v->geometry.shift, coffer_fs_name(v->fs.kind),
			coffer_segment_copy_offset(&v->geometry), v->different, v->overwritten);
	return true;
}

bool coffer_moved_segment_copy_is_incomplete(
	const struct coffer_moved_segment *v, char *text, size_t text_size)
{
	const uint64_t copy = coffer_segment_copy_offset(&v->geometry);

	text[0] = '\0';
	if (v->copy_lost)
		(void)snprintf(text, text_size,
			"where its first %" PRIu64 " bytes should have been saved, at byte %" PRIu64
			", is no filesystem; the spare superblock of %s lies further behind",
			v->geometry.shift, copy, coffer_fs_name(v->fs.kind));
	else if (v->has_copy && v->unsaved > 0)
		(void)snprintf(text, text_size,
			"%" PRIu64 " sectors of its first %" PRIu64
			" bytes are still a filesystem's, and the copy at byte %" PRIu64
			" does not have them: cryptsetup was cut before it was complete",
			v->unsaved, v->header_end, copy);
	else if (v->has_copy && v->behind > 0) /* use of the volume writes to the copy */
		(void)snprintf(text, text_size,
			"%" PRIu64 " sectors behind its header, from byte %" PRIu64
			" on, are still a filesystem's, and other ones than in the copy at byte "
			"%" PRIu64
			": either the volume was opened and used, or cryptsetup was cut before the "
			"copy was complete",
			v->behind, v->header_end, copy);
	else if (v->copy_unknown)
		(void)snprintf(text, text_size,
			"where its first %" PRIu64 " bytes must have been saved, at byte %" PRIu64
			", lies nothing that is known",
			v->geometry.shift, copy);
	return text[0] != '\0';
}

bool coffer_moved_segment_is_torn(const struct coffer_moved_segment *v, char *why, size_t why_size)
{
	const uint64_t copy = v->has_copy ? coffer_segment_copy_offset(&v->geometry) : 0;

	why[0] = '\0';
	if (!v->has_copy || v->different == 0 || v->saved)
		return false;
	if (v->ambiguous)
		return NO("there are several places where a copy of its start may begin, byte "
			  "%" PRIu64 " among them",
			copy);
	/* Once such a map is in place coffer converts by it, and free space stays plain: the checks
	 * below could not tell an encrypted filesystem from a plain one. */
	if (v->used_map)
		return NO("the copy of a head at byte %" PRIu64
			  " fits, but a map of what is used lies in the first bytes, so coffer had "
			  "placed its header, and what lies before the copy may be encrypted",
			copy);
	/* A copy of an older try, or a half written one, differs from a filesystem that is in use,
	 * and its superblock may be the same. */
	if (v->traces == 0)
		return NO("%" PRIu64 " sectors of its start are not those of the copy at byte "
			  "%" PRIu64 ", but there is no trace of a LUKS2 header in them",
			v->different, copy);
	if (v->used)
		return NO("the filesystem at its start was used after the copy at byte %" PRIu64
			  " was made",
			copy);
	if (v->unlike_header > 0)
		return NO("%" PRIu64 " sectors of its start are neither a header's nor those of "
			  "the copy at byte %" PRIu64,
			v->unlike_header, copy);
	if (mirror_exists(v) && !v->mirror_agrees)
		return NO("the copy of a head at byte %" PRIu64 " is of another filesystem than "
			  "the spare superblock at byte %" PRIu64,
			copy, v->fs.mirror + v->fs.super);
	if (!v->unconverted)
		return NO("the copy of a head at byte %" PRIu64 " fits, but what lies before it "
			  "may be encrypted already",
			copy);
	return true;
}
