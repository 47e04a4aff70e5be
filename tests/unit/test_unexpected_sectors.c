/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test_unexpected_sectors.c - the image of a record, and sectors that it does not explain */
#include "convert/record.h"

#include <string.h>

#include "lib/records.h"
#include "tap.h"

static uint32_t seed = 12345;

static uint32_t next_random(uint32_t below)
{
	seed = seed * 1664525 + 1013904223;
	return (seed >> 8) % below;
}

static struct coffer_record random_record(void)
{
	struct coffer_record r = record_sample(COFFER_RECORD_PLACE);
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

static bool masks_complete(const struct coffer_record *r, uint64_t where)
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
		struct coffer_placed found = {0}, sum = {0};
		uint64_t want = 0, want_first = 0;

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
			if (from == FROM_VEIL && !masks_complete(&r, at)) {
				if (round % 2)
					from = FROM_IMAGE;
				else
					unexpected = true; /* zeros where no masked block is */
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
		wrong += coffer_placement_compare(&r, 0, disk, head, image, MIB, &found) < 0 ||
			 found.unexpected != want || found.first_unexpected != want_first;
		/* The same in pieces, as the caller does it. */
		for (size_t at = 0; at < MIB; at += 65536)
			wrong += coffer_placement_compare(
					 &r, at, disk + at, head + at, image + at, 65536, &sum) < 0;
		wrong += memcmp(&sum, &found, sizeof(sum)) != 0;
		strangers += want != 0;
	}
	ok(wrong == 0 && strangers >= 20, "strange sectors: random disks, at once and in pieces");
}

int main(void)
{
	check_expand();
	check_strange();
	return done_testing();
}
