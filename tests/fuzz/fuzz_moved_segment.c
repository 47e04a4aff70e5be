/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fuzz_moved_segment.c - fuzz target: sectors in the place of the moved segment
 *
 * Input: how the copies of a header are long, where a sector lies, and what it holds; then changes
 * to a disk of 4 MiB whose moved segment is half overwritten with such sectors, with the
 * moved-segment copy beyond its end. What is taken for a header's trace is held against the words
 * of convert/moved_segment.h, and the search on that disk must neither write nor find what is not
 * there. */
#include <stdio.h>

#include "convert/disk.h"
#include "convert/moved_segment.h"
#include "luks2/copy.h"
#include "memdev.h"

enum {
	SECTOR = COFFER_SECTOR,
	SHIFT = 1 << 20,
	DISK = 4 << 20,
	EXT_BLOCKS = 2048, /* of 1024 bytes: up to the gap */
};

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static uint8_t *disk;

/* --- one sector --- */

static bool is_power(uint64_t v, uint64_t low, uint64_t high)
{
	for (uint64_t p = low; p <= high; p *= 2)
		if (v == p)
			return true;
	return false;
}

static bool random_looking(const uint8_t *p)
{
	uint8_t bits[32] = {0};
	unsigned int n = 0;

	for (unsigned int i = 0; i < SECTOR; i++)
		bits[p[i] / 8] = (uint8_t)(bits[p[i] / 8] | 1 << p[i] % 8);
	for (unsigned int i = 0; i < 256; i++)
		n += bits[i / 8] >> i % 8 & 1;
	return n >= 160;
}

/* What a trace must have at least, told without the code that finds it. */
static bool may_be_trace(const uint8_t *p, uint64_t at)
{
	static const uint8_t first[6] = {'L', 'U', 'K', 'S', 0xba, 0xbe};
	static const uint8_t second[6] = {'S', 'K', 'U', 'L', 0xba, 0xbe};

	if (at < 4096 && memcmp(p, "COFFER-", 7) == 0)
		return true;
	if (at == 0 && memcmp(p, first, 6) == 0)
		return true;
	if (is_power(at, 16384, 4 << 20) && memcmp(p, second, 6) == 0)
		return true;
	return (at == 4096 || (at > 4096 && is_power(at - 4096, 16384, 4 << 20))) &&
	       memcmp(p, "{\"keyslots\":", 12) == 0;
}

/* Of a map of what is used: its first sector, or ranges; zeros are one. */
static bool may_be_map(const uint8_t *p)
{
	if (memcmp(p, "COFFER-USEDMAP", 15) == 0)
		return true;
	for (unsigned int i = 0; i < SECTOR; i += 8)
		if (get_be64(p + i) % 512 || (i % 16 && get_be64(p + i) < get_be64(p + i - 8)))
			return false;
	return true;
}

static void check_sector(const uint8_t *p, uint64_t at, uint64_t copy)
{
	uint64_t size = 77;
	const bool trace = coffer_is_header_trace(p, at, &size);
	const bool like = coffer_looks_like_header(p, at, copy, false);

	if (coffer_looks_random(p, SECTOR) != random_looking(p))
		abort();
	if (trace && !may_be_trace(p, at))
		abort();
	if (size != 77 && (!trace || !is_power(size, 16384, 4 << 20)))
		abort();
	if (like && !coffer_looks_like_header(p, at, copy, true))
		abort();
	if (like && at >= 2 * copy && !random_looking(p))
		abort();
	if (!like && at >= 2 * copy && coffer_looks_like_header(p, at, copy, true) &&
		!may_be_map(p))
		abort();
	/* Behind both copies only a mark, or what looks random, is like a header. */
	if (at >= 4096 && at < 2 * copy && at % copy >= 4096 && like)
		for (unsigned int i = 0; i < SECTOR; i++)
			if (p[i] >= 0x7f || (p[i] && p[i] < ' '))
				abort();
}

/* --- a disk --- */

