/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test_stored_map.c - the used map as it lies on the disk
 *
 * The used map as it lies on the disk: what is read back is what was written, and nothing that is
 * damaged, torn or made up is believed. */
#include "convert/stored_map.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "tap.h"

#define MIB  (UINT64_C(1) << 20)
#define UUID "01234567-89ab-cdef-0123-456789abcdef"

enum {
	AT_SUM = 128,
	SECTORS = COFFER_BLOCK / COFFER_SECTOR
};

static struct coffer_stored_map make(size_t n_prints, size_t n_used)
{
	struct coffer_stored_map m = {
		.uuid = UUID, .geometry = {64 * MIB, MIB, 62 * MIB, 512}, .free_space = 3};

	m.prints = calloc(n_prints + 1, sizeof(*m.prints));
	m.map = calloc(1, sizeof(*m.map));
	if (!m.prints || !m.map)
		abort();
	m.n_prints = n_prints;
	for (size_t i = 0; i < n_prints; i++)
		m.prints[i] = (struct coffer_range){i * 8192 + 1024, i * 8192 + 2048};
	m.map->length = m.geometry.length;
	m.map->n = n_used;
	m.map->used = calloc(n_used + 1, sizeof(*m.map->used));
	if (!m.map->used)
		abort();
	for (size_t i = 0; i < n_used; i++)
		m.map->used[i] = (struct coffer_range){i * 12288, i * 12288 + 4096};
	for (size_t i = 0; i < COFFER_SHA256_SIZE; i++)
		m.fingerprint[i] = (uint8_t)(i * 7 + 1);
	return m;
}

static uint8_t *encode(const struct coffer_stored_map *m, uint64_t *size)
{
	uint8_t *p;

	*size = coffer_stored_map_size(m->n_prints, m->map->n);
	p = malloc(*size);
	if (!p || coffer_stored_map_encode(m, p) < 0)
		abort();
	return p;
}

static void seal(uint8_t *p, size_t n)
{
	uint8_t sum[COFFER_SHA256_SIZE];

	memset(p + AT_SUM, 0, sizeof(sum));
	if (coffer_sha256(p, n, sum) < 0)
		abort();
	memcpy(p + AT_SUM, sum, sizeof(sum));
}

static bool same(const struct coffer_stored_map *a, const struct coffer_stored_map *b)
{
	return strcmp(a->uuid, b->uuid) == 0 && a->geometry.device == b->geometry.device &&
	       a->geometry.shift == b->geometry.shift && a->geometry.length == b->geometry.length &&
	       a->geometry.sector_size == b->geometry.sector_size &&
	       a->free_space == b->free_space && a->void_ == b->void_ &&
	       a->n_prints == b->n_prints && a->map->n == b->map->n &&
	       a->map->length == b->map->length &&
	       memcmp(a->prints, b->prints, a->n_prints * sizeof(*a->prints)) == 0 &&
	       memcmp(a->map->used, b->map->used, a->map->n * sizeof(*a->map->used)) == 0 &&
	       memcmp(a->fingerprint, b->fingerprint, COFFER_SHA256_SIZE) == 0;
}

static void check_round_trips(void)
{
	static const struct {
		size_t n_prints, n_used;
	} rows[] = {{1, 0}, {1, 1}, {1, 2}, {3, 253}, {3, 254}, {200, 1000},
		{COFFER_STORED_MAP_MAX_PRINTS, 5000}};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct coffer_stored_map m = make(rows[i].n_prints, rows[i].n_used), back = {0};
		uint64_t size, peeked = 0;
		uint8_t *p = encode(&m, &size);
		const int r = coffer_stored_map_decode(p, size, &back);

		ok(r == 0 && same(&m, &back) && coffer_stored_map_peek(p, &peeked) == 0 &&
				peeked == size && size % COFFER_BLOCK == 0,
			"%zu prints and %zu ranges come back (%d)", rows[i].n_prints,
			rows[i].n_used, r);
		coffer_stored_map_reset(&back);
		ok(coffer_stored_map_decode(p, size - 1, &back) == -EBADMSG && !back.map &&
				!back.prints,
			"%zu prints and %zu ranges, one byte short", rows[i].n_prints,
			rows[i].n_used);
		coffer_stored_map_reset(&m);
		free(p);
	}
}

/* What fits is what has a size of no more than the space, and one more would not fit. */
static void check_fits(void)
{
	unsigned int wrong = 0;

	for (size_t n_prints = 0; n_prints < 600; n_prints += 7) {
		for (uint64_t room = 0; room < 10 * COFFER_BLOCK; room += 512) {
			const size_t n = coffer_stored_map_fits(room, n_prints);

			if (n > 0 && coffer_stored_map_size(n_prints, n) > room)
				wrong++;
			if (coffer_stored_map_size(n_prints, n + 1) <= room)
				wrong++;
		}
	}
	ok(wrong == 0, "what fits into a space is as much as fits (%u wrong)", wrong);
}

/* --- damage ------------------------------------------------------------------------------------
 */

