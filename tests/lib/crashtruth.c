/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* crashtruth.c - what coffer says of a disk, held against the disk
 *
 * Every place that a sentence names must be one of the layout, and what the sentence says of it
 * must be so. The formats are read here by the offsets in docs/on-disk-format.md, not by coffer's
 * code. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/on_device.h"
#include "crashjudge.h"

enum {
	SECTOR = 512,
	BLOCK = 4096,
	ID = 32, /* of a record and of a transition sector */
	SUM = 128,
	IMAGE_SIZE = 176,
	EXTENTS = 184,
	IMAGE_HASH = 192,
	HEAD_HASH = 224,
	FIRST_EXTENT = 512
};

struct places {
	uint64_t head, place, image, restore;
};

static struct places places(const struct lab *l)
{
	const uint64_t d = disk_size(l->row), s = shift_of(l->row);

	return (struct places){.head = d - s,
		.place = d - 2 * s,
		.image = d - 2 * s + BLOCK,
		.restore = d - s - BLOCK};
}

static uint64_t be(const uint8_t *p, unsigned int n)
{
	uint64_t v = 0;

	for (unsigned int i = 0; i < n; i++)
		v = v << 8 | p[i];
	return v;
}

static bool has_hash(const uint8_t *p, uint64_t n, const uint8_t *hash)
{
	uint8_t own[COFFER_SHA256_SIZE];

	if (coffer_sha256(p, n, own) < 0)
		abort();
	return memcmp(own, hash, sizeof(own)) == 0;
}

/* A block that carries @magic, and the sum of its @n bytes. */
static bool is_sealed(const uint8_t *p, const char *magic, uint64_t n)
{
	uint8_t copy[BLOCK];

	memcpy(copy, p, n);
	memset(copy + SUM, 0, COFFER_SHA256_SIZE);
	return memcmp(p, magic, strlen(magic) + 1) == 0 && has_hash(copy, n, p + SUM);
}

static bool is_record(const uint8_t *p)
{
	return is_sealed(p, "COFFER-RECORD", BLOCK);
}

/* Does some sector of block 0 name this record? */
static bool is_named(const uint8_t *disk, const uint8_t *record)
{
	for (unsigned int at = 0; at < BLOCK; at += SECTOR)
		if (is_sealed(disk + at, "COFFER-TRANSIT", SECTOR) &&
			memcmp(disk + at + ID, record + ID, 16) == 0)
			return true;
	return false;
}

static unsigned int different_ids(const uint8_t *disk)
{
	const uint8_t *first = NULL;
	unsigned int n = 0;

	for (unsigned int at = 0; at < BLOCK; at += SECTOR) {
		if (!is_sealed(disk + at, "COFFER-TRANSIT", SECTOR))
			continue;
		if (!first || memcmp(first + ID, disk + at + ID, 16) != 0)
			n++;
		first = first ? first : disk + at;
	}
	return n;
}

/* Sector @at of [0, S) as the image of the record at @record has it, or zeros. */
static bool is_of_image(const struct lab *l, const uint8_t *disk, uint64_t at)
{
	static const uint8_t zeros[SECTOR];
	const uint8_t *record = disk + places(l).place;
	uint64_t from = places(l).image;

	for (uint64_t i = 0; i < be(record + EXTENTS, 4); i++) {
		const uint64_t start = be(record + FIRST_EXTENT + 16 * i, 8);
		const uint64_t n = be(record + FIRST_EXTENT + 16 * i + 8, 8);

		if (at >= start && at < start + n)
			return memcmp(disk + at, disk + from + at - start, SECTOR) == 0;
		from += n;
	}
	return memcmp(disk + at, zeros, SECTOR) == 0;
}

static bool is_ext4(const uint8_t *super)
{
	return super[56] == 0x53 && super[57] == 0xef;
}

bool abort_gives_back(struct lab *l)
{
	const struct coffer_encrypt_options o = options(l->row);
	char why[256];

	return coffer_abort_dev(&lab_device(l)->dev, &o, NULL, NULL) == 0 &&
	       lab_plain_equals(l, l->work.mem, why);
}

/* --- the sentences: a piece of one, with the place that it names, and whether that is so --- */

static bool head_is_another(struct lab *l, const uint8_t *disk, uint64_t at)
{
	const struct places p = places(l);
	const uint8_t *restore = disk + p.restore, *place = disk + p.place;
	const uint8_t *record = is_record(restore) && is_named(disk, restore) ? restore : place;

	return at == p.head && is_record(record) &&
	       !has_hash(disk + at, shift_of(l->row), record + HEAD_HASH);
}

static bool head_should_lie(struct lab *l, const uint8_t *disk, uint64_t at)
{
	(void)disk;
	return at == places(l).head;
}

static bool record_is_missing(struct lab *l, const uint8_t *disk, uint64_t at)
{
	return (at == places(l).place || at == places(l).restore) &&
	       !(is_record(disk + at) && is_named(disk, disk + at));
}

static bool image_is_damaged(struct lab *l, const uint8_t *disk, uint64_t at)
{
	const uint8_t *record = disk + places(l).place;

	return at == places(l).image && is_record(record) &&
	       !has_hash(disk + at, be(record + IMAGE_SIZE, 8), record + IMAGE_HASH);
}

static bool sector_is_strange(struct lab *l, const uint8_t *disk, uint64_t at)
{
	return at < shift_of(l->row) && at % SECTOR == 0 &&
	       memcmp(disk + at, disk + places(l).head + at, SECTOR) != 0 &&
	       !is_of_image(l, disk, at) && !is_sealed(disk + at, "COFFER-TRANSIT", SECTOR);
}

