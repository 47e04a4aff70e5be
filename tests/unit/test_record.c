/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "convert/record.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <blkid/blkid.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "tap.h"

#define MIB (UINT64_C(1) << 20)

static struct coffer_record sample(enum coffer_placement_kind kind)
{
	struct coffer_record r = {
		.kind = kind,
		.geometry = {64 * MIB, 4 * MIB, 56 * MIB, 512},
		.uuid = "01234567-89ab-cdef-0123-456789abcdef",
		.seqid = 4,
		.copy_size = 16384,
		.image_size = 32768 + 262144,
		.n_extents = 2,
		.extents = {{0, 32768}, {65536, 262144}},
		.n_masked = 2,
		.masked = {65536, MIB},
	};

	for (size_t i = 0; i < sizeof(r.id); i++)
		r.id[i] = (uint8_t)(i + 1);
	memset(r.image_hash, 0x11, sizeof(r.image_hash));
	memset(r.segment_hash, 0x22, sizeof(r.segment_hash));
	return r;
}

static bool same_geometry(const struct coffer_geometry *a, const struct coffer_geometry *b)
{
	return a->device == b->device && a->shift == b->shift && a->length == b->length &&
	       a->sector_size == b->sector_size;
}

static bool same_record(const struct coffer_record *a, const struct coffer_record *b)
{
	return a->kind == b->kind && memcmp(a->id, b->id, sizeof(a->id)) == 0 &&
	       same_geometry(&a->geometry, &b->geometry) && strcmp(a->uuid, b->uuid) == 0 &&
	       a->keep == b->keep && a->seqid == b->seqid && a->copy_size == b->copy_size &&
	       a->image_size == b->image_size && a->n_extents == b->n_extents &&
	       memcmp(a->extents, b->extents, a->n_extents * sizeof(a->extents[0])) == 0 &&
	       a->n_masked == b->n_masked &&
	       memcmp(a->masked, b->masked, a->n_masked * sizeof(a->masked[0])) == 0 &&
	       memcmp(a->image_hash, b->image_hash, 32) == 0 &&
	       memcmp(a->segment_hash, b->segment_hash, 32) == 0;
}

/* --- the record --- */

static void make_full(struct coffer_record *r)
{
	r->geometry = (struct coffer_geometry){3072 * MIB, 1024 * MIB, 1024 * MIB, 4096};
	r->n_extents = COFFER_MAX_EXTENTS;
	r->n_masked = COFFER_MAX_MASKED;
	r->image_size = 0;
	for (uint32_t i = 0; i < COFFER_MAX_EXTENTS; i++) {
		r->extents[i] = (struct coffer_extent){i * 16 * MIB, 4096 * (i + 1)};
		r->image_size += r->extents[i].length;
	}
	for (uint32_t i = 0; i < COFFER_MAX_MASKED; i++)
		r->masked[i] = 4096 * (i + 1);
	memset(r->uuid, 'u', 39);
	r->uuid[39] = '\0';
	r->seqid = UINT64_MAX;
	r->copy_size = 4 * MIB;
}

static void make_touching(struct coffer_record *r)
{
	r->extents[1] = (struct coffer_extent){32768, 4 * MIB - 32768};
	r->image_size = 4 * MIB; /* everything; but the records need their blocks */
	r->geometry = (struct coffer_geometry){64 * MIB, 8 * MIB, 48 * MIB, 512};
	r->masked[0] = 8 * MIB - 4096;
}

static void make_empty(struct coffer_record *r)
{
	r->n_extents = r->n_masked = 0;
	r->image_size = 0;
}

static void set_keep(struct coffer_record *r)
{
	r->keep = true;
}

static void check_round_trip(void)
{
	static const struct {
		const char *name;
		enum coffer_placement_kind kind;
		void (*change)(struct coffer_record *r);
	} rows[] = {
		{"placement", COFFER_RECORD_PLACE, NULL},
		{"restoration", COFFER_RECORD_UNDO, NULL},
		{"as many extents and veils as there are", COFFER_RECORD_PLACE, make_full},
		{"extents that touch, to the end", COFFER_RECORD_PLACE, make_touching},
		{"no extents, no veils", COFFER_RECORD_UNDO, make_empty},
		{"restoration that keeps", COFFER_RECORD_UNDO, set_keep},
		{"saving", COFFER_RECORD_SAVE, NULL},
	};
	uint8_t block[COFFER_BLOCK];

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct coffer_record r = sample(rows[i].kind), back;

		if (rows[i].change)
			rows[i].change(&r);
		ok(coffer_record_encode(&r, block) == 0 &&
				coffer_record_decode(block, &back) == 0 && same_record(&r, &back),
			"round trip: %s", rows[i].name);
	}
}

