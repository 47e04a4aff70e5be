/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* superblock.c - read the size of a filesystem from its superblock */
#include "fs/superblock.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/names.h"

enum {
	BTRFS_SUPER = 64 << 10,
	BTRFS_MIRROR = 64 << 20
};

DEFINE_NAMES(coffer_fs_name, enum coffer_fs_kind, COFFER_N_FS_KINDS, [COFFER_FS_NONE] = "none",
	[COFFER_FS_EXT] = "ext4", [COFFER_FS_XFS] = "xfs", [COFFER_FS_BTRFS] = "btrfs")

static bool power_of_two_between(uint64_t v, uint64_t low, uint64_t high)
{
	return v >= low && v <= high && (v & (v - 1)) == 0;
}

static int invalid(enum coffer_fs_kind k, const char *member, uint64_t value, struct coffer_err *e)
{
	return coffer_err_set(e, EUCLEAN, "the %s superblock has an invalid %s: %" PRIu64,
		coffer_fs_name(k), member, value);
}

static int set_end(struct coffer_fs *fs, uint64_t blocks, struct coffer_err *e)
{
	if (blocks == 0 || !mul_u64(blocks, fs->block_size, &fs->end) || fs->end > INT64_MAX)
		return invalid(fs->kind, "number of blocks", blocks, e);
	return 0;
}

/* A count of free blocks larger than the filesystem is ignored. */
static void set_used(struct coffer_fs *fs, uint64_t blocks, uint64_t free_blocks)
{
	if (free_blocks <= blocks)
		fs->used = (blocks - free_blocks) * fs->block_size;
}

/* The first backup is in the first block of group 1, or of the group that sparse_super2 names. */
static uint64_t ext_mirror(const uint8_t *sb, const struct coffer_fs *fs)
{
	const uint32_t per_group = get_le32(sb + 32), first = get_le32(sb + 20);
	const uint64_t group = get_le32(sb + 92) & 0x200 ? get_le32(sb + 588) : 1;
	const uint64_t at = (first + group * per_group) * fs->block_size;

	if (group == 0 || per_group == 0 || group * per_group > UINT32_MAX || at < 1024 ||
		at + fs->block_size > fs->end)
		return 0;
	return at - 1024;
}

static int read_ext(const uint8_t *sb, struct coffer_fs *fs, struct coffer_err *e)
{
	const uint32_t log_size = get_le32(sb + 24);
	const uint32_t compat = get_le32(sb + 92);
	const uint32_t incompat = get_le32(sb + 96);
	uint64_t blocks = get_le32(sb + 4), free_blocks = get_le32(sb + 12);

	fs->kind = COFFER_FS_EXT;
	if (log_size > 6) /* 64 KiB, the largest ext4 has */
		return invalid(fs->kind, "block size", UINT64_C(1024) << (log_size & 31), e);
	fs->block_size = 1024u << log_size;
	if (incompat & 0x80) { /* 64bit */
		blocks |= (uint64_t)get_le32(sb + 336) << 32;
		free_blocks |= (uint64_t)get_le32(sb + 344) << 32;
	}
	if (incompat & 0x8)
		fs->other_part = "it is the external journal of another filesystem";
	else if ((compat & 0x4) && get_le32(sb + 224) == 0)
		fs->other_part = "its journal is on another device";
	memcpy(fs->uuid, sb + 104, sizeof(fs->uuid));
	fs->spare = get_le16(sb + 90) != 0;
	fs->super = 1024;
	fs->super_size = 1024;
	if (set_end(fs, blocks, e) < 0)
		return -EUCLEAN;
	set_used(fs, blocks, free_blocks);
	fs->mirror = ext_mirror(sb, fs);
	return 0;
}

static int read_xfs(const uint8_t *sb, struct coffer_fs *fs, struct coffer_err *e)
{
	const uint32_t block_size = get_be32(sb + 4);
	const uint16_t sector_size = get_be16(sb + 102);

	fs->kind = COFFER_FS_XFS;
	if (!power_of_two_between(block_size, 512, 65536))
		return invalid(fs->kind, "block size", block_size, e);
	if (!power_of_two_between(sector_size, 512, 32768) || sector_size > block_size)
		return invalid(fs->kind, "sector size", sector_size, e);
	if (get_be64(sb + 16) != 0)
		fs->other_part = "it has a realtime device";
	else if (get_be64(sb + 48) == 0)
		fs->other_part = "its log is on another device";
	fs->block_size = block_size;
	if (set_end(fs, get_be64(sb + 8), e) < 0)
		return -EUCLEAN;
	set_used(fs, get_be64(sb + 8), get_be64(sb + 144));
	memcpy(fs->uuid, sb + 32, sizeof(fs->uuid));
	fs->super_size = 512;
	/* Each allocation group begins with a superblock copy. */
	if (get_be32(sb + 88) > 1 &&
		(uint64_t)get_be32(sb + 84) * block_size + block_size <= fs->end)
		fs->mirror = (uint64_t)get_be32(sb + 84) * block_size;
	fs->block_size = sector_size; /* xfs writes its log and headers in sectors */
	return 0;
}

/* The device item has the part of the filesystem that is on this device. */
static int read_btrfs(const uint8_t *sb, struct coffer_fs *fs, struct coffer_err *e)
{
	const uint32_t sector_size = get_le32(sb + 144);

	fs->kind = COFFER_FS_BTRFS;
	if (!power_of_two_between(sector_size, 512, 65536))
		return invalid(fs->kind, "block size", sector_size, e);
	fs->block_size = sector_size;
	if (get_le64(sb + 136) != 1)
		fs->other_part = "it spans several devices";
	fs->end = get_le64(sb + 201 + 8);
	if (fs->end < 1 << 20 || fs->end > INT64_MAX)
		return invalid(fs->kind, "size", fs->end, e);
	if (get_le64(sb + 120) <= fs->end)
		fs->used = get_le64(sb + 120);
	memcpy(fs->uuid, sb + 32, sizeof(fs->uuid));
	fs->super = BTRFS_SUPER;
	fs->super_size = 4096;
	if (fs->end >= BTRFS_MIRROR + 4096)
		fs->mirror = BTRFS_MIRROR - BTRFS_SUPER;
	return 0;
}

int coffer_superblock_read(
	const uint8_t *start, size_t n, struct coffer_fs *ret, struct coffer_err *e)
{
	struct coffer_fs fs = {0};
	int r = 0;

	if (n >= BTRFS_SUPER + 4096 && memcmp(start + BTRFS_SUPER + 64, "_BHRfS_M", 8) == 0)
		r = read_btrfs(start + BTRFS_SUPER, &fs, e);
	else if (n >= 512 && memcmp(start, "XFSB", 4) == 0)
		r = read_xfs(start, &fs, e);
	else if (n >= 2048 && get_le16(start + 1024 + 56) == 0xEF53)
		r = read_ext(start + 1024, &fs, e);
	if (r < 0)
		return r;
	*ret = fs;
	return 0;
}
