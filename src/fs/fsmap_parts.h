/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fsmap_parts.h - the parts that fsmap.c puts together, for its files and scrub.c only */
#pragma once
#include <sys/types.h>

#include "fs/fsmap.h"

/* A range behind the others; one that touches the last one makes that longer. Empty ones are left
 * out. -ENOMEM with @e set. */
int coffer_ranges_add(
	struct coffer_range **items, size_t *n, uint64_t start, uint64_t end, struct coffer_err *e);
/* A range of the fingerprint, rounded to 512 bytes; what does not fit any more is left out. */
int coffer_fsmap_add_print(
	struct coffer_fsmap *m, uint64_t start, uint64_t end, struct coffer_err *e);
/* What both have; both ascend. */
int coffer_ranges_intersect(struct coffer_range **items, size_t *n, const struct coffer_range *with,
	size_t n_with, struct coffer_err *e);

/* fsmap_mount.c: a read-only mount of the device that no namespace sees, on a read-only loop
 * device. Nothing of either is left when it is closed, or when the process ends. */
struct coffer_hidden_mount {
	int loop;
	int root;      /* the filesystem's root folder */
	char path[32]; /* "/dev/loop0" */
	dev_t dev;     /* of the loop device */
	bool is_btrfs;
};
#define COFFER_HIDDEN_MOUNT_NONE ((struct coffer_hidden_mount){.loop = -1, .root = -1})

/* @options end with NULL. -EPERM: it cannot be done by this user or on this machine; else what the
 * kernel said to the filesystem. */
int coffer_hidden_mount_open(const struct coffer_dev *d, const char *type,
	const char *const *options, struct coffer_hidden_mount *ret, struct coffer_err *e);
void coffer_hidden_mount_close(struct coffer_hidden_mount *h);
#define _cleanup_hidden_mount_ _cleanup_(coffer_hidden_mount_close)

/* ": " and the last error that the filesystem's code has told through its @context, from which each
 * read gives a line such as "e xfs: ..."; "" when there is none. */
void coffer_mount_last_words(int context, char *ret, size_t size);

/* fsmap_kernel.c: what FS_IOC_GETFSMAP calls free, ascending. */
int coffer_fsmap_ask_kernel(const struct coffer_hidden_mount *h, uint64_t end,
	struct coffer_range **ret, size_t *ret_n, struct coffer_err *e);

/* fsmap_btrfs.c: which filesystem and which of its devices a superblock names. */
struct coffer_btrfs_id {
	uint8_t fsid[16];
	uint64_t device; /* number of this device */
	uint64_t total;	 /* bytes of the filesystem */
};
int coffer_btrfs_read_id(struct coffer_dev *d, struct coffer_btrfs_id *ret, struct coffer_err *e);
/* Of two devices with the same filesystem the kernel may give the one for the other: -EOPNOTSUPP.
 */
int coffer_btrfs_check_mount(const struct coffer_hidden_mount *h, const struct coffer_btrfs_id *id,
	struct coffer_err *e);

/* One function for each filesystem. */
int coffer_fsmap_ext(struct coffer_dev *d, const struct coffer_fs *fs, bool mount,
	struct coffer_fsmap *ret, struct coffer_err *e);
int coffer_fsmap_xfs(struct coffer_dev *d, const struct coffer_fs *fs, bool mount,
	struct coffer_fsmap *ret, struct coffer_err *e);
int coffer_fsmap_btrfs(struct coffer_dev *d, const struct coffer_fs *fs, bool mount,
	struct coffer_fsmap *ret, struct coffer_err *e);