/* Any byte of it: the sum is over all. */
static void check_every_byte(void)
{
	struct coffer_stored_map m = make(3, 40), back = {0};
	unsigned int believed = 0, odd = 0;
	uint64_t size;
	uint8_t *p = encode(&m, &size);

	for (uint64_t i = 0; i < size; i++) {
		int r;

		p[i] ^= (uint8_t)(1 << i % 8);
		r = coffer_stored_map_decode(p, size, &back);
		believed += r == 0;
		odd += r != -EBADMSG && !(i < 16 && r == -ENODATA);
		p[i] ^= (uint8_t)(1 << i % 8);
	}
	ok(believed == 0 && odd == 0, "no byte may change (%u believed, %u odd)", believed, odd);
	coffer_stored_map_reset(&m);
	free(p);
}

/* Fields with a right sum, but of a size or order that cannot be. */
static const struct {
	const char *name;
	unsigned int at, bytes;
	uint64_t value;
	int r;
} hostile[] = {
	{"as it was", 16, 4, 1, 0},
	{"version 0", 16, 4, 0, -EBADMSG},
	{"version 2", 16, 4, 2, -EBADMSG},
	{"state 0", 20, 4, 0, -EBADMSG},
	{"state 3", 20, 4, 3, -EBADMSG},
	{"void, but with the sum of a map", 20, 4, 2, -EBADMSG},
	{"a number of a sector", 28, 4, 1, -EBADMSG},
	{"D too small", 72, 8, 2 * MIB, -EBADMSG},
	{"D no multiple of 512", 72, 8, 64 * MIB + 1, -EBADMSG},
	{"D of 2^64 - 512", 72, 8, UINT64_MAX - 511, -EBADMSG},
	{"S of 0", 80, 8, 0, -EBADMSG},
	{"S of 2^63", 80, 8, UINT64_C(1) << 63, -EBADMSG},
	{"L above D - 2S", 88, 8, 62 * MIB + 4096, -EBADMSG},
	{"L below the ranges", 88, 8, 2 * MIB, -EBADMSG},
	{"L of 0", 88, 8, 0, -EBADMSG},
	{"sectors of 0", 96, 4, 0, -EBADMSG},
	{"sectors of 1024", 96, 4, 1024, -EBADMSG},
	{"no prints", 100, 4, 0, -EBADMSG},
	{"prints taken for used ranges", 100, 4, 4, -EBADMSG},
	{"2^32 - 1 prints", 100, 4, UINT32_MAX, -EBADMSG},
	{"1025 prints", 100, 4, 1025, -EBADMSG},
	{"one range more", 104, 8, 501, -EBADMSG},
	{"2^64 - 1 ranges", 104, 8, UINT64_MAX, -EBADMSG},
	{"2^60 ranges, whose bytes wrap to 0", 104, 8, UINT64_C(1) << 60, -EBADMSG},
	{"a size of 0", 112, 8, 0, -EBADMSG},
	{"a size of one block", 112, 8, 4096, -EBADMSG},
	{"one block more", 112, 8, 20480, -EBADMSG},
	{"a size of 2^64 - 4096", 112, 8, UINT64_MAX - 4095, -EBADMSG},
	{"a size that is not a multiple", 112, 8, 12287, -EBADMSG},
	{"an empty print", 4096 + 8, 8, 1024, -EBADMSG},
	{"a print that ends before it begins", 4096 + 8, 8, 512, -EBADMSG},
	{"a print of half a sector", 4096 + 8, 8, 1025, -EBADMSG},
	{"a print beyond L", 4096 + 8, 8, 62 * MIB + 512, -EBADMSG},
	{"more bytes of prints than there are", 4096 + 8, 8, 62 * MIB, -EBADMSG},
	{"a range that begins in a block", 4096 + 48, 8, 512, -EBADMSG},
	{"a range that ends in a block", 4096 + 48 + 8, 8, 4608, -EBADMSG},
	{"a range that reaches the next", 4096 + 48 + 8, 8, 12288, -EBADMSG},
	{"an empty range", 4096 + 48 + 8, 8, 0, -EBADMSG},
	{"a last range beyond L", 4096 + 48 + 499 * 16 + 8, 8, 62 * MIB + 4096, -EBADMSG},
	{"a last range of 2^64 - 4096", 4096 + 48 + 499 * 16 + 8, 8, UINT64_MAX - 4095, -EBADMSG},
	{"a last range up to L", 4096 + 48 + 499 * 16 + 8, 8, 62 * MIB, 0},
};