static void check_damage(void)
{
	const struct coffer_record r = sample(COFFER_RECORD_PLACE);
	struct coffer_record back;
	uint8_t block[COFFER_BLOCK];
	size_t taken = 0, changed = 0;

	(void)coffer_record_encode(&r, block);
	back = sample(COFFER_RECORD_UNDO);
	for (size_t at = 0; at < COFFER_BLOCK; at++) {
		for (unsigned int bit = 0; bit < 8; bit++) {
			int status;

			block[at] ^= (uint8_t)(1u << bit);
			status = coffer_record_decode(block, &back);
			taken += status != (at < 16 ? -ENODATA : -EBADMSG);
			block[at] ^= (uint8_t)(1u << bit);
		}
	}
	changed = back.kind != COFFER_RECORD_UNDO;
	ok(taken == 0, "every flipped bit of a record is noticed");
	ok(changed == 0, "a bad record leaves the result alone");
	ok(coffer_record_decode(block, &back) == 0, "(and the block as it was is good)");
	taken = 0;
	for (size_t n = 0; n < COFFER_BLOCK; n += 512) {
		uint8_t torn[COFFER_BLOCK] = {0};

		memcpy(torn, block, n);
		taken += coffer_record_decode(torn, &back) == 0;
	}
	/* What follows the lists is zero, so a block that lost only that has lost nothing. */
	ok(taken == 6, "a record torn inside its used part is noticed");
	memset(block, 0, sizeof(block));
	ok(coffer_record_decode(block, &back) == -ENODATA, "zeros are no record");
	(void)coffer_transition_encode(&r, block);
	ok(coffer_record_decode(block, &back) == -ENODATA, "a transition block is no record");
}

static void set_kind0(struct coffer_record *r)
{
	r->kind = (enum coffer_placement_kind)0;
}
static void set_kind5(struct coffer_record *r)
{
	r->kind = (enum coffer_placement_kind)5;
}
static void set_device_wrap(struct coffer_record *r)
{
	r->geometry.device = UINT64_MAX - 511;
}
static void set_shift_wrap(struct coffer_record *r)
{
	r->geometry.shift = UINT64_C(1) << 63;
}
static void set_shift_zero(struct coffer_record *r)
{
	r->geometry.shift = 0;
}
static void set_length_large(struct coffer_record *r)
{
	r->geometry.length += 512;
}
static void set_sector_size(struct coffer_record *r)
{
	r->geometry.sector_size = 1024;
}
static void set_uuid_long(struct coffer_record *r)
{
	memset(r->uuid, 'x', 40);
}
static void set_copy_zero(struct coffer_record *r)
{
	r->copy_size = 0;
}
static void set_copy_odd(struct coffer_record *r)
{
	r->copy_size = 16385;
}
static void set_copy_large(struct coffer_record *r)
{
	r->copy_size = 2 * MIB + 4096;
}
static void set_copy_wrap(struct coffer_record *r)
{
	r->copy_size = UINT64_MAX - 4095;
}
static void set_image_large(struct coffer_record *r)
{
	r->image_size += 4096;
}
static void set_image_small(struct coffer_record *r)
{
	r->image_size -= 4096;
}
static void set_image_no_room(struct coffer_record *r)
{
	r->n_extents = 1;
	r->extents[0] = (struct coffer_extent){0, 4 * MIB - 4096};
	r->image_size = 4 * MIB - 4096;
}
static void set_image_too_large(struct coffer_record *r)
{
	r->geometry = (struct coffer_geometry){1024 * MIB, 256 * MIB, 512 * MIB, 512};
	r->n_extents = 1;
	r->extents[0] = (struct coffer_extent){0, 32 * MIB + 4096};
	r->image_size = 32 * MIB + 4096;
}
static void set_extent_empty(struct coffer_record *r)
{
	r->extents[1].length = 0;
	r->image_size = 32768;
}
static void set_extent_odd_offset(struct coffer_record *r)
{
	r->extents[1].offset += 512;
}
static void set_extent_odd_length(struct coffer_record *r)
{
	r->extents[1].length += 512;
	r->image_size += 512;
}
static void set_extent_overlap(struct coffer_record *r)
{
	r->extents[1].offset = 28672;
}
static void set_extent_order(struct coffer_record *r)
{
	const struct coffer_extent x = r->extents[0];

	r->extents[0] = r->extents[1];
	r->extents[1] = x;
}
static void set_extent_at_end(struct coffer_record *r)
{
	r->extents[1].offset = 4 * MIB;
}
static void set_extent_over_end(struct coffer_record *r)
{
	r->extents[1].offset = 4 * MIB - 262144 + 4096;
}
static void set_extent_wrap(struct coffer_record *r)
{
	r->extents[1].length = UINT64_MAX - 65535 + 4096; /* ends at 4096 */
	r->image_size = 32768 + r->extents[1].length;
}
static void set_extent_offset_wrap(struct coffer_record *r)
{
	r->extents[1].offset = UINT64_MAX - 4095;
}
static void set_veil_odd(struct coffer_record *r)
{
	r->masked[1] += 512;
}
static void set_veil_zero(struct coffer_record *r)
{
	r->masked[0] = 0;
}
static void set_veil_behind(struct coffer_record *r)
{
	r->masked[1] = 4 * MIB;
}
static void set_veil_wrap(struct coffer_record *r)
{
	r->masked[1] = UINT64_MAX - 4095;
}