/* A whole moved-segment copy: its record says so, or it is the content's. */
static bool head_is_safe(struct lab *l, const uint8_t *disk, uint64_t at)
{
	return at == places(l).head && memcmp(disk + at, l->content, shift_of(l->row)) == 0;
}

/* A copy that begins like the filesystem; nobody says more of it. */
static bool is_copy(struct lab *l, const uint8_t *disk, uint64_t at)
{
	return at == places(l).head && is_ext4(disk + at + 1024);
}

static bool is_no_copy(struct lab *l, const uint8_t *disk, uint64_t at)
{
	return at == places(l).head && !is_ext4(disk + at + 1024);
}

/* It lacks something that the moved segment has, or had. */
static bool is_incomplete(struct lab *l, const uint8_t *disk, uint64_t at)
{
	return is_copy(l, disk, at) && !head_is_safe(l, disk, at);
}

static bool differs(struct lab *l, const uint8_t *disk, uint64_t at)
{
	return is_copy(l, disk, at) && memcmp(disk, disk + at, shift_of(l->row)) != 0;
}

static bool is_spare(struct lab *l, const uint8_t *disk, uint64_t at)
{
	return at + 1024 <= l->size && is_ext4(disk + at);
}

/* What is overwritten goes there; it must be free. */
static bool is_gap(struct lab *l, const uint8_t *disk, uint64_t at)
{
	(void)disk;
	return at == places(l).place;
}

static const struct {
	const char *before; /* the words in front of the place */
	bool (*so)(struct lab *l, const uint8_t *disk, uint64_t at);
	const char *after; /* what follows it; NULL: anything */
} sentences[] = {
	{"the moved-segment copy at byte ", head_is_another, " does not match its record"},
	{"the moved-segment copy must lie at byte ", head_should_lie, NULL},
	{"its record at byte ", record_is_missing, " is missing or damaged"},
	{"its image at byte ", image_is_damaged, " is damaged"},
	{"(the first at byte ", sector_is_strange, ") hold content that the placement never"},
	{"the first bytes are safe in their copy at byte ", head_is_safe, NULL},
	{"its first bytes are whole in their copy at byte ", head_is_safe, NULL},
	{"and a copy of them lies at byte ", is_copy, NULL},
	{"their copy lies at byte ", is_copy, NULL},
	{"a moved-segment copy lies at byte ", is_copy, ", but "},
	{"differ from the copy at byte ", is_copy, NULL},
	{"back from their copy at byte ", is_copy, NULL},
	{"no filesystem at byte ", is_no_copy, ", where the moved-segment"},
	{"overwritten is kept from byte ", is_gap, NULL},
	{"a moved-segment copy (ext4) lies at byte ", differs, ", "},
	{"unknown content at byte ", is_no_copy, ", where the moved-segment"},
	{"a moved-segment copy at byte ", is_copy, ", but there is no header"},
	{"the filesystem's, and the copy at byte ", is_incomplete, " lacks them"},
	{"a backup superblock of ext4 at byte ", is_spare, ", and no copy"},
};

/* The place at @at in @said, "byte N", is told truly. */
static bool place_is_true(struct lab *l, const char *said, const char *number, char why[256])
{
	const size_t n = sizeof(sentences) / sizeof(sentences[0]);
	char *end;
	const uint64_t at = strtoull(number, &end, 10);

	for (size_t i = 0; i < n; i++) {
		const size_t before = strlen(sentences[i].before);
		const char *after = sentences[i].after ? sentences[i].after : "";

		if ((size_t)(number - said) < before ||
			strncmp(number - before, sentences[i].before, before) != 0 ||
			strncmp(end, after, strlen(after)) != 0)
			continue;
		if (sentences[i].so(l, l->state.mem, at))
			return true;
		(void)snprintf(why, 256, "not so: %.200s", said);
		return false;
	}
	(void)snprintf(why, 256, "a place that the test does not know: %.200s", said);
	return false;
}

/* Those that name no place. */
static bool rest_is_true(struct lab *l, const char *said, char why[256])
{
	const uint8_t *disk = l->state.mem;
	const uint64_t s = shift_of(l->row);
	const char *wrong = NULL;

	if (strstr(said, "neither copy is usable") && oracle_loads(disk, s, l->size))
		wrong = "stock loads a header";
	else if (strstr(said, "sectors of two different placements") && different_ids(disk) < 2)
		wrong = "there are none";
	else if ((strstr(said, "no key opens") || strstr(said, "no keyslot opens")) &&
		 oracle_unlocks(disk, s, l->size, PASSWORD))
		wrong = "the key opens it";
	else if ((strstr(said, "half overwritten") || strstr(said, "partly overwritten")) &&
		 memcmp(disk, l->content, s) == 0)
		wrong = "nothing is overwritten";
	else if (strstr(said, "'coffer abort' undoes the placement") && !abort_gives_back(l))
		wrong = "it does not";
	if (wrong)
		(void)snprintf(why, 256, "%s: %.200s", wrong, said);
	return !wrong;
}

bool truth_of(struct lab *l, const char *said, char why[256])
{
	for (const char *p = strstr(said, " byte "); p; p = strstr(p + 1, " byte "))
		if (!place_is_true(l, said, p + strlen(" byte "), why))
			return false;
	return rest_is_true(l, said, why);
}
