/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* stored_map.c - the used map as it waits on the disk for a resume */
#include "convert/stored_map.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "convert/record.h"

/* Offsets in the first block; those up to the sum are also in each sector of a void one. */
enum {
	AT_MAGIC = 0,
	AT_VERSION = 16,
	AT_STATE = 20,
	AT_FREE_SPACE = 24,
	AT_INDEX = 28, /* of a void block: number of the sector */
	AT_UUID = 32,
	AT_GEOMETRY = 72,
	AT_N_PRINTS = 100,
	AT_N_USED = 104,
	AT_SIZE = 112,
	AT_SUM = 128,
	AT_FINGERPRINT = 160,
	PAIR = 16, /* bytes of one range on the disk */
	VERSION = 1,
};

enum state {
	STATE_VALID = 1,
	STATE_VOID = 2,
};

static const char magic[16] = "COFFER-USEDMAP";

void coffer_stored_map_reset(struct coffer_stored_map *m)
{
	coffer_used_map_free(m->map);
	free(m->prints);
	*m = (struct coffer_stored_map){0};
}

void coffer_stored_map_free(struct coffer_stored_map *m)
{
	if (!m)
		return;
	coffer_stored_map_reset(m);
	free(m);
}

uint64_t coffer_stored_map_size(size_t n_prints, size_t n_used)
{
	return COFFER_BLOCK + round_up_u64(PAIR * ((uint64_t)n_prints + n_used), COFFER_BLOCK);
}

size_t coffer_stored_map_fits(uint64_t space, size_t n_prints)
{
	uint64_t pairs;

	if (space < 2 * COFFER_BLOCK)
		return 0;
	pairs = (round_down_u64(space, COFFER_BLOCK) - COFFER_BLOCK) / PAIR;
	return pairs > n_prints ? pairs - n_prints : 0;
}

static void encode_common(
	uint8_t *p, enum state state, uint32_t free_space, const char *uuid, uint64_t size)
{
	memcpy(p + AT_MAGIC, magic, sizeof(magic));
	put_be32(p + AT_VERSION, VERSION);
	put_be32(p + AT_STATE, state);
	put_be32(p + AT_FREE_SPACE, free_space);
	memcpy(p + AT_UUID, uuid, strnlen(uuid, 39));
	put_be64(p + AT_SIZE, size);
}

static uint8_t *put_ranges(uint8_t *p, const struct coffer_range *r, size_t n)
{
	for (size_t i = 0; i < n; i++, p += PAIR) {
		put_be64(p, r[i].start);
		put_be64(p + 8, r[i].end);
	}
	return p;
}

int coffer_stored_map_encode(const struct coffer_stored_map *m, uint8_t *buf)
{
	const uint64_t size = coffer_stored_map_size(m->n_prints, m->map->n);

	memset(buf, 0, size);
	encode_common(buf, STATE_VALID, m->free_space, m->uuid, size);
	coffer_geometry_put(&m->geometry, buf + AT_GEOMETRY);
	put_be32(buf + AT_N_PRINTS, (uint32_t)m->n_prints);
	put_be64(buf + AT_N_USED, m->map->n);
	memcpy(buf + AT_FINGERPRINT, m->fingerprint, COFFER_SHA256_SIZE);
	put_ranges(put_ranges(buf + COFFER_BLOCK, m->prints, m->n_prints), m->map->used, m->map->n);
	return coffer_sum_put(buf, size, AT_SUM);
}

int coffer_stored_map_encode_void(
	const char *uuid, uint32_t free_space, uint64_t size, uint8_t block[COFFER_BLOCK])
{
	memset(block, 0, COFFER_BLOCK);
	/* Each sector counts alone, and none is as in a good first block. So a torn write without
	 * the first one leaves a wrong sum, and one with it a void map. */
	for (uint32_t i = 0; i < COFFER_BLOCK / COFFER_SECTOR; i++) {
		uint8_t *p = block + i * COFFER_SECTOR;
		int r;

		encode_common(p, STATE_VOID, free_space, uuid, size);
		put_be32(p + AT_INDEX, i);
		r = coffer_sum_put(p, COFFER_SECTOR, AT_SUM);
		if (r < 0)
			return r;
	}
	return 0;
}

bool coffer_stored_map_trace(const uint8_t *sector)
{
	return memcmp(sector, magic, sizeof(magic)) == 0;
}

