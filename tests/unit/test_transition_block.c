/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test_transition_block.c - the transition block: torn, damaged, mixed, and unknown to libblkid */
#include "convert/record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <blkid/blkid.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "lib/records.h"
#include "tap.h"

static bool is_of(const struct coffer_record *t, const struct coffer_record *r)
{
	return t->kind == r->kind && memcmp(t->id, r->id, sizeof(t->id)) == 0 &&
	       geometry_equals(&t->geometry, &r->geometry) && strcmp(t->uuid, r->uuid) == 0;
}

/* Any subset of the sectors may have reached the disk; what else lies there may be anything. */
static void check_torn(void)
{
	static const char *const others[] = {"zeros", "ones", "a header", "noise"};
	const struct coffer_record r = record_sample(COFFER_RECORD_PLACE);
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
			struct coffer_record t = {0};
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
	const struct coffer_record r = record_sample(COFFER_RECORD_UNDO);
	uint8_t whole[COFFER_BLOCK], block[COFFER_BLOCK] = {0};
	struct coffer_record t;
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
	const struct coffer_record r = record_sample(COFFER_RECORD_SAVE);
	struct coffer_record t;
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
		struct coffer_record a = record_sample(rows[k].kind[0]),
				     b = record_sample(rows[k].kind[1]);
		uint8_t block_a[COFFER_BLOCK], block_b[COFFER_BLOCK], block[COFFER_BLOCK];
		unsigned int wrong = 0;

		if (!rows[k].same_id)
			b.id[15] ^= 1;
		(void)coffer_transition_encode(&a, block_a);
		(void)coffer_transition_encode(&b, block_b);
		/* 3^8 ways: sector of a, of b, or of neither */
		for (unsigned int way = 0; way < 6561; way++) {
			unsigned int n_a = 0, n_b = 0, left = way;
			struct coffer_record t = {0};
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
		struct coffer_record r = record_sample((enum coffer_placement_kind)kind);
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

int main(void)
{
	check_torn();
	check_transition_damage();
	check_no_transition();
	check_mixed();
	check_blkid();
	return done_testing();
}