/* Sealed by us, so that the checksum does not hide what the decoder looks at. */
static void check_hostile(void)
{
	static const struct {
		const char *name;
		void (*change)(struct coffer_record *r);
	} rows[] = {
		{"placement that keeps", set_keep},
		{"kind 0", set_kind0},
		{"kind 5", set_kind5},
		{"device near 2^64", set_device_wrap},
		{"shift 2^63", set_shift_wrap},
		{"shift 0", set_shift_zero},
		{"length into the gap", set_length_large},
		{"sector size 1024", set_sector_size},
		{"UUID without an end", set_uuid_long},
		{"copy size 0", set_copy_zero},
		{"copy size odd", set_copy_odd},
		{"copies larger than the header area", set_copy_large},
		{"copy size near 2^64", set_copy_wrap},
		{"image larger than its extents", set_image_large},
		{"image smaller than its extents", set_image_small},
		{"image where the records lie", set_image_no_room},
		{"image above the limit", set_image_too_large},
		{"empty extent", set_extent_empty},
		{"extent at half a block", set_extent_odd_offset},
		{"extent of half a block", set_extent_odd_length},
		{"extents overlap", set_extent_overlap},
		{"extents in the wrong order", set_extent_order},
		{"extent behind S", set_extent_at_end},
		{"extent across S", set_extent_over_end},
		{"extent around 2^64", set_extent_wrap},
		{"extent near 2^64", set_extent_offset_wrap},
		{"veil at half a block", set_veil_odd},
		{"veil over the transition block", set_veil_zero},
		{"veil behind S", set_veil_behind},
		{"veil near 2^64", set_veil_wrap},
	};
	uint8_t block[COFFER_BLOCK];
	unsigned int wrong = 0;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct coffer_record r = sample(COFFER_RECORD_PLACE), back;

		rows[i].change(&r);
		ok(coffer_record_encode(&r, block) == 0 &&
				coffer_record_decode(block, &back) == -EBADMSG,
			"hostile: %s", rows[i].name);
	}
	for (unsigned int bit = 1; bit < 32; bit++) {
		const struct coffer_record r = sample(COFFER_RECORD_UNDO);
		struct coffer_record back;

		(void)coffer_record_encode(&r, block);
		put_be32(block + 24, UINT32_C(1) << bit);
		memset(block + 128, 0, 32);
		(void)coffer_sha256(block, COFFER_BLOCK, block + 128);
		wrong += coffer_record_decode(block, &back) != -EBADMSG;
	}
	ok(wrong == 0, "hostile: flags that nobody knows");
	/* Numbers of elements that encode would run over itself. */
	for (unsigned int i = 0; i < 4; i++) {
		const struct coffer_record r = sample(COFFER_RECORD_PLACE);
		const uint32_t n[] = {
			COFFER_MAX_EXTENTS + 1, UINT32_MAX, COFFER_MAX_MASKED + 1, UINT32_MAX};
		struct coffer_record back;

		(void)coffer_record_encode(&r, block);
		put_be32(block + 184 + 4 * (i / 2), n[i]);
		memset(block + 128, 0, 32);
		(void)coffer_sha256(block, COFFER_BLOCK, block + 128);
		ok(coffer_record_decode(block, &back) == -EBADMSG, "hostile: %" PRIu32 " %s", n[i],
			i < 2 ? "extents" : "veils");
	}
}

