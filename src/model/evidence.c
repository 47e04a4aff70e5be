/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "model/evidence.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "model/luks2hdr.h"

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

bool coffer_looks_like_header(const uint8_t *sector)
{
	static const char mark[] = "COFFER-";

	return coffer_luks2_magic(sector, false) || coffer_luks2_magic(sector, true) ||
	       memcmp(sector, mark, sizeof(mark) - 1) == 0 || is_text(sector, COFFER_SECTOR) ||
	       coffer_looks_random(sector, COFFER_SECTOR);
}

#define NO(...) (snprintf(why, why_size, __VA_ARGS__), false)

bool coffer_head_is_torn(const struct coffer_evidence *v, char *why, size_t why_size)
{
	const uint64_t copy = v->has_copy ? coffer_head_copy(&v->geometry) : 0;
	const bool mirror_exists =
		v->has_copy && v->fs.mirror + v->fs.super >= v->geometry.shift && v->fs.mirror > 0;

	why[0] = '\0';
	if (!v->has_copy || (!v->luks_remains && !v->living))
		return false;
	if (v->different == 0)
		return false;
	if (v->used)
		return NO("the filesystem at its start was used after the copy at byte %" PRIu64
			  " was made",
			copy);
	if (v->unlike_header > 0)
		return NO("%" PRIu64 " sectors of its start are neither a header's nor those of "
			  "the copy at byte %" PRIu64,
			v->unlike_header, copy);
	if (mirror_exists && !v->mirror_agrees)
		return NO("the copy of a head at byte %" PRIu64 " is of another filesystem than "
			  "the spare superblock at byte %" PRIu64,
			copy, v->fs.mirror + v->fs.super);
	if (!v->unconverted)
		return NO("the copy of a head at byte %" PRIu64 " fits, but what lies before it "
			  "may be encrypted already",
			copy);
	return true;
}
