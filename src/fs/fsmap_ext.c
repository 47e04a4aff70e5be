/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fsmap_ext.c - the free space of ext2, ext3 and ext4, from libext2fs
 *
 * Beside the block bitmap, a part of the inode tables counts as free: in a group whose descriptor
 * has a valid checksum and lacks the flag INODE_ZEROED, the blocks in which no inode was ever used
 * by the count of unused inodes (itable_unused). Nothing reads them before they are written:
 * - mke2fs leaves them as they are, with old content of the disk. It sets the flag where it knows
 *   that they are zero.
 * - The kernel zeroes these blocks in the background after the first mount for writing, then sets
 *   the flag. Before it puts a first inode into such a block it zeroes the block in memory instead
 *   of reading it, and it writes each new inode as a whole. It reads inodes ahead up to
 *   itable_unused only.
 * - e2fsck, and everything that scans inodes with libext2fs, stops at itable_unused, too, as long
 *   as the checksum of the descriptor is valid.
 * The inode bitmap is checked as well. */
#include <errno.h>
#include <ext2fs/ext2fs.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "fs/fsmap_kinds.h"

enum {
	/* Not lazy_bg and snapshots, which are obsolete, nor features that were not tested. */
	KNOWN_COMPAT = EXT2_FEATURE_COMPAT_DIR_PREALLOC | EXT2_FEATURE_COMPAT_IMAGIC_INODES |
		       EXT3_FEATURE_COMPAT_HAS_JOURNAL | EXT2_FEATURE_COMPAT_EXT_ATTR |
		       EXT2_FEATURE_COMPAT_RESIZE_INODE | EXT2_FEATURE_COMPAT_DIR_INDEX |
		       EXT4_FEATURE_COMPAT_SPARSE_SUPER2 | EXT4_FEATURE_COMPAT_FAST_COMMIT |
		       EXT4_FEATURE_COMPAT_STABLE_INODES | EXT4_FEATURE_COMPAT_ORPHAN_FILE,
	KNOWN_INCOMPAT = EXT2_FEATURE_INCOMPAT_FILETYPE | EXT2_FEATURE_INCOMPAT_META_BG |
			 EXT3_FEATURE_INCOMPAT_EXTENTS | EXT4_FEATURE_INCOMPAT_64BIT |
			 EXT4_FEATURE_INCOMPAT_MMP | EXT4_FEATURE_INCOMPAT_FLEX_BG |
			 EXT4_FEATURE_INCOMPAT_EA_INODE | EXT4_FEATURE_INCOMPAT_CSUM_SEED |
			 EXT4_FEATURE_INCOMPAT_LARGEDIR | EXT4_FEATURE_INCOMPAT_INLINE_DATA |
			 EXT4_FEATURE_INCOMPAT_ENCRYPT | EXT4_FEATURE_INCOMPAT_CASEFOLD,
	KNOWN_RO_COMPAT = EXT2_FEATURE_RO_COMPAT_SPARSE_SUPER | EXT2_FEATURE_RO_COMPAT_LARGE_FILE |
			  EXT4_FEATURE_RO_COMPAT_HUGE_FILE | EXT4_FEATURE_RO_COMPAT_GDT_CSUM |
			  EXT4_FEATURE_RO_COMPAT_DIR_NLINK | EXT4_FEATURE_RO_COMPAT_EXTRA_ISIZE |
			  EXT4_FEATURE_RO_COMPAT_QUOTA | EXT4_FEATURE_RO_COMPAT_BIGALLOC |
			  EXT4_FEATURE_RO_COMPAT_METADATA_CSUM | EXT4_FEATURE_RO_COMPAT_PROJECT |
			  EXT4_FEATURE_RO_COMPAT_VERITY,
	READ_ALIGN = 4096, /* for direct I/O */
	JOURNAL_SUPER = 1024,
	JOURNAL_PRINT = 512 << 10,
};

/* --- the I/O manager of libext2fs --- */

struct source {
	struct coffer_dev *d;
	int r; /* of the first read that failed */
	struct coffer_err e;
};

static errcode_t source_open(const char *name, int flags, io_channel *ret);

static errcode_t source_close(io_channel c)
{
	if (--c->refcount == 0)
		free(c);
	return 0;
}