static void check_places(void)
{
	const struct coffer_geometry geometry = sample(COFFER_RECORD_PLACE).geometry;
	static const struct {
		const char *name;
		uint64_t shift, size;
		bool fits;
	} rows[] = {
		{"nothing", MIB, 0, true},
		{"all between the records", MIB, MIB - 8192, true},
		{"a block more", MIB, MIB - 4096, false},
		{"32 MiB", 64 * MIB, 32 * MIB, true},
		{"32 MiB and a block", 64 * MIB, 32 * MIB + 4096, false},
		{"2^64 - 1", 64 * MIB, UINT64_MAX, false},
	};

	ok(coffer_record_offset(&geometry, COFFER_RECORD_PLACE) == 56 * MIB &&
			coffer_image_offset(&geometry) == 56 * MIB + 4096 &&
			coffer_record_offset(&geometry, COFFER_RECORD_UNDO) == 60 * MIB - 4096 &&
			coffer_record_offset(&geometry, COFFER_RECORD_SAVE) == 60 * MIB - 4096,
		"records and image lie in the gap, apart");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct coffer_geometry x = {.shift = rows[i].shift};

		ok(coffer_image_fits(&x, rows[i].size) == rows[i].fits, "image fits: %s",
			rows[i].name);
	}
}

/* --- the transition block --- */

static bool is_of(const struct coffer_transition *t, const struct coffer_record *r)
{
	return t->kind == r->kind && memcmp(t->id, r->id, sizeof(t->id)) == 0 &&
	       same_geometry(&t->geometry, &r->geometry) && strcmp(t->uuid, r->uuid) == 0;
}

/* Any subset of the sectors may have reached the disk; what else lies there may be anything. */
static void check_torn(void)
{
	static const char *const others[] = {"zeros", "ones", "a header", "noise"};
	const struct coffer_record r = sample(COFFER_RECORD_PLACE);
	uint8_t whole[COFFER_BLOCK], block[COFFER_BLOCK], other[COFFER_BLOCK];

	(void)coffer_transition_encode(&r, whole);
	for (size_t k = 0; k < ARRAY_SIZE(others); k++) {
		unsigned int wrong = 0;

		memset(other, k == 1 ? 0xff : 0, sizeof(other));
		if (k == 2)
			memcpy(other, "LUKS\xba\xbe\0\2", 8);
		if (k == 3)
			(void)coffer_random(other, sizeof(other));
		for (unsigned int subset = 0; subset < 256; subset++) {
			struct coffer_transition t = {0};
			int status;

			for (unsigned int i = 0; i < 8; i++)
				memcpy(block + i * 512, (subset >> i & 1 ? whole : other) + i * 512,
					512);
			status = coffer_transition_find(block, &t);
			if (subset == 0)
				wrong += status != -ENODATA;
			else
				wrong += status != 0 || !is_of(&t, &r);
		}
		ok(wrong == 0, "torn: all subsets of its sectors over %s", others[k]);
	}
}

static void check_transition_damage(void)
{
	const struct coffer_record r = sample(COFFER_RECORD_UNDO);
	uint8_t whole[COFFER_BLOCK], block[COFFER_BLOCK] = {0};
	struct coffer_transition t;
	size_t taken = 0;

	(void)coffer_transition_encode(&r, whole);
	memcpy(block + 512, whole + 512, 512);
	for (size_t at = 512; at < 1024; at++) {
		block[at] ^= 0x40;
		taken += coffer_transition_find(block, &t) != -ENODATA;
		block[at] ^= 0x40;
	}
	ok(taken == 0, "every damaged byte of a lone sector is noticed");
	ok(coffer_transition_find(block, &t) == 0 && is_of(&t, &r), "(and as it was it is good)");
	for (unsigned int i = 0; i < 8; i++)
		memcpy(block + i * 512, whole + (i + 1) % 8 * 512, 512);
	ok(coffer_transition_find(block, &t) == -ENODATA, "sectors at each other's place");
	(void)coffer_record_encode(&r, block);
	ok(coffer_transition_find(block, &t) == -ENODATA, "a record is no transition block");
}

