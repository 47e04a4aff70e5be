/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test_superblock.c - superblocks: which filesystem, and where it ends */
#include "fs/superblock.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "tap.h"

#define MIB (UINT64_C(1) << 20)

static char folder[] = "/tmp/coffer-fsend-XXXXXX";
static uint8_t head[COFFER_SUPERBLOCK_BYTES];

/* --- what the real tools make --- */

/* A sparse file "a" of @size bytes (and "b" likewise, for filesystems that want two), @command
 * in their folder, and the first bytes of "a". */
static bool make(const char *command, uint64_t size)
{
	_cleanup_close_ int fd = -1;
	char line[512];

	(void)snprintf(line, sizeof(line),
		"cd %s && rm -f a b && truncate -s %" PRIu64 " a b && { %s; } >log 2>&1", folder,
		size, command);
	if (system(line) != 0) {
		(void)snprintf(line, sizeof(line), "sed 's/^/# /' %s/log", folder);
		(void)!system(line);
		return false;
	}
	(void)snprintf(line, sizeof(line), "%s/a", folder);
	fd = open(line, O_RDONLY | O_CLOEXEC);
	return fd >= 0 && pread(fd, head, sizeof(head), 0) == sizeof(head);
}

static void check_real(void)
{
	static const struct {
		const char *name, *command;
		uint64_t file; /* MiB */
		enum coffer_fs_kind kind;
		uint64_t end; /* bytes */
		uint32_t block_size;
		bool other_part;
	} rows[] = {
		{"ext4, 1 KiB blocks", "mkfs.ext4 -qF -b 1024 a 64M", 96, COFFER_FS_EXT, 64 * MIB,
			1024, false},
		{"ext4, 1 KiB blocks, an odd number", "mkfs.ext4 -qF -b 1024 a 65535", 96,
			COFFER_FS_EXT, 65535 * 1024, 1024, false},
		{"ext4, 4 KiB blocks", "mkfs.ext4 -qF -b 4096 a 64M", 96, COFFER_FS_EXT, 64 * MIB,
			4096, false},
		{"ext4, 64bit", "mkfs.ext4 -qF -b 4096 -O 64bit a 64M", 96, COFFER_FS_EXT, 64 * MIB,
			4096, false},
		{"ext4, no 64bit", "mkfs.ext4 -qF -b 4096 -O ^64bit,^metadata_csum a 64M", 96,
			COFFER_FS_EXT, 64 * MIB, 4096, false},
		{"ext4, bigalloc", "mkfs.ext4 -qF -b 4096 -O bigalloc -C 65536 a 512M", 600,
			COFFER_FS_EXT, 512 * MIB, 4096, false},
		{"ext4 that was shrunk", "mkfs.ext4 -qF -b 4096 a 96M; resize2fs a 64M", 96,
			COFFER_FS_EXT, 64 * MIB, 4096, false},
		{"ext2", "mkfs.ext2 -qF -b 2048 a 32M", 64, COFFER_FS_EXT, 32 * MIB, 2048, false},
		{"ext3", "mkfs.ext3 -qF -b 4096 a 64M", 64, COFFER_FS_EXT, 64 * MIB, 4096, false},
		{"an external journal of ext4", "mke2fs -qF -b 4096 -O journal_dev a 16M", 64,
			COFFER_FS_EXT, 16 * MIB, 4096, true},
		{"xfs, sectors of 512", "mkfs.xfs -q -f -s size=512 -d size=320m a", 400,
			COFFER_FS_XFS, 320 * MIB, 512, false},
		{"xfs, sectors of 4096", "mkfs.xfs -q -f -s size=4096 -d size=320m a", 400,
			COFFER_FS_XFS, 320 * MIB, 4096, false},
		{"xfs, blocks of 1024", "mkfs.xfs -q -f -b size=1024 -d size=301m a", 400,
			COFFER_FS_XFS, 301 * MIB, 512, false},
		{"xfs, without checksums", "mkfs.xfs -q -f -m crc=0 -d size=320m a", 400,
			COFFER_FS_XFS, 320 * MIB, 512, false},
		{"xfs, log on another device", "mkfs.xfs -q -f -d size=320m -l logdev=b,size=64m a",
			400, COFFER_FS_XFS, 320 * MIB, 512, true},
		{"xfs with a realtime device", "mkfs.xfs -q -f -d size=320m -r rtdev=b,size=64m a",
			400, COFFER_FS_XFS, 320 * MIB, 512, true},
		{"btrfs", "mkfs.btrfs -q -f -b 200m a", 256, COFFER_FS_BTRFS, 200 * MIB, 4096,
			false},
		{"btrfs, mixed", "mkfs.btrfs -q -f -M -b 64m a", 256, COFFER_FS_BTRFS, 64 * MIB,
			4096, false},
		{"btrfs on two devices", "mkfs.btrfs -q -f -d single a b", 256, COFFER_FS_BTRFS,
			256 * MIB, 4096, true},
		{"xfs over ext4", "mkfs.ext4 -qF a 350M; mkfs.xfs -q -f -d size=320m a", 400,
			COFFER_FS_XFS, 320 * MIB, 512, false},
		{"xfs over btrfs", "mkfs.btrfs -q -f a; mkfs.xfs -q -f -d size=320m a", 400,
			COFFER_FS_XFS, 320 * MIB, 512, false},
		{"btrfs over ext4", "mkfs.ext4 -qF a; mkfs.btrfs -q -f -b 200m a", 256,
			COFFER_FS_BTRFS, 200 * MIB, 4096, false},
		{"btrfs over xfs", "mkfs.xfs -q -f a; mkfs.btrfs -q -f -b 200m a", 400,
			COFFER_FS_BTRFS, 200 * MIB, 4096, false},
		{"ext4 over xfs", "mkfs.xfs -q -f a; mkfs.ext4 -qF -b 4096 a 200M", 400,
			COFFER_FS_EXT, 200 * MIB, 4096, false},
		{"ext4 over btrfs", "mkfs.btrfs -q -f a; mkfs.ext4 -qF -b 4096 a 200M", 256,
			COFFER_FS_EXT, 200 * MIB, 4096, false},
		{"ext4 of 1 KiB blocks over btrfs",
			"mkfs.btrfs -q -f a; mkfs.ext4 -qF -b 1024 a 200M", 256, COFFER_FS_EXT,
			200 * MIB, 1024, false},
		{"swap", "mkswap a", 64, COFFER_FS_NONE, 0, 0, false},
		{"zeros", "true", 64, COFFER_FS_NONE, 0, 0, false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct coffer_fs fs = {0};
		struct coffer_err e = {0};
		int r;

		if (!ok(make(rows[i].command, rows[i].file * MIB), "made: %s", rows[i].name))
			continue;
		r = coffer_superblock_read(head, sizeof(head), &fs, &e);
		if (!ok(r == 0 && fs.kind == rows[i].kind && fs.end == rows[i].end &&
				    fs.block_size == rows[i].block_size &&
				    (fs.other_part != NULL) == rows[i].other_part,
			    "read: %s", rows[i].name))
			note("%d %s: %s, end %" PRIu64 ", block %" PRIu32 ", %s", r, e.msg,
				coffer_fs_name(fs.kind), fs.end, fs.block_size,
				fs.other_part ? fs.other_part : "complete");
	}
}

/* --- broken superblocks --- */

enum {
	EXT = 1024,
	BTRFS = 65536
};

/* The smallest superblocks the reader takes, as a start for the rows below. */
static void good_head(enum coffer_fs_kind kind)
{
	memset(head, 0, sizeof(head));
	switch (kind) {
	case COFFER_FS_EXT:
		put_le32(head + EXT + 4, 16384);
		put_le32(head + EXT + 24, 2);
		head[EXT + 56] = 0x53;
		head[EXT + 57] = 0xef;
		put_le32(head + EXT + 92, 0x4);
		put_le32(head + EXT + 96, 0x80);
		put_le32(head + EXT + 224, 8);
		break;
	case COFFER_FS_XFS:
		memcpy(head, "XFSB", 4);
		put_be32(head + 4, 4096);
		put_be64(head + 8, 81920);
		put_be64(head + 48, 5);
		put_be16(head + 102, 512);
		break;
	case COFFER_FS_BTRFS:
		memcpy(head + BTRFS + 64, "_BHRfS_M", 8);
		put_le64(head + BTRFS + 136, 1);
		put_le32(head + BTRFS + 144, 4096);
		put_le64(head + BTRFS + 209, 200 * MIB);
		break;
	case COFFER_FS_NONE:
	case COFFER_N_FS_KINDS:
		break;
	}
}

static void put(uint32_t at, unsigned int bytes, bool big_endian, uint64_t v)
{
	for (unsigned int i = 0; i < bytes; i++)
		head[at + (big_endian ? bytes - 1 - i : i)] = (uint8_t)(v >> (8 * i));
}

struct change {
	uint32_t at;
	unsigned int bytes;
	uint64_t v;
};

static void check_broken(void)
{
	static const struct {
		const char *name;
		enum coffer_fs_kind kind;
		struct change change[2];
		int r;
		uint64_t end;
		const char *other_part;
	} rows[] = {
		{"ext: as it is", COFFER_FS_EXT, {{0}}, 0, 64 * MIB, NULL},
		{"ext: blocks of 64 KiB", COFFER_FS_EXT, {{EXT + 24, 4, 6}}, 0, 1024 * MIB, NULL},
		{"ext: blocks of 128 KiB", COFFER_FS_EXT, {{EXT + 24, 4, 7}}, -EUCLEAN, 0, NULL},
		{"ext: block size shift 32", COFFER_FS_EXT, {{EXT + 24, 4, 32}}, -EUCLEAN, 0, NULL},
		{"ext: block size shift 2^32-1", COFFER_FS_EXT, {{EXT + 24, 4, UINT32_MAX}},
			-EUCLEAN, 0, NULL},
		{"ext: no blocks", COFFER_FS_EXT, {{EXT + 4, 4, 0}}, -EUCLEAN, 0, NULL},
		{"ext: 2^32-1 blocks", COFFER_FS_EXT, {{EXT + 4, 4, UINT32_MAX}}, 0,
			UINT64_C(4096) * UINT32_MAX, NULL},
		{"ext: more than 2^32 blocks", COFFER_FS_EXT, {{EXT + 336, 4, 5}}, 0,
			4096 * ((UINT64_C(5) << 32) + 16384), NULL},
		{"ext: upper half without 64bit", COFFER_FS_EXT,
			{{EXT + 336, 4, 5}, {EXT + 96, 4, 0x40}}, 0, 64 * MIB, NULL},
		{"ext: 2^63 bytes", COFFER_FS_EXT,
			{{EXT + 336, 4, UINT64_C(1) << 19}, {EXT + 4, 4, 0}}, -EUCLEAN, 0, NULL},
		{"ext: 2^64 bytes wrap to 0", COFFER_FS_EXT,
			{{EXT + 336, 4, UINT64_C(1) << 20}, {EXT + 4, 4, 0}}, -EUCLEAN, 0, NULL},
		{"ext: 2^64 bytes wrap to 64 MiB", COFFER_FS_EXT,
			{{EXT + 336, 4, UINT64_C(1) << 20}}, -EUCLEAN, 0, NULL},
		{"ext: all ones", COFFER_FS_EXT,
			{{EXT + 336, 4, UINT32_MAX}, {EXT + 4, 4, UINT32_MAX}}, -EUCLEAN, 0, NULL},
		{"ext: external journal", COFFER_FS_EXT, {{EXT + 96, 4, 0x88}}, 0, 64 * MIB,
			"external journal"},
		{"ext: journal elsewhere", COFFER_FS_EXT, {{EXT + 224, 4, 0}}, 0, 64 * MIB,
			"another device"},
		{"ext: no journal", COFFER_FS_EXT, {{EXT + 224, 4, 0}, {EXT + 92, 4, 0x38}}, 0,
			64 * MIB, NULL},
		{"ext: no magic", COFFER_FS_EXT, {{EXT + 56, 2, 0xef54}}, 0, 0, NULL},
		{"xfs: as it is", COFFER_FS_XFS, {{0}}, 0, 320 * MIB, NULL},
		{"xfs: blocks of 64 KiB", COFFER_FS_XFS, {{4, 4, 65536}}, 0, 5120 * MIB, NULL},
		{"xfs: blocks of 128 KiB", COFFER_FS_XFS, {{4, 4, 131072}}, -EUCLEAN, 0, NULL},
		{"xfs: blocks of 0", COFFER_FS_XFS, {{4, 4, 0}}, -EUCLEAN, 0, NULL},
		{"xfs: blocks of 4095", COFFER_FS_XFS, {{4, 4, 4095}}, -EUCLEAN, 0, NULL},
		{"xfs: blocks of 256", COFFER_FS_XFS, {{4, 4, 256}}, -EUCLEAN, 0, NULL},
		{"xfs: no blocks", COFFER_FS_XFS, {{8, 8, 0}}, -EUCLEAN, 0, NULL},
		{"xfs: 2^63 bytes", COFFER_FS_XFS, {{8, 8, UINT64_C(1) << 51}}, -EUCLEAN, 0, NULL},
		{"xfs: just below 2^63", COFFER_FS_XFS, {{8, 8, (UINT64_C(1) << 51) - 1}}, 0,
			(UINT64_C(1) << 63) - 4096, NULL},
		{"xfs: 2^64 bytes wrap to 4096", COFFER_FS_XFS, {{8, 8, (UINT64_C(1) << 52) + 1}},
			-EUCLEAN, 0, NULL},
		{"xfs: all ones", COFFER_FS_XFS, {{8, 8, UINT64_MAX}}, -EUCLEAN, 0, NULL},
		{"xfs: sectors of 0", COFFER_FS_XFS, {{102, 2, 0}}, -EUCLEAN, 0, NULL},
		{"xfs: sectors of 513", COFFER_FS_XFS, {{102, 2, 513}}, -EUCLEAN, 0, NULL},
		{"xfs: sectors larger than blocks", COFFER_FS_XFS, {{102, 2, 8192}}, -EUCLEAN, 0,
			NULL},
		{"xfs: realtime", COFFER_FS_XFS, {{16, 8, 7}}, 0, 320 * MIB, "realtime"},
		{"xfs: log elsewhere", COFFER_FS_XFS, {{48, 8, 0}}, 0, 320 * MIB, "log"},
		{"btrfs: as it is", COFFER_FS_BTRFS, {{0}}, 0, 200 * MIB, NULL},
		{"btrfs: two devices", COFFER_FS_BTRFS, {{BTRFS + 136, 8, 2}}, 0, 200 * MIB,
			"several"},
		{"btrfs: no device", COFFER_FS_BTRFS, {{BTRFS + 136, 8, 0}}, 0, 200 * MIB,
			"several"},
		{"btrfs: sectors of 0", COFFER_FS_BTRFS, {{BTRFS + 144, 4, 0}}, -EUCLEAN, 0, NULL},
		{"btrfs: sectors of 4097", COFFER_FS_BTRFS, {{BTRFS + 144, 4, 4097}}, -EUCLEAN, 0,
			NULL},
		{"btrfs: sectors of 128 KiB", COFFER_FS_BTRFS, {{BTRFS + 144, 4, 131072}}, -EUCLEAN,
			0, NULL},
		{"btrfs: no bytes", COFFER_FS_BTRFS, {{BTRFS + 209, 8, 0}}, -EUCLEAN, 0, NULL},
		{"btrfs: 2^63 bytes", COFFER_FS_BTRFS, {{BTRFS + 209, 8, UINT64_C(1) << 63}},
			-EUCLEAN, 0, NULL},
		{"btrfs: all ones", COFFER_FS_BTRFS, {{BTRFS + 209, 8, UINT64_MAX}}, -EUCLEAN, 0,
			NULL},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct coffer_fs fs = {.end = 77};
		struct coffer_err e = {0};
		int r;

		good_head(rows[i].kind);
		for (size_t k = 0; k < 2; k++)
			put(rows[i].change[k].at, rows[i].change[k].bytes,
				rows[i].kind == COFFER_FS_XFS, rows[i].change[k].v);
		r = coffer_superblock_read(head, sizeof(head), &fs, &e);
		if (!ok(r == rows[i].r && fs.end == (r == 0 ? rows[i].end : 77) &&
				    (r == 0 || (e.code == EUCLEAN && strstr(e.msg, "invalid"))) &&
				    (rows[i].other_part
						    ? fs.other_part && strstr(fs.other_part,
									       rows[i].other_part)
						    : !fs.other_part),
			    "%s", rows[i].name))
			note("%d %s, end %" PRIu64, r, e.msg, fs.end);
	}
}

static void check_used(void)
{
	static const struct {
		const char *name;
		enum coffer_fs_kind kind;
		struct change change[3];
		uint64_t used;
	} rows[] = {
		{"ext: none free", COFFER_FS_EXT, {{0}}, 64 * MIB},
		{"ext: a quarter is free", COFFER_FS_EXT, {{EXT + 12, 4, 4096}}, 48 * MIB},
		{"ext: all is free", COFFER_FS_EXT, {{EXT + 12, 4, 16384}}, 0},
		{"ext: more is free than there is", COFFER_FS_EXT, {{EXT + 12, 4, 16385}}, 0},
		{"ext: more than 2^32 blocks", COFFER_FS_EXT,
			{{EXT + 336, 4, 5}, {EXT + 344, 4, 4}, {EXT + 12, 4, 16384}},
			UINT64_C(4096) << 32},
		{"ext: upper half without 64bit", COFFER_FS_EXT,
			{{EXT + 344, 4, 5}, {EXT + 96, 4, 0x40}, {EXT + 12, 4, 4096}}, 48 * MIB},
		{"xfs: a quarter is free", COFFER_FS_XFS, {{144, 8, 20480}}, 240 * MIB},
		{"xfs: more is free than there is", COFFER_FS_XFS, {{144, 8, 81921}}, 0},
		{"xfs: all ones", COFFER_FS_XFS, {{144, 8, UINT64_MAX}}, 0},
		{"btrfs: some", COFFER_FS_BTRFS, {{BTRFS + 120, 8, 12345678}}, 12345678},
		{"btrfs: more than there is", COFFER_FS_BTRFS, {{BTRFS + 120, 8, 201 * MIB}}, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct coffer_fs fs = {0};
		int r;

		good_head(rows[i].kind);
		for (size_t k = 0; k < ARRAY_SIZE(rows[i].change); k++)
			put(rows[i].change[k].at, rows[i].change[k].bytes,
				rows[i].kind == COFFER_FS_XFS, rows[i].change[k].v);
		r = coffer_superblock_read(head, sizeof(head), &fs, NULL);
		if (!ok(r == 0 && fs.used == rows[i].used, "used: %s", rows[i].name))
			note("%d, used %" PRIu64 ", wanted %" PRIu64, r, fs.used, rows[i].used);
	}
}

/* What the real tools count, against the room that a file of random bytes takes. */
static void check_used_real(void)
{
	static const struct {
		const char *name, *empty, *full;
		uint64_t file; /* MiB */
	} rows[] = {
		{"ext4", "mkfs.ext4 -qF -b 4096 -m 0 a 256M",
			"mkfs.ext4 -qF -b 4096 -m 0 -d t a 256M", 300},
		{"ext4, bigalloc", "mkfs.ext4 -qF -b 4096 -m 0 -O bigalloc -C 65536 a 256M",
			"mkfs.ext4 -qF -b 4096 -m 0 -O bigalloc -C 65536 -d t a 256M", 300},
		{"xfs", "mkfs.xfs -q -f -d size=320m a", "mkfs.xfs -q -f -d size=320m -p p a", 400},
		{"btrfs", "mkfs.btrfs -q -f -b 256m a",
			"mkfs.btrfs -q -f -b 256m --rootdir t a; truncate -s 300M a", 300},
	};
	static const uint64_t size = 40 * MIB, slack = 2 * MIB;
	char line[512];

	(void)snprintf(line, sizeof(line),
		"cd %s && mkdir -p t && head -c %" PRIu64 " /dev/urandom >t/f && "
		"printf '/none\\n0 0\\nd--755 0 0\\nf ---644 0 0 t/f\\n$\\n' >p",
		folder, size);
	ok(system(line) == 0, "a file of %" PRIu64 " bytes", size);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct coffer_fs empty = {0}, full = {0};
		uint64_t more;

		if (!ok(make(rows[i].empty, rows[i].file * MIB) &&
				    coffer_superblock_read(head, sizeof(head), &empty, NULL) == 0 &&
				    make(rows[i].full, rows[i].file * MIB) &&
				    coffer_superblock_read(head, sizeof(head), &full, NULL) == 0,
			    "made twice: %s", rows[i].name))
			continue;
		more = full.used - empty.used;
		if (!ok(empty.used > 0 && more >= size && more <= size + slack, "counted: %s",
			    rows[i].name))
			note("empty %" PRIu64 ", full %" PRIu64, empty.used, full.used);
	}
}

/* Whatever is cut off is not looked at: ASan watches the end of a buffer of just that size. */
static void check_cut(void)
{
	static const struct {
		enum coffer_fs_kind kind;
		size_t needs;
	} rows[] = {
		{COFFER_FS_EXT, 2048},
		{COFFER_FS_XFS, 512},
		{COFFER_FS_BTRFS, COFFER_SUPERBLOCK_BYTES},
	};
	static const size_t sizes[] = {0, 1, 4, 511, 512, 1023, 1024, 1082, 2047, 2048, 65535,
		65536, 65608, COFFER_SUPERBLOCK_BYTES - 1, COFFER_SUPERBLOCK_BYTES};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		bool good = true;

		good_head(rows[i].kind);
		for (size_t k = 0; k < ARRAY_SIZE(sizes); k++) {
			_cleanup_free_ uint8_t *cut = malloc(sizes[k] + 1);
			struct coffer_fs fs;

			if (!cut)
				continue;
			memcpy(cut + 1, head, sizes[k]);
			good &= coffer_superblock_read(cut + 1, sizes[k], &fs, NULL) == 0 &&
				fs.kind ==
					(sizes[k] < rows[i].needs ? COFFER_FS_NONE : rows[i].kind);
		}
		ok(good, "cut: %s", coffer_fs_name(rows[i].kind));
	}
}

int main(void)
{
	char line[64];

	check_broken();
	check_used();
	check_cut();
	if (ok(mkdtemp(folder) != NULL, "a folder for images")) {
		check_real();
		check_used_real();
		(void)snprintf(line, sizeof(line), "rm -rf %s", folder);
		(void)!system(line);
	}
	return done_testing();
}