static errcode_t source_set_block_size(io_channel c, int size)
{
	c->block_size = size;
	return 0;
}

static errcode_t read_bytes(struct source *s, uint64_t off, uint64_t n, void *data)
{
	const uint64_t first = round_down_u64(off, READ_ALIGN);
	const uint64_t end = round_down_u64(s->d->size, 512);
	_cleanup_free_ uint8_t *buf = NULL;
	uint64_t last;
	int r;

	if (off > end || n > end - off)
		return EXT2_ET_SHORT_READ;
	last = min_u64(round_up_u64(off + n, READ_ALIGN), end);
	buf = coffer_dev_buffer(last - first);
	if (buf)
		r = coffer_dev_read(s->d, buf, last - first, first, s->r == 0 ? &s->e : NULL);
	else /* remembered, too: the library would report damage */
		r = coffer_err_errno(s->r == 0 ? &s->e : NULL, ENOMEM, "read %s", s->d->name);
	if (r < 0) {
		s->r = s->r == 0 ? r : s->r;
		return -r;
	}
	memcpy(data, buf + (off - first), n);
	return 0;
}

/* A negative @count is a number of bytes. */
static errcode_t source_read64(io_channel c, unsigned long long block, int count, void *data)
{
	uint64_t off, n = (uint64_t)(count < 0 ? -(int64_t)count : count);

	if (!mul_u64(block, (uint64_t)c->block_size, &off))
		return EXT2_ET_SHORT_READ;
	return read_bytes(c->private_data, off, count < 0 ? n : n * (uint64_t)c->block_size, data);
}

static errcode_t source_read(io_channel c, unsigned long block, int count, void *data)
{
	return source_read64(c, block, count, data);
}

static errcode_t refuse_write(io_channel c, unsigned long block, int count, const void *data)
{
	(void)c, (void)block, (void)count, (void)data;
	return EXT2_ET_RO_FILSYS;
}

static errcode_t nothing_to_flush(io_channel c)
{
	(void)c;
	return 0;
}

/* The library does not call what is missing here, or takes it for not supported. */
static const struct struct_io_manager source_manager = {
	.magic = EXT2_ET_MAGIC_IO_MANAGER,
	.name = "coffer",
	.open = source_open,
	.close = source_close,
	.set_blksize = source_set_block_size,
	.read_blk = source_read,
	.read_blk64 = source_read64,
	.write_blk = refuse_write,
	.flush = nothing_to_flush,
};

static errcode_t source_open(const char *name, int flags, io_channel *ret)
{
	/* The name is the only way to pass a pointer through the library, which copies it. */
	void *source = NULL;
	io_channel c;

	if ((flags & IO_FLAG_RW) || sscanf(name, "%p", &source) != 1)
		return EXT2_ET_RO_FILSYS;
	c = calloc(1, sizeof(*c));
	if (!c)
		return EXT2_ET_NO_MEMORY;
	c->magic = EXT2_ET_MAGIC_IO_CHANNEL;
	c->manager = (io_manager)(uintptr_t)&source_manager; /* never written to */
	c->block_size = 1024;
	c->refcount = 1;
	c->private_data = source;
	*ret = c;
	return 0;
}

/* --- errors --- */

struct ext {
	struct source source;
	ext2_filsys fs;
	uint64_t end;
	bool mount;
	struct coffer_fsmap *m;
	struct coffer_err *e;
};

static int failed(struct ext *x, errcode_t code, const char *what)
{
	if (x->source.r < 0) {
		(void)coffer_err_pass(x->e, x->source.r, &x->source.e);
		return coffer_err_wrap(x->e, x->source.r, "%s", what);
	}
	switch (code) {
	case EXT2_ET_NO_MEMORY:
	case ENOMEM:
		return coffer_err_errno(x->e, ENOMEM, "%s", what);
	case EXT2_ET_UNSUPP_FEATURE:
	case EXT2_ET_RO_UNSUPP_FEATURE:
		return coffer_err_set(
			x->e, EOPNOTSUPP, "it has a feature that libext2fs does not know");
	default:
		return coffer_err_set(
			x->e, EUCLEAN, "%s: libext2fs finds it damaged (error %ld)", what, code);
	}
}