/* A block 0 that says so would be one that nobody has written. */
static void check_no_transition(void)
{
	const struct coffer_record r = sample(COFFER_RECORD_SAVE);
	struct coffer_transition t;
	uint8_t block[COFFER_BLOCK];

	ok(coffer_transition_encode(&r, block) == 0 &&
			coffer_transition_find(block, &t) == -ENODATA,
		"saving is no transition");
}

/* For each way of mixing the sectors of two blocks. */
static void check_mixed(void)
{
	static const struct {
		const char *name;
		enum coffer_placement_kind kind[2];
		bool same_id;
		enum coffer_placement_kind want; /* 0: -EBADMSG */
	} rows[] = {
		{"two placements", {COFFER_RECORD_PLACE, COFFER_RECORD_PLACE}, false, 0},
		{"a placement and another's end", {COFFER_RECORD_PLACE, COFFER_RECORD_UNDONE},
			false, 0},
		{"placement and restoration with one id", {COFFER_RECORD_PLACE, COFFER_RECORD_UNDO},
			true, COFFER_RECORD_UNDO},
		{"restoration under way and at its end", {COFFER_RECORD_UNDO, COFFER_RECORD_UNDONE},
			true, COFFER_RECORD_UNDONE},
		{"restoration at its end and under way", {COFFER_RECORD_UNDONE, COFFER_RECORD_UNDO},
			true, COFFER_RECORD_UNDONE},
		{"the same twice", {COFFER_RECORD_UNDONE, COFFER_RECORD_UNDONE}, true,
			COFFER_RECORD_UNDONE},
	};

	for (size_t k = 0; k < ARRAY_SIZE(rows); k++) {
		struct coffer_record a = sample(rows[k].kind[0]), b = sample(rows[k].kind[1]);
		uint8_t block_a[COFFER_BLOCK], block_b[COFFER_BLOCK], block[COFFER_BLOCK];
		unsigned int wrong = 0;

		if (!rows[k].same_id)
			b.id[15] ^= 1;
		(void)coffer_transition_encode(&a, block_a);
		(void)coffer_transition_encode(&b, block_b);
		/* 3^8 ways: sector of a, of b, or of neither */
		for (unsigned int way = 0; way < 6561; way++) {
			unsigned int n_a = 0, n_b = 0, left = way;
			struct coffer_transition t = {0};
			int status;

			for (unsigned int i = 0; i < 8; i++, left /= 3) {
				const unsigned int from = left % 3;

				n_a += from == 0;
				n_b += from == 1;
				if (from == 2)
					memset(block + i * 512, 0, 512);
				else
					memcpy(block + i * 512,
						(from == 0 ? block_a : block_b) + i * 512, 512);
			}
			status = coffer_transition_find(block, &t);
			if (n_a + n_b == 0)
				wrong += status != -ENODATA;
			else if (n_b == 0)
				wrong += status != 0 || !is_of(&t, &a);
			else if (n_a == 0)
				wrong += status != 0 || !is_of(&t, &b);
			else if (!rows[k].want)
				wrong += status != -EBADMSG;
			else
				wrong += status != 0 || t.kind != rows[k].want;
		}
		ok(wrong == 0, "mixed: %s", rows[k].name);
	}
}

/* Nothing that blkid knows may appear by chance of the random id and checksum. */
static bool blkid_knows(int fd)
{
	blkid_probe p = blkid_new_probe();
	int status = -1;

	if (p && blkid_probe_set_device(p, fd, 0, 0) == 0) {
		blkid_probe_enable_superblocks(p, 1);
		blkid_probe_set_superblocks_flags(
			p, BLKID_SUBLKS_TYPE | BLKID_SUBLKS_MAGIC | BLKID_SUBLKS_BADCSUM);
		blkid_probe_enable_partitions(p, 1);
		blkid_probe_enable_topology(p, 0);
		status = blkid_do_safeprobe(p);
		if (status == 0) {
			const char *type = "a partition table";

			(void)blkid_probe_lookup_value(p, "TYPE", &type, NULL);
			note("blkid sees %s", type);
		}
	}
	blkid_free_probe(p);
	return status != 1;
}