static void check_hostile(void)
{
	struct coffer_stored_map m = make(3, 500);
	uint64_t size;
	uint8_t *good = encode(&m, &size), *p = malloc(size);

	if (!p)
		abort();
	for (size_t i = 0; i < ARRAY_SIZE(hostile); i++) {
		struct coffer_stored_map back = {0};
		int r;

		memcpy(p, good, size);
		if (hostile[i].bytes == 4)
			put_be32(p + hostile[i].at, (uint32_t)hostile[i].value);
		else
			put_be64(p + hostile[i].at, hostile[i].value);
		seal(p, size);
		r = coffer_stored_map_decode(p, size, &back);
		ok(r == hostile[i].r, "%s: %d", hostile[i].name, r);
		coffer_stored_map_reset(&back);
	}
	memcpy(p, good, size);
	memset(p + 32, 'x', 40);
	seal(p, size);
	ok(coffer_stored_map_decode(p, size, &(struct coffer_stored_map){0}) == -EBADMSG,
		"a UUID without an end");
	memset(p, 0, size);
	ok(coffer_stored_map_decode(p, size, &(struct coffer_stored_map){0}) == -ENODATA,
		"zeros are no map");
	ok(coffer_stored_map_decode(good, 512, &(struct coffer_stored_map){0}) == -EBADMSG,
		"a sector is not a map");
	coffer_stored_map_reset(&m);
	free(good);
	free(p);
}

/* --- void --------------------------------------------------------------------------------------
 */

/* Every combination of sectors of the void block that may have arrived over a good one. */
static void check_torn_voids(void)
{
	struct coffer_stored_map m = make(2, 400);
	unsigned int good = 0, voids = 0, damaged = 0, wrong = 0;
	uint8_t block[COFFER_BLOCK];
	uint64_t size, peeked;
	uint8_t *map = encode(&m, &size), *p = malloc(size);

	if (!p || coffer_stored_map_encode_void(UUID, 2, size, block) < 0)
		abort();
	for (unsigned int mask = 0; mask < 1u << SECTORS; mask++) {
		struct coffer_stored_map back = {0};
		int r;

		memcpy(p, map, size);
		for (unsigned int i = 0; i < SECTORS; i++)
			if (mask & 1u << i)
				memcpy(p + i * COFFER_SECTOR, block + i * COFFER_SECTOR,
					COFFER_SECTOR);
		r = coffer_stored_map_decode(p, size, &back);
		good += r == 0 && !back.void_;
		voids += r == 0 && back.void_;
		damaged += r == -EBADMSG;
		if ((r == 0 && !back.void_ && mask != 0) || (r < 0 && r != -EBADMSG))
			wrong++;
		/* Whatever arrived: that something lies there, and how much, is still told. */
		if (!coffer_stored_map_trace(p) || coffer_stored_map_peek(p, &peeked) < 0 ||
			peeked != size)
			wrong++;
		if (r == 0 && back.void_ &&
			(strcmp(back.uuid, UUID) != 0 || back.free_space != 2 || back.map ||
				back.prints))
			wrong++;
		coffer_stored_map_reset(&back);
	}
	ok(wrong == 0 && good == 1 && voids == 128 && damaged == 127,
		"of %u torn voids %u are a map, %u void, %u damaged", 1u << SECTORS, good, voids,
		damaged);
	coffer_stored_map_reset(&m);
	ok(coffer_stored_map_decode(block, sizeof(block), &m) == 0 && m.void_,
		"a void block alone is void");
	free(map);
	free(p);
}

/* A sector of it that is torn in itself: new bytes up to somewhere, old ones behind. */
static void check_torn_sectors(void)
{
	struct coffer_stored_map m = make(2, 400);
	unsigned int believed = 0, wrong = 0;
	uint8_t block[COFFER_BLOCK];
	uint64_t size;
	uint8_t *map = encode(&m, &size), *p = malloc(size);

	if (!p || coffer_stored_map_encode_void(UUID, 2, size, block) < 0)
		abort();
	for (unsigned int n = 1; n < COFFER_SECTOR; n++) {
		for (unsigned int backwards = 0; backwards < 2; backwards++) {
			struct coffer_stored_map back = {0};
			const unsigned int at = backwards ? n : 0;
			const unsigned int k = backwards ? COFFER_SECTOR - n : n;
			bool same_bytes;
			int r;

			memcpy(p, map, size);
			memcpy(p + at, block + at, k);
			same_bytes = memcmp(p, map, COFFER_SECTOR) == 0;
			r = coffer_stored_map_decode(p, size, &back);
			believed += r == 0 && !back.void_ && !same_bytes;
			wrong += r < 0 && r != -EBADMSG;
			coffer_stored_map_reset(&back);
		}
	}
	ok(believed == 0 && wrong == 0, "a first sector that is torn anywhere is not a map");
	for (uint64_t i = 0; i < COFFER_SECTOR; i++) {
		struct coffer_stored_map back = {0};

		memcpy(p, block, COFFER_BLOCK);
		p[i] ^= 0x10;
		believed += coffer_stored_map_decode(p, COFFER_BLOCK, &back) == 0;
		coffer_stored_map_reset(&back);
	}
	ok(believed == 0, "no byte of a void block's first sector may change");
	coffer_stored_map_reset(&m);
	free(map);
	free(p);
}

int main(void)
{
	check_round_trips();
	check_fits();
	check_every_byte();
	check_hostile();
	check_torn_voids();
	check_torn_sectors();
	return done_testing();
}
