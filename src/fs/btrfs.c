/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* btrfs.c - btrfs: its free space, and a scrub of the start of it
 *
 * Free is what is in no chunk, and what is in a chunk but in no extent. btrfs has no
 * FS_IOC_GETFSMAP: its trees are read through a hidden mount with its own search call, and
 * fsmap_btrfs_trees.c interprets them. Fixed is what no tree mentions: the first MiB and the
 * superblock mirrors. The blocks of the log tree are in no tree either, so there must be no log.
 * Source of the offsets: the documentation of the btrfs on-disk format. */
#include "fs/btrfs.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/btrfs_tree.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "base/err.h"
#include "fs/fsmap_btrfs_trees.h"
#include "fs/fsmap_kinds.h"

enum {
	SUPER_AT = 64 << 10,
	SUPER_SIZE = 4096,
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

static int read_super(struct coffer_dev *d, uint8_t **ret, struct coffer_err *e)
{
	_cleanup_free_ uint8_t *s = coffer_dev_buffer(SUPER_SIZE);
	int r;

	if (!s)
		return coffer_err_errno(e, ENOMEM, "read its superblock");
	r = coffer_dev_read(d, s, SUPER_SIZE, SUPER_AT, e);
	if (r == 0)
		*ret = TAKE_PTR(s);
	return r;
}

/* Of two devices with the same filesystem the kernel may mount one in place of the other.
 * -EOPNOTSUPP: @h is not the filesystem with the superblock @s. */
static int check_mount(const struct coffer_hidden_mount *h, const uint8_t *s, struct coffer_err *e)
{
	struct btrfs_ioctl_fs_info_args fs = {0};
	struct btrfs_ioctl_dev_info_args dev = {.devid = get_le64(s + 201)};
	struct stat st;

	if (ioctl(h->root, BTRFS_IOC_FS_INFO, &fs) < 0 ||
		ioctl(h->root, BTRFS_IOC_DEV_INFO, &dev) < 0)
		return coffer_err_errno(e, errno, "ask the kernel which btrfs it has mounted");
	dev.path[sizeof(dev.path) - 1] = '\0';
	if (fs.num_devices != 1 || memcmp(fs.fsid, s + 32, sizeof(fs.fsid)) != 0 ||
		dev.total_bytes != get_le64(s + 112) || stat((const char *)dev.path, &st) < 0 ||
		!S_ISBLK(st.st_mode) || st.st_rdev != h->dev)
		return coffer_err_set(
			e, EOPNOTSUPP, "the kernel knows a second device with the same filesystem");
	return 0;
}

static int check_super(const uint8_t *s, struct coffer_err *e)
{
	const uint64_t flags = get_le64(s + 56);

	if (get_le64(s + 96) != 0)
		return coffer_err_set(e, EUCLEAN,
			"its log has not been replayed (mount and unmount the filesystem first)");
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

	r = coffer_ranges_add(&m->fixed, 0, COFFER_BTRFS_FIRST_MIB, e);
	if (r == 0)
		r = coffer_fsmap_add_print(m, SUPER_AT, SUPER_AT + SUPER_SIZE, e);
	for (size_t i = 0; i < ARRAY_SIZE(mirrors) && r == 0; i++) {
		const uint64_t end = mirrors[i] + SUPER_SIZE;

		r = coffer_ranges_add(
			&m->fixed, mirrors[i], min_u64(mirrors[i] + MIRROR_SPACE, fs_end), e);
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
		r = check_mount(&h, super, e);
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

	r = read_super(d, &super, e);
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

/* --- scrub --- */

int coffer_btrfs_scrub(struct coffer_dev *d, uint64_t end, struct coffer_err *e)
{
	static const char *const no_options[] = {NULL};
	_cleanup_hidden_mount_ struct coffer_hidden_mount h = COFFER_HIDDEN_MOUNT_NONE;
	struct btrfs_ioctl_scrub_args args = {.end = end, .flags = BTRFS_SCRUB_READONLY};
	const struct btrfs_scrub_progress *p = &args.progress;
	_cleanup_free_ uint8_t *super = NULL;
	uint64_t bad;
	int r;

	r = read_super(d, &super, e);
	if (r == 0)
		r = coffer_hidden_mount_open(d, "btrfs", no_options, &h, e);
	if (r == 0)
		r = check_mount(&h, super, e);
	if (r < 0)
		return r;
	args.devid = get_le64(super + 201);
	if (ioctl(h.root, BTRFS_IOC_SCRUB, &args) < 0)
		return coffer_err_errno(e, errno, "scrub the btrfs");
	bad = p->csum_errors + p->verify_errors + p->read_errors + p->super_errors;
	if (bad > 0)
		return coffer_err_set(e, EBADMSG,
			"%" PRIu64 " blocks before byte %" PRIu64 " do not match their checksums",
			bad, end);
	return 0;
}