static void put_super(uint8_t *p)
{
	static const uint8_t uuid[16] = "0123456789abcdef";

	put_le32(p + 1024, 256);	    /* inodes */
	put_le32(p + 1024 + 4, EXT_BLOCKS); /* blocks */
	put_le32(p + 1024 + 20, 1);
	put_le32(p + 1024 + 32, 8192);
	put_le32(p + 1024 + 36, 8192);
	put_le32(p + 1024 + 40, 256);
	p[1024 + 56] = 0x53;
	p[1024 + 57] = 0xef;
	p[1024 + 58] = 1;
	p[1024 + 76] = 1;
	p[1024 + 88] = 128;
	memcpy(p + 1024 + 104, uuid, sizeof(uuid));
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	disk = calloc(1, DISK);
	if (!disk)
		abort();
	/* Each sector of the filesystem is text with its number. */
	for (uint64_t at = 0; at < DISK - 2 * SHIFT; at += SECTOR)
		(void)snprintf((char *)disk + at, SECTOR, "plain %llu", (unsigned long long)at);
	put_super(disk);
	memcpy(disk + DISK - SHIFT, disk, SHIFT);
	return 0;
}

static void check_disk(void)
{
	struct memdev d = memdev_over(disk, DISK, DISK);
	struct coffer_disk found = {0};
	struct coffer_moved_segment v;
	struct coffer_err e = {0};
	char why[512];
	int r;

	d.dev.no_locks = true;
	if (coffer_disk_examine(&d.dev, &found, &e) < 0 ||
		coffer_moved_segment_read(&found, &v, &e) < 0)
		abort();
	if (v.has_copy) {
		const struct coffer_geometry *g = &v.geometry;
		uint64_t different = 0;

		if (coffer_geometry_check(g, NULL) < 0 || g->device > DISK || v.fs.end == 0)
			abort();
		for (uint64_t at = 0; at < g->shift; at += SECTOR)
			different += memcmp(disk + at, disk + coffer_segment_copy_offset(g) + at,
					     SECTOR) != 0;
		if (v.different != different || v.unlike_header > different || v.traces > different)
			abort();
		if (coffer_moved_segment_is_torn(&v, why, sizeof(why)) &&
			(different == 0 || v.traces == 0))
			abort();
	}
	r = coffer_moved_segment_refuse(&found, &v, &e);
	if (r > 0 || (r < 0 && e.outcome != COFFER_NEEDS_REPAIR))
		abort();
	coffer_disk_reset(&found);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct undo u;
	struct input in = {data, n};
	const uint8_t first = (uint8_t)input_number(&in, 1);
	const uint64_t copy = UINT64_C(16384) << first % 16 % 9;
	uint8_t sector[SECTOR] = {0};

	u.mem = disk;
	u.size = DISK;
	while (in.n > 0) {
		const uint8_t how = (uint8_t)input_number(&in, 1);
		uint64_t at = input_number(&in, 2) * SECTOR;
		size_t k;
		const uint8_t *p = input_take(&in, 1 + input_number(&in, 1), &k);

		switch (how % 4) {
		case 0: /* where traces lie */
			at = at / SECTOR % 10 == 9
				     ? 0
				     : (UINT64_C(16384) << at / SECTOR % 10) * (how / 4 % 2) +
					       COFFER_LUKS2_BIN * (how / 8 % 2);
			break;
		case 1: /* the first bytes of the copy */
			at = DISK - SHIFT + at % SHIFT;
			break;
		default:
			break;
		}
		memcpy(sector, p, k);
		for (size_t i = k; i < SECTOR; i++) /* zeros, or something that looks random */
			sector[i] = how & 0x40 ? (uint8_t)(i * 167 + i / 256 * 59) : 0;
		check_sector(sector, at, copy);
		undo_put(&u, at % DISK, sector, how & 0x80 ? SECTOR : k);
	}
	if (first & 0x80) /* that takes milliseconds */
		check_disk();
	undo_all(&u);
	return 0;
}
