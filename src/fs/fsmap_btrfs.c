/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fsmap_btrfs.c - btrfs: free is what lies in no chunk, and what lies in one but in no extent
 *
 * btrfs has no FS_IOC_GETFSMAP. Its trees are read through a hidden mount with its own search call;
 * fsmap_btrfs_trees.c knows what they mean. What no tree mentions is fixed: the first MiB and the
 * superblock's mirrors. The log tree's blocks are in none either, so there must be no log. */
#include <errno.h>
#include <inttypes.h>
#include <linux/btrfs_tree.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "base/err.h"
#include "fs/btrfs_id.h"
#include "fs/fsmap_btrfs_trees.h"
#include "fs/fsmap_kinds.h"

enum {
	SUPER_AT = 64 << 10,
	SUPER_SIZE = 4096,
	MIRROR_ROOM = 64 << 10, /* nothing else lies that near to a mirror */
	SEARCH_BYTES = 1 << 20,
	SUPER_WRITTEN = 1, /* the one flag of a superblock that is always there */
	/* Not: RAID, zones, the second version of the extent tree, simple quotas. */
	KNOWN_INCOMPAT =
		BTRFS_FEATURE_INCOMPAT_MIXED_BACKREF | BTRFS_FEATURE_INCOMPAT_DEFAULT_SUBVOL |
		BTRFS_FEATURE_INCOMPAT_MIXED_GROUPS | BTRFS_FEATURE_INCOMPAT_COMPRESS_LZO |
		BTRFS_FEATURE_INCOMPAT_COMPRESS_ZSTD | BTRFS_FEATURE_INCOMPAT_BIG_METADATA |
		BTRFS_FEATURE_INCOMPAT_EXTENDED_IREF | BTRFS_FEATURE_INCOMPAT_SKINNY_METADATA |
		BTRFS_FEATURE_INCOMPAT_NO_HOLES | BTRFS_FEATURE_INCOMPAT_METADATA_UUID,
	BLOCK_GROUP_TREE = 0x8, /* newer than Debian 12's headers */
	KNOWN_RO_COMPAT = BTRFS_FEATURE_COMPAT_RO_FREE_SPACE_TREE |
			  BTRFS_FEATURE_COMPAT_RO_FREE_SPACE_TREE_VALID |
			  BTRFS_FEATURE_COMPAT_RO_VERITY | BLOCK_GROUP_TREE,
};

static const uint64_t mirrors[] = {UINT64_C(64) << 20, UINT64_C(256) << 30};

struct btrfs {
	struct coffer_btrfs fs;
	struct coffer_btrfs_id id;
	struct coffer_fsmap *m;
	struct coffer_err *e;
};

static int no_memory(struct btrfs *b)
{
	return coffer_err_errno(b->e, ENOMEM, "read what is free");
}

/* --- the superblock --- */

/* Source of the offsets: btrfs' on-disk format in its documentation. */
static int check_super(struct btrfs *b, const uint8_t *s)
{
	const uint64_t flags = get_le64(s + 56);

	if (get_le64(s + 96) != 0)
		return coffer_err_set(b->e, EUCLEAN, "its log has not been replayed");
	/* errors, seed devices, copies without data, conversions that were not finished */
	if (flags != SUPER_WRITTEN)
		return coffer_err_set(b->e, EUCLEAN,
			"its superblock has flags that coffer does not know (%#" PRIx64 ")", flags);
	if (get_le64(s + 172) != 0 || (get_le64(s + 180) & ~(uint64_t)KNOWN_RO_COMPAT) != 0 ||
		(get_le64(s + 188) & ~(uint64_t)KNOWN_INCOMPAT) != 0)
		return coffer_err_set(
			b->e, EOPNOTSUPP, "it has a feature that coffer does not know");
	/* The device's own number is 0 while it replaces another one. */
	if (get_le64(s + 136) != 1 || get_le64(s + 201) == 0 ||
		get_le64(s + 112) != get_le64(s + 201 + 8))
		return coffer_err_set(b->e, EOPNOTSUPP, "it spans several devices");
	return 0;
}

static int read_super(struct coffer_dev *d, struct btrfs *b)
{
	_cleanup_free_ uint8_t *s = coffer_dev_buffer(SUPER_SIZE);
	int r;

	if (!s)
		return no_memory(b);
	r = coffer_dev_read(d, s, SUPER_SIZE, SUPER_AT, b->e);
	if (r == 0)
		r = check_super(b, s);
	if (r < 0)
		return r;
	b->id = coffer_btrfs_id_of(s);
	b->fs.device = b->id.device;
	b->fs.node = get_le32(s + 148);
	b->fs.group_tree = (get_le64(s + 180) & BLOCK_GROUP_TREE) != 0;
	memcpy(b->fs.fsid, b->id.fsid, sizeof(b->fs.fsid));
	return 0;
}

static int add_fixed(struct btrfs *b)
{
	struct coffer_fsmap *m = b->m;
	int r;

	r = coffer_ranges_add(&m->fixed, &m->n_fixed, 0, COFFER_BTRFS_FIRST_MIB, b->e);
	if (r == 0)
		r = coffer_fsmap_add_print(m, SUPER_AT, SUPER_AT + SUPER_SIZE, b->e);
	for (size_t i = 0; i < ARRAY_SIZE(mirrors) && r == 0; i++) {
		const uint64_t end = min_u64(mirrors[i] + MIRROR_ROOM, b->fs.end);

		r = coffer_ranges_add(&m->fixed, &m->n_fixed, mirrors[i], end, b->e);
		if (r == 0 && mirrors[i] + SUPER_SIZE <= b->fs.end)
			r = coffer_fsmap_add_print(m, mirrors[i], mirrors[i] + SUPER_SIZE, b->e);
	}
	return r;
}

/* --- the mount --- */

static int ask_search(const struct coffer_btrfs *b, struct btrfs_ioctl_search_args_v2 *args)
{
	return ioctl(b->root, BTRFS_IOC_TREE_SEARCH_V2, args);
}

static int ask_kernel(struct btrfs *b, const struct coffer_dev *d)
{
	/* Neither name of the option is known to all kernels. */
	static const char *const names[][2] = {{"rescue=nologreplay"}, {"nologreplay"}};
	_cleanup_hidden_mount_ struct coffer_hidden_mount h = COFFER_HIDDEN_MOUNT_NONE;
	int r = -EINVAL;

	for (size_t i = 0; i < ARRAY_SIZE(names) && r == -EINVAL; i++) {
		coffer_hidden_mount_close(&h);
		r = coffer_hidden_mount_open(d, "btrfs", names[i], &h, b->e);
	}
	if (r < 0)
		return r;
	r = coffer_btrfs_check_mount(&h, &b->id, b->e);
	if (r < 0)
		return r;
	b->fs.search = ask_search;
	b->fs.root = h.root;
	b->fs.answer_max = SEARCH_BYTES;
	return coffer_btrfs_read_trees(&b->fs, b->m, b->e);
}

int coffer_fsmap_btrfs(struct coffer_dev *d, const struct coffer_fs *fs, bool mount,
	struct coffer_fsmap *ret, struct coffer_err *e)
{
	struct btrfs b = {.fs = {.end = fs->end}, .m = ret, .e = e};
	int r;

	r = read_super(d, &b);
	if (r == 0)
		r = add_fixed(&b);
	if (r < 0)
		return r;
	if (!mount)
		return coffer_err_set(e, EPERM,
			"only the kernel can tell what is free in it, and only root may ask it");
	r = ask_kernel(&b, d);
	ret->source = "kernel";
	return r;
}