static int damaged(struct ext *x, const char *what)
{
	return coffer_err_set(x->e, EUCLEAN, "it is damaged: %s", what);
}

/* --- is it clean? --- */

static int check_super(struct ext *x)
{
	const struct ext2_super_block *s = x->fs->super;

	if ((s->s_feature_incompat & EXT3_FEATURE_INCOMPAT_RECOVER) != 0)
		return coffer_err_set(x->e, EUCLEAN,
			"its journal has not been replayed (mount and unmount the filesystem "
			"first)");
	if ((s->s_state & EXT2_ERROR_FS) != 0)
		return coffer_err_set(x->e, EUCLEAN, "it has errors");
	if ((s->s_state & EXT2_VALID_FS) == 0)
		return coffer_err_set(x->e, EUCLEAN, "it was not unmounted cleanly");
	if (s->s_state != EXT2_VALID_FS || s->s_last_orphan != 0 ||
		(s->s_feature_ro_compat & EXT4_FEATURE_RO_COMPAT_ORPHAN_PRESENT) != 0)
		return coffer_err_set(
			x->e, EUCLEAN, "it has orphaned inodes; the next mount deletes them");
	if ((s->s_feature_compat & ~(uint32_t)KNOWN_COMPAT) != 0 ||
		(s->s_feature_incompat & ~(uint32_t)KNOWN_INCOMPAT) != 0 ||
		(s->s_feature_ro_compat & ~(uint32_t)KNOWN_RO_COMPAT) != 0)
		return coffer_err_set(
			x->e, EOPNOTSUPP, "it has a feature that coffer does not know");
	return 0;
}

static int check_groups(struct ext *x)
{
	const errcode_t code = ext2fs_check_desc(x->fs);

	if (code)
		return failed(x, code, "read its groups");
	for (dgrp_t g = 0; g < x->fs->group_desc_count; g++)
		if (!ext2fs_group_desc_csum_verify(x->fs, g))
			return damaged(x, "a group descriptor has a wrong checksum");
	return 0;
}

/* --- the journal --- */

/* The journal's own superblock must say, too, that there is nothing to replay. */
static int check_journal(struct ext *x, uint64_t at)
{
	uint8_t super[JOURNAL_SUPER];
	const errcode_t code = read_bytes(&x->source, at, sizeof(super), super);

	if (code)
		return failed(x, code, "read its journal");
	if (get_be32(super) != 0xC03B3998)
		return damaged(x, "its journal has no superblock");
	if (get_be32(super + 28) != 0)
		return coffer_err_set(x->e, EUCLEAN,
			"its journal has not been replayed (mount and unmount the filesystem "
			"first)");
	if (get_be32(super + 32) != 0)
		return coffer_err_set(x->e, EUCLEAN, "its journal was stopped by an error");
	return 0;
}

/* The journal is empty, so the first write to it changes the sequence number in its superblock. The
 * first bytes prove enough; the whole journal, up to a GiB, could take longer to read than a small
 * conversion. */
static int add_journal(struct ext *x)
{
	const uint64_t size = x->fs->blocksize;
	const ext2_ino_t number = x->fs->super->s_journal_inum;
	struct ext2_inode inode;
	int r = 0;

	if (!ext2fs_has_feature_journal(x->fs->super))
		return 0;
	if (number == 0)
		return coffer_err_set(x->e, EOPNOTSUPP, "its journal is on another device");
	for (blk64_t i = 0; i * size < JOURNAL_PRINT && r == 0; i++) {
		blk64_t block = 0;
		errcode_t code = i == 0 ? ext2fs_read_inode(x->fs, number, &inode) : 0;

		if (code == 0)
			code = ext2fs_bmap2(x->fs, number, &inode, NULL, 0, i, NULL, &block);
		if (code)
			return failed(x, code, "read its journal");
		if (block >= ext2fs_blocks_count(x->fs->super)) /* not checked by libext2fs */
			return damaged(x, "its journal is beyond its end");
		if (i == 0 && block == 0)
			return damaged(x, "its journal has no first block");
		if (i == 0)
			r = check_journal(x, block * size);
		if (r == 0 && block > 0)
			r = coffer_fsmap_add_print(x->m, block * size, (block + 1) * size, x->e);
	}
	return r;
}

