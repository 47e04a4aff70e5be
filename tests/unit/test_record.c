/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test_record.c - the record of a placement: read back, damaged, forged, and where it lies */
#include "convert/record.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/bytes.h"
#include "lib/records.h"
#include "tap.h"

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
		{"as many extents and masked blocks as there are", COFFER_RECORD_PLACE, make_full},
		{"extents that touch, to the end", COFFER_RECORD_PLACE, make_touching},
		{"no extents, no masked blocks", COFFER_RECORD_UNDO, make_empty},
		{"restoration that keeps", COFFER_RECORD_UNDO, set_keep},
		{"saving", COFFER_RECORD_SAVE, NULL},
	};
	uint8_t block[COFFER_BLOCK];

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct coffer_record r = record_sample(rows[i].kind), back;

		if (rows[i].change)
			rows[i].change(&r);
		ok(coffer_record_encode(&r, block) == 0 &&
				coffer_record_decode(block, &back) == 0 && record_equals(&r, &back),
			"round trip: %s", rows[i].name);
	}
}

static void check_damage(void)
{
	const struct coffer_record r = record_sample(COFFER_RECORD_PLACE);
	struct coffer_record back;
	uint8_t block[COFFER_BLOCK];
	size_t taken = 0, changed = 0;

	(void)coffer_record_encode(&r, block);
	back = record_sample(COFFER_RECORD_UNDO);
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
	ok(coffer_record_decode(block, &back) == -ENODATA, "a transition block is not a record");
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
static void set_mask_odd(struct coffer_record *r)
{
	r->masked[1] += 512;
}
static void set_mask_zero(struct coffer_record *r)
{
	r->masked[0] = 0;
}
static void set_mask_behind(struct coffer_record *r)
{
	r->masked[1] = 4 * MIB;
}
static void set_mask_wrap(struct coffer_record *r)
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
		{"extent beyond S", set_extent_at_end},
		{"extent across S", set_extent_over_end},
		{"extent around 2^64", set_extent_wrap},
		{"extent near 2^64", set_extent_offset_wrap},
		{"masked block at half a block", set_mask_odd},
		{"masked block over the transition block", set_mask_zero},
		{"masked block beyond S", set_mask_behind},
		{"masked block near 2^64", set_mask_wrap},
	};
	uint8_t block[COFFER_BLOCK];
	unsigned int wrong = 0;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct coffer_record r = record_sample(COFFER_RECORD_PLACE), back;

		rows[i].change(&r);
		ok(coffer_record_encode(&r, block) == 0 &&
				coffer_record_decode(block, &back) == -EBADMSG,
			"hostile: %s", rows[i].name);
	}
	for (unsigned int bit = 1; bit < 32; bit++) {
		const struct coffer_record r = record_sample(COFFER_RECORD_UNDO);
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
		const struct coffer_record r = record_sample(COFFER_RECORD_PLACE);
		const uint32_t n[] = {
			COFFER_MAX_EXTENTS + 1, UINT32_MAX, COFFER_MAX_MASKED + 1, UINT32_MAX};
		struct coffer_record back;

		(void)coffer_record_encode(&r, block);
		put_be32(block + 184 + 4 * (i / 2), n[i]);
		memset(block + 128, 0, 32);
		(void)coffer_sha256(block, COFFER_BLOCK, block + 128);
		ok(coffer_record_decode(block, &back) == -EBADMSG, "hostile: %" PRIu32 " %s", n[i],
			i < 2 ? "extents" : "masked blocks");
	}
}

static void check_places(void)
{
	const struct coffer_geometry geometry = record_sample(COFFER_RECORD_PLACE).geometry;
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

int main(void)
{
	check_round_trip();
	check_damage();
	check_hostile();
	check_places();
	return done_testing();
}
