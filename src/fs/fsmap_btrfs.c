/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fsmap_btrfs.c - btrfs: free is what is in no chunk, and what is in a chunk but in no extent
 *
 * btrfs has no FS_IOC_GETFSMAP. Its trees are read through a hidden mount with its own search call,
 * and fsmap_btrfs_trees.c interprets them. Fixed is what no tree mentions: the first MiB and the
 * superblock mirrors. The blocks of the log tree are in no tree either, so there must be no log.
 * Source of the offsets: the documentation of the btrfs on-disk format. */
#include <errno.h>
#include <inttypes.h>
#include <linux/btrfs_tree.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/bytes.h"
#include "base/err.h"
#include "fs/btrfs.h"
#include "fs/fsmap_btrfs_trees.h"
#include "fs/fsmap_kinds.h"

enum {
	MIRROR_SPACE = 64 << 10, /* btrfs allocates nothing else that near to a mirror */
	SEARCH_BYTES = 1 << 20,
	SUPER_WRITTEN = 1, /* the only flag that every superblock has */
	/* Not RAID, zones, the second version of the extent tree, simple quotas. */
	KNOWN_INCOMPAT =
		BTRFS_FEATURE_INCOMPAT_MIXED_BACKREF | BTRFS_FEATURE_INCOMPAT_DEFAULT_SUBVOL |
		BTRFS_FEATURE_INCOMPAT_MIXED_GROUPS | BTRFS_FEATURE_INCOMPAT_COMPRESS_LZO |
		BTRFS_FEATURE_INCOMPAT_COMPRESS_ZSTD | BTRFS_FEATURE_INCOMPAT_BIG_METADATA |
		BTRFS_FEATURE_INCOMPAT_EXTENDED_IREF | BTRFS_FEATURE_INCOMPAT_SKINNY_METADATA |
		BTRFS_FEATURE_INCOMPAT_NO_HOLES | BTRFS_FEATURE_INCOMPAT_METADATA_UUID,
	BLOCK_GROUP_TREE = 0x8, /* not in the headers of Debian 12 */
	KNOWN_RO_COMPAT = BTRFS_FEATURE_COMPAT_RO_FREE_SPACE_TREE |
			  BTRFS_FEATURE_COMPAT_RO_FREE_SPACE_TREE_VALID |
			  BTRFS_FEATURE_COMPAT_RO_VERITY | BLOCK_GROUP_TREE,
};

static const uint64_t mirrors[] = {UINT64_C(64) << 20, UINT64_C(256) << 30};

static int check_super(const uint8_t *s, struct coffer_err *e)
{
	const uint64_t flags = get_le64(s + 56);

	if (get_le64(s + 96) != 0)
		return coffer_err_set(e, EUCLEAN, "its log has not been replayed");
	/* errors, seed devices, copies without data, unfinished conversions */
	if (flags != SUPER_WRITTEN)
		return coffer_err_set(e, EUCLEAN,
			"its superblock has flags that coffer does not know (%#" PRIx64 ")", flags);
	if (get_le64(s + 172) != 0 || (get_le64(s + 180) & ~(uint64_t)KNOWN_RO_COMPAT) != 0 ||
		(get_le64(s + 188) & ~(uint64_t)KNOWN_INCOMPAT) != 0)
		return coffer_err_set(e, EOPNOTSUPP, "it has a feature that coffer does not know");
	/* The device number is 0 while the device replaces another one. */
	if (get_le64(s + 136) != 1 || get_le64(s + 201) == 0 ||
		get_le64(s + 112) != get_le64(s + 201 + 8))
		return coffer_err_set(e, EOPNOTSUPP, "it spans several devices");
	return 0;
}

static int add_fixed(struct coffer_fsmap *m, uint64_t fs_end, struct coffer_err *e)
{
	int r;

	r = coffer_fsmap_add_fixed(m, 0, COFFER_BTRFS_FIRST_MIB, e);
	if (r == 0)
		r = coffer_fsmap_add_print(m, COFFER_BTRFS_SUPER_AT,
			COFFER_BTRFS_SUPER_AT + COFFER_BTRFS_SUPER_SIZE, e);
	for (size_t i = 0; i < ARRAY_SIZE(mirrors) && r == 0; i++) {
		const uint64_t end = mirrors[i] + COFFER_BTRFS_SUPER_SIZE;

		r = coffer_fsmap_add_fixed(
			m, mirrors[i], min_u64(mirrors[i] + MIRROR_SPACE, fs_end), e);
		if (r == 0 && end <= fs_end)
			r = coffer_fsmap_add_print(m, mirrors[i], end, e);
	}
	return r;
}

static int ask_search(const struct coffer_btrfs *b, struct btrfs_ioctl_search_args_v2 *args)
{
	return ioctl(b->root, BTRFS_IOC_TREE_SEARCH_V2, args);
}

static int ask_kernel(const struct coffer_dev *d, const uint8_t *super, uint64_t end,
	struct coffer_fsmap *m, struct coffer_err *e)
{
	/* Each kernel knows only one of these options. */
	static const char *const options[][2] = {{"rescue=nologreplay"}, {"nologreplay"}};
	_cleanup_hidden_mount_ struct coffer_hidden_mount h = COFFER_HIDDEN_MOUNT_NONE;
	struct coffer_btrfs fs = {.end = end,
		.device = get_le64(super + 201),
		.node = get_le32(super + 148),
		.group_tree = (get_le64(super + 180) & BLOCK_GROUP_TREE) != 0,
		.search = ask_search,
		.answer_max = SEARCH_BYTES};
	int r = -EINVAL;

	for (size_t i = 0; i < ARRAY_SIZE(options) && r == -EINVAL; i++) {
		coffer_hidden_mount_close(&h);
		r = coffer_hidden_mount_open(d, "btrfs", options[i], &h, e);
	}
	if (r == 0)
		r = coffer_btrfs_check_mount(&h, super, e);
	if (r < 0)
		return r;
	fs.root = h.root;
	return coffer_btrfs_read_trees(&fs, m, e);
}

int coffer_fsmap_btrfs(struct coffer_dev *d, const struct coffer_fs *fs, bool mount,
	struct coffer_fsmap *ret, struct coffer_err *e)
{
	_cleanup_free_ uint8_t *super = NULL;
	int r;

	r = coffer_btrfs_read_super(d, &super, e);
	if (r == 0)
		r = check_super(super, e);
	if (r == 0)
		r = add_fixed(ret, fs->end, e);
	if (r < 0)
		return r;
	if (!mount)
		return coffer_fsmap_need_mount(e);
	ret->source = "kernel";
	return ask_kernel(d, super, fs->end, ret, e);
}
