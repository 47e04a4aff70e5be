/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fsmap_xfs.c - xfs: free space from the kernel, log and superblock copies from the superblock
 *
 * The kernel also checks that the log is clean: without "norecovery" it reads the log, and refuses
 * a read-only device if there is something to replay.
 * Source of the offsets: the kernel's documentation of the xfs structures on disk. */
#include <errno.h>
#include <inttypes.h>

#include "base/bytes.h"
#include "base/err.h"
#include "fs/fsmap_kinds.h"

enum {
	VERSION_MASK = 0xf,
	/* ftype, sparse inodes, meta uuid, bigtime, nrext64, exchange range, parent pointers; not
	 * "needs repair", metadata directory, zones */
	KNOWN_INCOMPAT = 0xef,
	KNOWN_RO_COMPAT = 0xf, /* free inode tree, reverse map, reflinks, inode tree counters */
	MAX_AGS = 1 << 20
};

struct xfs {
	uint64_t block, sector, group; /* bytes */
	uint32_t groups;
	uint64_t log, log_end; /* bytes */
	uint16_t quota;
	uint64_t end;
};

static int check_features(const uint8_t *sb, struct coffer_err *e)
{
	const unsigned int version = get_be16(sb + 100) & VERSION_MASK;

	/* Version 4 has no checksums, and new kernels no longer support it. */
	if (version != 5)
		return coffer_err_set(
			e, EOPNOTSUPP, "it has version %u; only version 5 is supported", version);
	if (sb[126] != 0)
		return coffer_err_set(e, EUCLEAN, "mkfs was not finished");
	if ((get_be32(sb + 216) & 0x10) != 0)
		return coffer_err_set(e, EUCLEAN, "it needs a repair");
	/* A read-only mount does not check the second field, and no feature of the third outlives a
	 * clean unmount. */
	if ((get_be32(sb + 216) & ~(uint32_t)KNOWN_INCOMPAT) != 0 ||
		(get_be32(sb + 212) & ~(uint32_t)KNOWN_RO_COMPAT) != 0 || get_be32(sb + 220) != 0)
		return coffer_err_set(e, EOPNOTSUPP, "it has a feature that coffer does not know");
	return 0;
}

/* A block number: the allocation group, then the block in it in @groups_log bits. */
static bool find_log(const uint8_t *sb, struct xfs *x)
{
	const uint64_t start = get_be64(sb + 48);
	const unsigned int groups_log = sb[124];
	uint64_t last;

	if (x->group == 0 || x->groups == 0 || x->groups > MAX_AGS || groups_log > 31 ||
		start == 0 || (start >> groups_log) >= x->groups)
		return false;
	return mul_u64(start >> groups_log, x->group, &x->log) &&
	       add_u64(x->log, (start & ((UINT64_C(1) << groups_log) - 1)) * x->block, &x->log) &&
	       add_u64(x->log, get_be32(sb + 96) * x->block, &x->log_end) && x->log_end <= x->end &&
	       mul_u64(x->groups - 1, x->group, &last) && last < x->end;
}

static int read_super(struct coffer_dev *d, struct xfs *x, struct coffer_err *e)
{
	_cleanup_free_ uint8_t *sb = coffer_dev_buffer(COFFER_BLOCK);
	int r;

	if (!sb)
		return coffer_err_errno(e, ENOMEM, "read the xfs superblock");
	r = coffer_dev_read(d, sb, COFFER_BLOCK, 0, e);
	if (r == 0)
		r = check_features(sb, e);
	if (r < 0)
		return r;
	x->block = get_be32(sb + 4);
	x->sector = get_be16(sb + 102);
	x->group = get_be32(sb + 84) * x->block;
	x->groups = get_be32(sb + 88);
	x->quota = get_be16(sb + 176);
	if (!find_log(sb, x))
		return coffer_err_set(e, EUCLEAN, "its superblock is invalid");
	return 0;
}

/* The kernel refuses a read-only device if the mount would switch quotas on or off. */
static void quota_options(uint16_t flags, const char **ret)
{
	static const struct {
		uint16_t on, enforced;
		const char *hard, *soft;
	} kinds[] = {
		{0x1, 0x2, "uquota", "uqnoenforce"},
		{0x40, 0x80, "gquota", "gqnoenforce"},
		{0x8, 0x200, "pquota", "pqnoenforce"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (flags & kinds[i].on)
			*ret++ = flags & kinds[i].enforced ? kinds[i].hard : kinds[i].soft;
	*ret = NULL;
}

static int add_fixed(const struct xfs *x, struct coffer_fsmap *m, struct coffer_err *e)
{
	int r;

	r = coffer_fsmap_add_print(m, 0, 4 * x->sector, e);
	if (r == 0)
		r = coffer_fsmap_add_print(m, x->log, x->log_end, e);
	if (r == 0)
		r = coffer_ranges_add(&m->fixed, x->log, x->log_end, e);
	/* Each group begins with a superblock and three headers, a sector each. They belong to the
	 * fingerprint: the kernel logs all that it changes, but xfs_repair moves the trees of free
	 * space to other blocks and changes only these headers. */
	for (uint64_t i = 0; i < x->groups && r == 0; i++) {
		const uint64_t at = i * x->group;

		r = coffer_ranges_add(&m->fixed, at, at + 4 * x->sector, e);
		if (r == 0 && i > 0)
			r = coffer_fsmap_add_print(m, at, at + 4 * x->sector, e);
	}
	return r;
}

int coffer_fsmap_xfs(struct coffer_dev *d, const struct coffer_fs *fs, bool mount,
	struct coffer_fsmap *ret, struct coffer_err *e)
{
	_cleanup_hidden_mount_ struct coffer_hidden_mount h = COFFER_HIDDEN_MOUNT_NONE;
	const char *options[5] = {"nouuid"};
	struct xfs x = {.end = fs->end};
	int r;

	r = read_super(d, &x, e);
	if (r == 0)
		r = add_fixed(&x, ret, e);
	if (r < 0)
		return r;
	if (!mount)
		return coffer_fsmap_need_mount(e);
	quota_options(x.quota, options + 1);
	ret->source = "kernel";
	r = coffer_hidden_mount_open(d, "xfs", options, &h, e);
	if (r == 0)
		r = coffer_fsmap_ask_kernel(&h, fs->end, &ret->free, e);
	if (r == -EROFS)
		return coffer_err_set(e, EUCLEAN,
			"its log has not been replayed (mount and unmount the filesystem first)");
	if (r == -EBADMSG) /* xfs finds a wrong checksum */
		return coffer_err_set(e, EUCLEAN, "the kernel finds it damaged");
	return r;
}