static void check_blkid(void)
{
	static const char *const names[] = {
		[COFFER_RECORD_PLACE] = "placement",
		[COFFER_RECORD_UNDO] = "restoration",
		[COFFER_RECORD_UNDONE] = "restored",
	};
	_cleanup_close_ int fd = memfd_create("blkid", MFD_CLOEXEC);
	uint8_t block[COFFER_BLOCK];

	if (fd < 0 || ftruncate(fd, (off_t)(64 * MIB)) < 0)
		abort();
	for (unsigned int kind = COFFER_RECORD_PLACE; kind <= COFFER_RECORD_UNDONE; kind++) {
		struct coffer_record r = sample((enum coffer_placement_kind)kind);
		unsigned int seen = 0;

		for (unsigned int round = 0; round < 700; round++) {
			uint64_t random[4];

			(void)coffer_random(r.id, sizeof(r.id));
			(void)coffer_random(random, sizeof(random));
			r.geometry.sector_size = round % 2 ? 512 : 4096;
			r.geometry.shift = MIB + random[0] % 1000 * 4096;
			r.geometry.length = r.geometry.shift + random[1] % 100000 * 4096;
			r.geometry.device =
				r.geometry.length + 2 * r.geometry.shift + random[2] % 1000 * 512;
			(void)coffer_transition_encode(&r, block);
			if (pwrite(fd, block, sizeof(block), 0) != sizeof(block))
				abort();
			seen += blkid_knows(fd);
		}
		ok(seen == 0, "blkid knows nothing of the transition block: %s", names[kind]);
	}
	note("(what follows is no failure)");
	memcpy(block, "LUKS\xba\xbe\0\2", 8);
	if (pwrite(fd, block, sizeof(block), 0) != sizeof(block))
		abort();
	ok(blkid_knows(fd), "(and it knows a LUKS2 magic)");
}

/* --- image, strange sectors --- */

static uint32_t seed = 12345;

static uint32_t next_random(uint32_t below)
{
	seed = seed * 1664525 + 1013904223;
	return (seed >> 8) % below;
}

static struct coffer_record random_record(void)
{
	struct coffer_record r = sample(COFFER_RECORD_PLACE);
	const uint32_t blocks = 256; /* of the 1 MiB header area */
	uint32_t at = 0;

	r.geometry = (struct coffer_geometry){8 * MIB, MIB, 6 * MIB, 512};
	r.n_extents = 0;
	r.image_size = 0;
	for (uint32_t n = next_random(12); r.n_extents < n; r.n_extents++) {
		struct coffer_extent *x = &r.extents[r.n_extents];
		const uint32_t gap = next_random(20), length = 1 + next_random(20);

		if (at + gap + length > blocks)
			break;
		*x = (struct coffer_extent){(at + gap) * 4096, length * 4096};
		at += gap + length;
		r.image_size += x->length;
	}
	r.n_masked = next_random(5);
	for (uint32_t i = 0; i < r.n_masked; i++)
		r.masked[i] = 4096 * (1 + next_random(blocks - 1));
	return r;
}

/* Byte @where of the wanted [0,S), looked up the slow way. */
static uint8_t naive_byte(const struct coffer_record *r, const uint8_t *image, uint64_t where)
{
	uint64_t before = 0;

	for (uint32_t i = 0; i < r->n_extents; i++) {
		const struct coffer_extent *x = &r->extents[i];

		if (where >= x->offset && where - x->offset < x->length)
			return image[before + where - x->offset];
		before += x->length;
	}
	return 0;
}

