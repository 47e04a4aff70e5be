/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* geometry.c - where everything lies during a conversion, and which step comes next */
#include "convert/geometry.h"

#include <errno.h>
#include <inttypes.h>

#include "base/bytes.h"
#include "base/err.h"
#include "convert/used_map.h"

enum {
	FILL_SHIFTS = 4
};

int coffer_geometry_check(const struct coffer_geometry *g, struct coffer_err *e)
{
	if (g->sector_size != 512 && g->sector_size != 4096)
		return coffer_err_set(e, EINVAL, "sector size %" PRIu32 " is neither 512 nor 4096",
			g->sector_size);
	if (g->shift < COFFER_MIN_SHIFT || g->shift > COFFER_MAX_SHIFT || g->shift % COFFER_BLOCK)
		return coffer_err_set(e, EINVAL,
			"data shift %" PRIu64 " is not a multiple of 4096 between 1 MiB and 1 GiB",
			g->shift);
	/* No sum can wrap: S is small, and D >= 3S is checked before it is subtracted from. */
	if (g->device > INT64_MAX || g->device < 3 * g->shift)
		return coffer_err_set(e, EINVAL,
			"a device of %" PRIu64 " bytes is too small for a header area, a gap and a "
			"moved-segment copy of %" PRIu64 " bytes each",
			g->device, g->shift);
	if (g->length < g->shift || g->length > g->device - 2 * g->shift)
		return coffer_err_set(e, EINVAL,
			"%" PRIu64 " bytes of data do not fit between %" PRIu64 " and %" PRIu64,
			g->length, g->shift, g->device - 2 * g->shift);
	if (g->device % COFFER_SECTOR || g->length % g->sector_size)
		return coffer_err_set(e, EINVAL,
			"device size %" PRIu64 " or data size %" PRIu64
			" is not a multiple of the sector size",
			g->device, g->length);
	return 0;
}

void coffer_geometry_put(const struct coffer_geometry *g, uint8_t *p)
{
	put_be64(p, g->device);
	put_be64(p + 8, g->shift);
	put_be64(p + 16, g->length);
	put_be32(p + 24, g->sector_size);
}

struct coffer_geometry coffer_geometry_get(const uint8_t *p)
{
	return (struct coffer_geometry){.device = get_be64(p),
		.shift = get_be64(p + 8),
		.length = get_be64(p + 16),
		.sector_size = get_be32(p + 24)};
}

uint64_t coffer_next_step(
	const struct coffer_geometry *g, const struct coffer_used_map *used, uint64_t p)
{
	const uint64_t most = FILL_SHIFTS * g->shift;
	const uint64_t end = used ? coffer_used_map_end_below(used, p) : p;
	uint64_t q = end > g->shift ? end - g->shift : 0; /* the lowest legal start */

	if (q > 0 && q < g->shift)
		q = g->shift; /* the short zone is the last but one */
	/* A higher start is as legal, except inside the moved segment, which stays one step. */
	if (used && used->fill && p - q > most)
		return p - most < g->shift ? g->shift : p - most;
	return q;
}

uint64_t coffer_count_steps(
	const struct coffer_geometry *g, const struct coffer_used_map *used, uint64_t p)
{
	uint64_t n = 0;

	/* The short step changes their order, not their number. */
	if (!used)
		return p / g->shift + (p % g->shift > 0);
	for (; p > 0; p = coffer_next_step(g, used, p))
		n++;
	return n;
}

bool coffer_pointer_ok(const struct coffer_geometry *g, uint64_t p)
{
	return p == 0 || (p >= g->shift && p <= g->length && p % g->sector_size == 0);
}

uint64_t coffer_plain_offset(const struct coffer_geometry *g, uint64_t x)
{
	return x < g->shift ? coffer_segment_copy_offset(g) + x : x;
}