/* Decode the fixed fields and check what can be checked without the ranges. */
static int decode_fields(
	const uint8_t *p, struct coffer_stored_map *m, uint64_t *ret_n_used, uint64_t *ret_size)
{
	const uint32_t state = get_be32(p + AT_STATE);
	const uint64_t size = get_be64(p + AT_SIZE), n_used = get_be64(p + AT_N_USED);

	if (!coffer_stored_map_trace(p))
		return -ENODATA;
	m->void_ = state == STATE_VOID;
	m->free_space = get_be32(p + AT_FREE_SPACE);
	memcpy(m->uuid, p + AT_UUID, 40);
	/* Nothing below wraps once the size is small. */
	if (get_be32(p + AT_VERSION) != VERSION || !memchr(m->uuid, 0, 40) || size % COFFER_BLOCK ||
		size < COFFER_BLOCK || size > COFFER_MAX_IMAGE)
		return -EBADMSG;
	*ret_size = size;
	*ret_n_used = n_used;
	if (m->void_)
		return 0;
	m->geometry = coffer_geometry_get(p + AT_GEOMETRY);
	m->n_prints = get_be32(p + AT_N_PRINTS);
	memcpy(m->fingerprint, p + AT_FINGERPRINT, COFFER_SHA256_SIZE);
	if (state != STATE_VALID || get_be32(p + AT_INDEX) != 0 ||
		coffer_geometry_check(&m->geometry, NULL) < 0 || size > m->geometry.shift ||
		m->n_prints > COFFER_STORED_MAP_MAX_PRINTS || n_used > size / PAIR ||
		size != coffer_stored_map_size(m->n_prints, n_used))
		return -EBADMSG;
	return 0;
}

int coffer_stored_map_peek(const uint8_t *block, uint64_t *ret_size)
{
	struct coffer_stored_map m = {0};
	uint64_t n_used;

	return decode_fields(block, &m, &n_used, ret_size);
}

static struct coffer_range *get_ranges(const uint8_t *p, size_t n)
{
	struct coffer_range *r = calloc(n + 1, sizeof(*r));

	for (size_t i = 0; i < n && r; i++, p += PAIR)
		r[i] = (struct coffer_range){get_be64(p), get_be64(p + 8)};
	return r;
}

/* Whole sectors within the data, and no more bytes to hash than it has. */
static bool prints_ok(const struct coffer_stored_map *m)
{
	const uint64_t length = m->geometry.length;
	uint64_t sum = 0;

	for (size_t i = 0; i < m->n_prints; i++) {
		const struct coffer_range *p = &m->prints[i];

		if (p->start % COFFER_SECTOR || p->end % COFFER_SECTOR || p->start >= p->end ||
			p->end > length || p->end - p->start > length - sum)
			return false;
		sum += p->end - p->start;
	}
	return m->n_prints > 0;
}

static int decode_ranges(const uint8_t *buf, uint64_t n_used, struct coffer_stored_map *m)
{
	m->prints = get_ranges(buf + COFFER_BLOCK, m->n_prints);
	m->map = calloc(1, sizeof(*m->map));
	if (!m->prints || !m->map)
		return -ENOMEM;
	m->map->length = m->geometry.length;
	m->map->used = get_ranges(buf + COFFER_BLOCK + PAIR * m->n_prints, n_used);
	if (!m->map->used)
		return -ENOMEM;
	m->map->n = n_used;
	return prints_ok(m) && coffer_used_map_ok(m->map) ? 0 : -EBADMSG;
}

int coffer_stored_map_decode(const uint8_t *buf, size_t size, struct coffer_stored_map *ret)
{
	_cleanup_(coffer_stored_map_reset) struct coffer_stored_map m = {0};
	uint64_t n_used, whole;
	int r;

	if (size < COFFER_BLOCK)
		return -EBADMSG;
	r = decode_fields(buf, &m, &n_used, &whole);
	if (r < 0)
		return r;
	/* Each sector of a void block has a sum of its own. */
	whole = m.void_ ? COFFER_SECTOR : whole;
	if (size < whole || (m.void_ && get_be32(buf + AT_INDEX) != 0))
		return -EBADMSG;
	r = coffer_sum_check(buf, whole, AT_SUM);
	if (r == 0 && !m.void_)
		r = decode_ranges(buf, n_used, &m);
	if (r < 0)
		return r;
	*ret = m;
	m = (struct coffer_stored_map){0};
	return 0;
}
