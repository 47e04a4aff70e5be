/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test_moved_segment.c - what counts as a moved segment that is torn
 *
 * What proves that a moved segment is torn. Each row takes one piece away, and then it is not
 * enough: a mistake here overwrites a filesystem that lives. */
#include "convert/moved_segment.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/crypto.h"
#include "luks2/copy.h"
#include "tap.h"

#define MIB (UINT64_C(1) << 20)

enum {
	SECTOR = 512
};

/* --- is the moved segment torn?
 * ---------------------------------------------------------------------- */

static void no_copy(struct coffer_moved_segment *v)
{
	v->has_copy = false;
}

static void no_difference(struct coffer_moved_segment *v)
{
	v->different = 0;
}

static void no_trace(struct coffer_moved_segment *v)
{
	v->traces = 0;
}

static void used(struct coffer_moved_segment *v)
{
	v->same_fs = v->used = true;
}

static void unlike(struct coffer_moved_segment *v)
{
	v->unlike_header = 1;
}

static void other_mirror(struct coffer_moved_segment *v)
{
	v->mirror_agrees = false;
}

static void converted(struct coffer_moved_segment *v)
{
	v->unconverted = false;
}

static void used_map(struct coffer_moved_segment *v)
{
	v->used_map = true;
}

static void living(struct coffer_moved_segment *v)
{
	v->same_fs = true;
}

static void no_mirror(struct coffer_moved_segment *v)
{
	v->fs.mirror = 0;
	v->mirror_agrees = false;
}

static void mirror_in_segment(struct coffer_moved_segment *v)
{
	v->fs.mirror = v->geometry.shift / 2;
	v->mirror_agrees = false;
}

static void saved(struct coffer_moved_segment *v)
{
	v->saved = true;
}

static void not_overwritten(struct coffer_moved_segment *v)
{
	v->may_be_header = 0;
}

static void other_segment(struct coffer_moved_segment *v)
{
	v->same_fs = false;
}

static void head_gone(struct coffer_moved_segment *v)
{
	v->has_plain = v->same_fs = false;
}

static void nothing(struct coffer_moved_segment *v)
{
	(void)v;
}

static const struct {
	const char *name;
	void (*change)(struct coffer_moved_segment *v);
	bool torn;
	const char *why; /* a part of it; "": there is none */
} segments[] = {
	{"all of the proof", nothing, true, ""},
	{"its superblock is still there", living, true, ""},
	{"a filesystem without a spare superblock", no_mirror, true, ""},
	{"the spare superblock is in the moved segment too", mirror_in_segment, true, ""},
	{"no copy", no_copy, false, ""},
	{"moved segment and copy are equal", no_difference, false, ""},
	{"no trace of a header", no_trace, false, "no trace of a LUKS2 header"},
	{"the filesystem was used since", used, false, "was used after the copy"},
	{"a sector that no header has", unlike, false, "are neither a header's"},
	{"the spare superblock is another's", other_mirror, false, "another filesystem"},
	{"a map of what is used", used_map, false, "a used map lies"},
	{"what lies before it may be ciphertext", converted, false, "already be encrypted"},
	{"coffer was interrupted while it made the copy", saved, false, ""},
};

static const struct coffer_moved_segment torn_segment = {
	.has_copy = true,
	.geometry = {64 * MIB, 4 * MIB, 56 * MIB, 512},
	.fs = {.kind = COFFER_FS_EXT,
		.end = 56 * MIB,
		.super = 1024,
		.super_size = 1024,
		.mirror = 32 * MIB},
	.mirror_agrees = true,
	.unconverted = true,
	.different = 40,
	.traces = 1,
	.copy_size = COFFER_LUKS2_MIN_COPY,
};

static void check_heads(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(segments); i++) {
		struct coffer_moved_segment v = torn_segment;
		char why[512] = "what was there before";
		bool torn;

		segments[i].change(&v);
		torn = coffer_moved_segment_is_torn(&v, why, sizeof(why));
		ok(torn == segments[i].torn &&
				(torn ? strstr(why, "their copy lies at byte") != NULL
					: segments[i].why[0] ? strstr(why, segments[i].why) != NULL
							     : why[0] == '\0'),
			"%s: %s", segments[i].name,
			torn	 ? "torn"
			: why[0] ? why
				 : "not torn");
	}
}

/* --- may it be? ------------------------------------------------------------------------------ */

static const struct {
	const char *name;
	void (*change)(struct coffer_moved_segment *v);
	bool ambiguity;
	const char *text;
} ambiguous[] = {
	{"random bytes, and no trace", nothing, true, "nothing proves which"},
	{"other sectors differ as well", unlike, true,
		"40 sectors of the first bytes differ, and 3 of"},
	{"the superblock is overwritten", head_gone, true, "nothing proves which"},
	{"a filesystem without a spare superblock", no_mirror, true, "nothing proves which"},
	{"the spare superblock is in the moved segment too", mirror_in_segment, true,
		"nothing proves which"},
	{"no copy", no_copy, false, ""},
	{"nothing that a header may have", not_overwritten, false, ""},
	{"coffer was interrupted while it made the copy", saved, false, ""},
	{"the filesystem was used since", used, false, ""},
	{"another filesystem is there now", other_segment, false, ""},
	{"the spare superblock is another's", other_mirror, false, ""},
	{"a map of what is used", used_map, true, "but there is no header"},
};