/* --- what is always used --- */

static int add_fixed(struct ext *x, blk64_t start, blk64_t n)
{
	const uint64_t size = x->fs->blocksize;

	return coffer_ranges_add(&x->m->fixed, start * size, (start + n) * size, x->e);
}

/* Superblock or its backup, descriptors, and the blocks reserved for more of them. */
static int add_group_start(struct ext *x, dgrp_t g)
{
	const blk64_t first = ext2fs_group_first_block2(x->fs, g);
	blk64_t super, old, new;
	blk_t n;

	if (ext2fs_super_and_bgd_loc2(x->fs, g, &super, &old, &new, &n))
		return damaged(x, "a group has no descriptors");
	/* At the start of the group, without a gap. With blocks of 1024 bytes the boot sector is
	 * before the first group. */
	return add_fixed(x, g == 0 ? 0 : first, g == 0 ? first + n + 1 : n);
}

/* Blocks of the inode table of a group that may have used inodes. */
static blk_t used_inode_blocks(const struct ext *x, dgrp_t g)
{
	const struct ext2_super_block *s = x->fs->super;
	const uint32_t unused = ext2fs_bg_itable_unused(x->fs, g);
	const uint32_t per_block = x->fs->blocksize / EXT2_INODE_SIZE(s);

	if (!ext2fs_has_group_desc_csum(x->fs) ||
		ext2fs_bg_flags_test(x->fs, g, EXT2_BG_INODE_ZEROED) ||
		unused > s->s_inodes_per_group)
		return x->fs->inode_blocks_per_group;
	return (s->s_inodes_per_group - unused + per_block - 1) / per_block;
}

static int add_all_fixed(struct ext *x)
{
	int r = 0;

	for (dgrp_t g = 0; g < x->fs->group_desc_count && r == 0; g++)
		r = add_group_start(x, g);
	for (dgrp_t g = 0; g < x->fs->group_desc_count && r == 0; g++) {
		r = add_fixed(x, ext2fs_block_bitmap_loc(x->fs, g), 1);
		if (r == 0)
			r = add_fixed(x, ext2fs_inode_bitmap_loc(x->fs, g), 1);
		if (r == 0)
			r = add_fixed(x, ext2fs_inode_table_loc(x->fs, g), used_inode_blocks(x, g));
	}
	return r;
}

static int add_prints(struct ext *x)
{
	int r;

	r = coffer_fsmap_add_print(
		x->m, SUPERBLOCK_OFFSET, SUPERBLOCK_OFFSET + SUPERBLOCK_SIZE, x->e);
	if (r == 0)
		r = add_journal(x);
	for (dgrp_t g = 1; g < x->fs->group_desc_count && r == 0; g++) {
		const uint64_t at = ext2fs_group_first_block2(x->fs, g) * x->fs->blocksize;

		if (ext2fs_bg_has_super(x->fs, g))
			r = coffer_fsmap_add_print(x->m, at, at + SUPERBLOCK_SIZE, x->e);
	}
	return r;
}

/* --- what is free --- */

/* The next run of free blocks in [at, end]: [*start, *stop); false: none. */
static bool next_free(struct ext *x, blk64_t at, blk64_t end, blk64_t *start, blk64_t *stop)
{
	if (at > end || ext2fs_find_first_zero_block_bitmap2(x->fs->block_map, at, end, start))
		return false;
	if (ext2fs_find_first_set_block_bitmap2(x->fs->block_map, *start, end, stop))
		*stop = end + 1;
	return true;
}

/* The descriptor has a count, too; for the kernel a group is damaged if the two differ. */
static int add_free_of_group(struct ext *x, dgrp_t g)
{
	const blk64_t end = ext2fs_group_last_block2(x->fs, g);
	const uint64_t size = x->fs->blocksize;
	blk64_t at = ext2fs_group_first_block2(x->fs, g), stop;
	uint64_t clusters = 0;
	int r = 0;

	for (; r == 0 && next_free(x, at, end, &at, &stop); at = stop) {
		clusters += EXT2FS_NUM_B2C(x->fs, stop - at);
		r = coffer_ranges_add(&x->m->free, at * size, stop * size, x->e);
	}
	if (r == 0 && clusters != ext2fs_bg_free_blocks_count(x->fs, g))
		return damaged(x, "the count of free blocks of a group differs from its bitmap");
	return r;
}