static void check_expand(void)
{
	static uint8_t image[1 << 20], want[1 << 20], have[1 << 20];
	unsigned int wrong = 0;

	for (size_t i = 0; i < sizeof(image); i++)
		image[i] = (uint8_t)(1 + i % 251);
	for (unsigned int round = 0; round < 60; round++) {
		const struct coffer_record r = random_record();

		for (size_t i = 0; i < sizeof(want); i++)
			want[i] = naive_byte(&r, image, i);
		coffer_image_expand(&r, image, 0, have, sizeof(have));
		wrong += memcmp(want, have, sizeof(have)) != 0;
		for (unsigned int k = 0; k < 50; k++) {
			const uint64_t from = next_random(sizeof(want) / 512) * 512;
			const size_t n =
				next_random((uint32_t)(sizeof(want) - from) / 512 + 1) * 512;

			memset(have, 0xee, sizeof(have));
			coffer_image_expand(&r, image, from, have, n);
			wrong += memcmp(want + from, have, n) != 0 ||
				 (n < sizeof(have) && have[n] != 0xee);
		}
	}
	ok(wrong == 0, "image: random extents and windows against a slow look-up");
}

/* Where a sector of [0,S) may come from. */
enum source {
	FROM_HEAD,
	FROM_IMAGE,
	FROM_TRANSITION,
	FROM_VEIL,
	FROM_OTHER_TRANSITION,
	FROM_ELSEWHERE,
	N_SOURCES,
};

static bool masks_whole(const struct coffer_record *r, uint64_t where)
{
	for (uint32_t i = 0; i < r->n_masked; i++)
		if (where / 4096 == r->masked[i] / 4096)
			return true;
	return false;
}

static void check_strange(void)
{
	static uint8_t disk[MIB], head[MIB], image[MIB];
	uint8_t transition[COFFER_BLOCK], other[COFFER_BLOCK];
	unsigned int wrong = 0, strangers = 0;

	for (unsigned int round = 0; round < 40; round++) {
		const struct coffer_record r = random_record();
		struct coffer_record abort_record = r;
		uint64_t want = 0, want_first = 77, first = 77, sum = 0, found = 0;

		abort_record.kind = COFFER_RECORD_UNDO;
		(void)coffer_transition_encode(&r, transition);
		(void)coffer_transition_encode(&abort_record, other);
		(void)coffer_random(head, sizeof(head));
		(void)coffer_random(image, sizeof(image));
		for (size_t at = 0; at < MIB; at += 512) {
			/* a disk without strangers in half of the rounds */
			enum source from = (enum source)next_random(
				round % 2 || next_random(100) ? FROM_VEIL + 1 : N_SOURCES);
			bool unexpected = from >= FROM_OTHER_TRANSITION;

			if (from == FROM_TRANSITION && at >= 4096)
				from = FROM_HEAD;
			if (from == FROM_VEIL && !masks_whole(&r, at)) {
				if (round % 2)
					from = FROM_IMAGE;
				else
					unexpected = true; /* zeros where no veil is */
			}
			switch (from) {
			case FROM_IMAGE:
				memcpy(disk + at, image + at, 512);
				break;
			case FROM_TRANSITION:
				memcpy(disk + at, transition + at, 512);
				break;
			case FROM_VEIL:
				memset(disk + at, 0, 512);
				break;
			case FROM_OTHER_TRANSITION:
				memcpy(disk + at, other + at % 4096, 512);
				break;
			case FROM_ELSEWHERE:
				memcpy(disk + at, head + at, 512);
				disk[at + next_random(512)] ^= 1;
				break;
			case FROM_HEAD:
			case N_SOURCES:
				memcpy(disk + at, head + at, 512);
				break;
			}
			if (unexpected && want++ == 0)
				want_first = at;
		}
		wrong += coffer_unexpected_sectors(&r, 0, disk, head, image, MIB, &found, &first) <
				 0 ||
			 found != want || first != want_first;
		/* The same in pieces, as the caller does it. */
		for (size_t at = 0; at < MIB; at += 65536) {
			wrong += coffer_unexpected_sectors(&r, at, disk + at, head + at, image + at,
					 65536, &found, NULL) < 0;
			sum += found;
		}
		wrong += sum != want;
		strangers += want != 0;
	}
	ok(wrong == 0 && strangers >= 20, "strange sectors: random disks, at once and in pieces");
}

int main(void)
{
	check_round_trip();
	check_damage();
	check_hostile();
	check_places();
	check_torn();
	check_transition_damage();
	check_no_transition();
	check_mixed();
	check_blkid();
	check_expand();
	check_strange();
	return done_testing();
}