static void check_ambiguity(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(ambiguous); i++) {
		struct coffer_moved_segment v = torn_segment;
		char text[512] = "what was there before";
		bool ambiguity;

		v.has_plain = v.same_fs = true;
		v.traces = 0;
		v.may_be_header = 3;
		ambiguous[i].change(&v);
		ambiguity = coffer_moved_segment_is_ambiguous(&v, text, sizeof(text));
		ok(ambiguity == ambiguous[i].ambiguity &&
				(ambiguity ? strstr(text, ambiguous[i].text) != NULL
					   : text[0] == '\0'),
			"ambiguity: %s: %s", ambiguous[i].name, ambiguity ? text : "none");
	}
}

/* --- what a sector looks like --------------------------------------------------------------------
 */

/* Digests of a counter: as random as ciphertext, and the same on every run. */
static void fill_random(uint8_t *p, uint32_t seed)
{
	for (size_t at = 0; at < SECTOR; at += COFFER_SHA256_SIZE) {
		uint8_t counter[8];

		put_be32(counter, seed);
		put_be32(counter + 4, (uint32_t)at);
		if (coffer_sha256(counter, sizeof(counter), p + at) < 0)
			abort();
	}
}

static void fill_text(uint8_t *p, uint32_t seed)
{
	for (size_t i = 0; i < SECTOR; i++)
		p[i] = (uint8_t)(' ' + (i * 7 + seed) % 95);
}

static void fill_zeros(uint8_t *p, uint32_t seed)
{
	(void)seed;
	memset(p, 0, SECTOR);
}

/* As many values as one less than enough. */
static void fill_few(uint8_t *p, uint32_t seed)
{
	for (size_t i = 0; i < SECTOR; i++)
		p[i] = (uint8_t)(i % 159 + seed);
}

static void fill_enough(uint8_t *p, uint32_t seed)
{
	for (size_t i = 0; i < SECTOR; i++)
		p[i] = (uint8_t)(i % 160 + seed);
}

/* Half of it was never written. */
static void fill_half(uint8_t *p, uint32_t seed)
{
	fill_random(p, seed);
	memset(p + 200, 0, SECTOR - 200);
}

/* ext4's directory entries and inodes are of this kind: few values, most of them zero. */
static void fill_numbers(uint8_t *p, uint32_t seed)
{
	memset(p, 0, SECTOR);
	for (size_t i = 0; i < SECTOR; i += 16)
		put_be32(p + i, (uint32_t)(i * 40503 + seed));
}

static void fill_magic(uint8_t *p, uint32_t seed)
{
	static const uint8_t magic[] = {'L', 'U', 'K', 'S', 0xba, 0xbe, 0, 2};

	fill_zeros(p, seed);
	memcpy(p, magic, sizeof(magic));
	put_be64(p + 8, COFFER_LUKS2_MIN_COPY);
	put_be64(p + 16, 4);
	memcpy(p + 72, "sha256", 6);
}

static void fill_second(uint8_t *p, uint32_t seed)
{
	fill_magic(p, seed);
	memcpy(p, "SKUL", 4);
	put_be64(p + 256, COFFER_LUKS2_MIN_COPY);
}

static void fill_json(uint8_t *p, uint32_t seed)
{
	static const char json[] = "{\"keyslots\":{\"0\":{\"type\":\"luks2\"}}}";

	fill_zeros(p, seed);
	memcpy(p, json, sizeof(json));
}

static void fill_mark(uint8_t *p, uint32_t seed)
{
	fill_random(p, seed);
	memcpy(p, "COFFER-TRANSIT", 15);
}

static void fill_map(uint8_t *p, uint32_t seed)
{
	fill_random(p, seed);
	memcpy(p, "COFFER-USEDMAP", 15);
}

static void fill_ranges(uint8_t *p, uint32_t seed)
{
	for (size_t i = 0; i < SECTOR; i += 8)
		put_be64(p + i, (seed + i) * 4096);
}

static const struct {
	const char *name;
	void (*fill)(uint8_t *p, uint32_t seed);
	bool random;
} contents[] = {
	{"random bytes", fill_random, true},
	{"160 values", fill_enough, true},
	{"159 values", fill_few, false},
	{"random bytes in the first 200", fill_half, false},
	{"zeros", fill_zeros, false},
	{"text", fill_text, false},
	{"numbers", fill_numbers, false},
	{"a first binary block", fill_magic, false},
	{"the beginning of the metadata", fill_json, false},
};