static int add_free(struct ext *x)
{
	const errcode_t code = ext2fs_read_block_bitmap(x->fs);
	int r = 0;

	if (code)
		return failed(x, code, "read its block bitmaps");
	if (x->fs->flags & EXT2_FLAG_BBITMAP_TAIL_PROBLEM)
		return damaged(x, "a block bitmap has blocks beyond the end");
	for (dgrp_t g = 0; g < x->fs->group_desc_count && r == 0; g++)
		r = add_free_of_group(x, g);
	return r;
}

static int add_inode_tail(struct ext *x, dgrp_t g, blk_t used)
{
	const uint32_t per_group = x->fs->super->s_inodes_per_group;
	const uint32_t unused = ext2fs_bg_itable_unused(x->fs, g);
	const uint64_t start = ext2fs_inode_table_loc(x->fs, g) + used;
	const uint64_t end = ext2fs_inode_table_loc(x->fs, g) + x->fs->inode_blocks_per_group;
	ext2_ino_t found;

	if (unused == 0)
		return 0;
	if (ext2fs_find_first_set_inode_bitmap2(x->fs->inode_map,
		    g * per_group + (per_group - unused) + 1, (g + 1) * per_group,
		    &found) != ENOENT)
		return damaged(x, "an inode is in use where none was ever used");
	return coffer_ranges_add(
		&x->m->free, start * x->fs->blocksize, end * x->fs->blocksize, x->e);
}

static int add_inode_tails(struct ext *x)
{
	errcode_t code;
	int r = 0;

	for (dgrp_t g = 0; g < x->fs->group_desc_count && r == 0; g++) {
		const blk_t used = used_inode_blocks(x, g);

		if (used >= x->fs->inode_blocks_per_group)
			continue;
		code = x->fs->inode_map ? 0 : ext2fs_read_inode_bitmap(x->fs);
		if (code)
			return failed(x, code, "read its inode bitmaps");
		r = add_inode_tail(x, g, used);
	}
	return r;
}

/* Free is what both report. Without the right to mount, libext2fs alone decides. */
static int ask_kernel(struct ext *x)
{
	static const char *const options[] = {"noload", NULL};
	_cleanup_hidden_mount_ struct coffer_hidden_mount h = COFFER_HIDDEN_MOUNT_NONE;
	struct coffer_ranges found = {0};
	struct coffer_err e = {0};
	int r;

	if (!x->mount)
		return 0;
	r = coffer_hidden_mount_open(x->source.d, "ext4", options, &h, &e);
	if (r == -EPERM)
		return 0;
	if (r == 0)
		r = coffer_fsmap_ask_kernel(&h, x->end, &found, &e);
	if (r == 0)
		r = coffer_ranges_intersect(&x->m->free, &found, &e);
	free(found.items);
	if (r < 0)
		return coffer_err_pass(x->e, r, &e);
	x->m->source = "kernel";
	return 0;
}

int coffer_fsmap_ext(struct coffer_dev *d, const struct coffer_fs *fs, bool mount,
	struct coffer_fsmap *ret, struct coffer_err *e)
{
	static int (*const steps[])(struct ext *) = {check_super, check_groups, add_prints,
		add_all_fixed, add_free, ask_kernel, add_inode_tails};
	struct ext x = {.source = {.d = d}, .end = fs->end, .mount = mount, .m = ret, .e = e};
	char name[32];
	errcode_t code;
	int r = 0;

	ret->source = "libext2fs";
	(void)snprintf(name, sizeof(name), "%p", (void *)&x.source);
	/* Neither FORCE nor an IGNORE flag: anything that libext2fs does not accept is an error. */
	code = ext2fs_open2(
		name, NULL, EXT2_FLAG_64BITS, 0, 0, (io_manager)(uintptr_t)&source_manager, &x.fs);
	if (code)
		return failed(&x, code, "read its superblock and descriptors");
	for (size_t i = 0; i < ARRAY_SIZE(steps) && r == 0; i++)
		r = steps[i](&x);
	ext2fs_free(x.fs); /* opened read-only: nothing to flush */
	return r;
}
