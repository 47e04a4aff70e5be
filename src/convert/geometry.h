/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* geometry.h - where everything lies during a conversion, and which step comes next
 *
 *   0        S                                        L=D-2S     D-S       D
 *   | moved  |  data in place ...                      |  gap     | moved-  |
 *   | segment|                                         |          | segment |
 *   | header |                                         |          | copy    |
 *
 * The byte x of the plain filesystem (0 <= x < L) ends as ciphertext at S + x. The first S bytes
 * are the moved segment: they make way for the LUKS2 header and wait in the copy at D-S. A
 * conversion walks downwards: all bytes from the pointer p on are converted. All values are bytes.
 * D is the size the conversion was begun with; the device may have grown since. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "coffer/err.h"

/* The smallest S has space for two small header copies and two keyslots. */
#define COFFER_MIN_SHIFT (UINT64_C(1) << 20)
#define COFFER_MAX_SHIFT (UINT64_C(1) << 30)
#define COFFER_RESERVE	 (UINT64_C(32) << 20) /* 2S, the default that cryptsetup's manual names */

struct coffer_geometry {
	uint64_t device; /* D */
	uint64_t shift;	 /* S: size of header area, gap and moved-segment copy; the data offset */
	uint64_t length; /* L: bytes converted */
	uint32_t sector_size; /* of the encryption: 512 or 4096 */
};

/* D - S and D - 2S, of a checked geometry. */
static inline uint64_t coffer_segment_copy_offset(const struct coffer_geometry *g)
{
	return g->device - g->shift;
}

static inline uint64_t coffer_gap_offset(const struct coffer_geometry *g)
{
	return g->device - 2 * g->shift;
}

/* Do header area, gap and moved-segment copy lie at the same places? */
static inline bool coffer_geometry_same_places(
	const struct coffer_geometry *a, const struct coffer_geometry *b)
{
	return a->device == b->device && a->shift == b->shift;
}

static inline bool coffer_geometry_equal(
	const struct coffer_geometry *a, const struct coffer_geometry *b)
{
	return coffer_geometry_same_places(a, b) && a->length == b->length &&
	       a->sector_size == b->sector_size;
}

/* Is every transfer of a conversion aligned for direct I/O? If not, all transfers use the page
 * cache, since direct and cached transfers to one block do not mix. */
static inline bool coffer_geometry_fits_direct(const struct coffer_geometry *g)
{
	return g->device % COFFER_BLOCK == 0 && g->length % COFFER_BLOCK == 0;
}

/* As records and used maps have it on the disk: 28 bytes. */
void coffer_geometry_put(const struct coffer_geometry *g, uint8_t *p);
struct coffer_geometry coffer_geometry_get(const uint8_t *p); /* not checked */

/* Is @g possible at all? S a multiple of 4096 in the limits above, S <= L <= D - 2S, everything
 * a multiple of the sector size (D of 512). -EINVAL says which. */
int coffer_geometry_check(const struct coffer_geometry *g, struct coffer_err *e);

struct coffer_used_map;

/* The step after pointer @p (0 < p <= L): [*ret, p) is converted next. @used NULL: everything is.
 * Law: a step [q, p) is legal if no used byte lies in [q+S, p), since its ciphertext, and what is
 * scrubbed, goes to [q+S, p+S) and must not reach into what is still to be moved; q is 0 or >= S,
 * since the moved segment is one step (stock cannot resume inside it). So a step moves S bytes at
 * most, and crosses any distance without used bytes. A map with fill has steps of 4S at most, since
 * all of such a step is written. */
uint64_t coffer_next_step(
	const struct coffer_geometry *g, const struct coffer_used_map *used, uint64_t p);

/* Steps from pointer @p down to 0. */
uint64_t coffer_count_steps(
	const struct coffer_geometry *g, const struct coffer_used_map *used, uint64_t p);

/* Is @p a pointer at which a conversion can stand: 0, or S <= p <= L at a sector's start? */
bool coffer_pointer_ok(const struct coffer_geometry *g, uint64_t p);

/* Where the plain byte @x below the pointer lies now: in the moved-segment copy or in place. */
uint64_t coffer_plain_offset(const struct coffer_geometry *g, uint64_t x);