static void check_random(void)
{
	uint8_t p[SECTOR];

	for (size_t i = 0; i < ARRAY_SIZE(contents); i++) {
		unsigned int n = 0;

		for (uint32_t seed = 0; seed < 1000; seed++) {
			contents[i].fill(p, seed);
			n += coffer_looks_random(p, SECTOR);
		}
		ok(n == (contents[i].random ? 1000 : 0), "%s: %u of 1000 look random",
			contents[i].name, n);
	}
}

/* What a sector at some place is: the only proof of a header, or what one may have there. */
static const struct {
	const char *name;
	void (*fill)(uint8_t *p, uint32_t seed);
	uint64_t at;
	bool trace, like, like_ours;
	uint64_t copy_size; /* that the trace tells */
} places[] = {
	{"a first magic at 0", fill_magic, 0, true, true, true, 0x4000},
	{"a first magic elsewhere", fill_magic, 0x4000, false, false, false, 0},
	{"a first magic in a file", fill_magic, 0x100000, false, false, false, 0},
	{"a second magic in its place", fill_second, 0x4000, true, true, true, 0x4000},
	{"a second magic at 0", fill_second, 0, false, false, false, 0},
	{"a second magic of another size of copies", fill_second, 0x8000, false, false, false, 0},
	{"metadata after the first block", fill_json, 0x1000, true, true, true, 0},
	{"metadata after the second block", fill_json, 0x5000, true, true, true, 0x4000},
	{"metadata after copies of 32 KiB", fill_json, 0x9000, true, false, false, 0x8000},
	{"metadata at 0", fill_json, 0, false, false, false, 0},
	{"metadata in a file", fill_json, 0x3000, false, true, true, 0},
	{"a transition block in block 0", fill_mark, 0xe00, true, true, true, 0},
	{"a transition block elsewhere", fill_mark, 0x1000, false, false, false, 0},
	{"zeros at 0", fill_zeros, 0, false, false, false, 0},
	{"zeros in the binary block", fill_zeros, 0x200, false, true, true, 0},
	{"zeros in the metadata", fill_zeros, 0x2000, false, true, true, 0},
	{"zeros after the copies", fill_zeros, 0x8000, false, false, true, 0},
	{"text in the binary block", fill_text, 0x200, false, false, false, 0},
	{"text in the metadata", fill_text, 0x2000, false, true, true, 0},
	{"a used map after the copies", fill_map, 0x8000, false, true, true, 0},
	{"ranges after the copies", fill_ranges, 0x8000, false, false, true, 0},
	{"ranges in the metadata", fill_ranges, 0x2000, false, false, false, 0},
	{"text after the copies", fill_text, 0x8000, false, false, false, 0},
	{"random bytes at 0", fill_random, 0, false, false, false, 0},
	{"random bytes in the metadata", fill_random, 0x2000, false, false, false, 0},
	{"random bytes after the copies", fill_random, 0x8000, false, true, true, 0},
	{"numbers in the metadata", fill_numbers, 0x2000, false, false, false, 0},
	{"numbers after the copies", fill_numbers, 0x8000, false, false, false, 0},
};

static void check_places(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		const uint64_t at = places[i].at;
		uint64_t copy_size = 0;
		uint8_t p[SECTOR];
		bool trace, like, ours;

		places[i].fill(p, 1);
		trace = coffer_is_header_trace(p, at, &copy_size);
		like = coffer_looks_like_header(p, at, COFFER_LUKS2_MIN_COPY, false);
		ours = coffer_looks_like_header(p, at, COFFER_LUKS2_MIN_COPY, true);
		ok(trace == places[i].trace && like == places[i].like &&
				ours == places[i].like_ours && copy_size == places[i].copy_size,
			"%s: %s, %s", places[i].name, trace ? "a trace" : "proves nothing",
			like   ? "like a header"
			: ours ? "like one of coffer's"
			       : "unlike a header");
	}
}

/* Where no trace tells the size of the copies, all sizes count. */
static const struct {
	const char *name;
	void (*fill)(uint8_t *p, uint32_t seed);
	uint64_t at;
	bool may;
} unsized[] = {
	{"zeros at 0", fill_zeros, 0, false},
	{"zeros after small copies", fill_zeros, 0x8000, true},
	{"zeros beyond the largest copies", fill_zeros, 8 * MIB, false},
	{"text after small copies", fill_text, 0x9000, true},
	{"text beyond the largest copies", fill_text, 8 * MIB, false},
	{"random bytes below all keyslots", fill_random, 0x7e00, false},
	{"random bytes after small copies", fill_random, 0x8000, true},
	{"a second magic after large copies", fill_second, 0x8000, true},
	{"numbers", fill_numbers, 0x9000, false},
};

static void check_unsized(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(unsized); i++) {
		uint8_t p[SECTOR];

		unsized[i].fill(p, 1);
		ok(coffer_may_be_header(p, unsized[i].at, false) == unsized[i].may, "%s: %s",
			unsized[i].name, unsized[i].may ? "may be a header's" : "no header's");
	}
}

int main(void)
{
	check_heads();
	check_ambiguity();
	check_random();
	check_places();
	check_unsized();
	return done_testing();
}
