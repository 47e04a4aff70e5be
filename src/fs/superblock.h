/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* superblock.h - read the size of a filesystem from its superblock
 *
 * libblkid 2.38 reports the kind of a filesystem but not its size. Consistency is not checked here.
 * Sources: the kernel's documentation of ext4 and xfs, the btrfs on-disk format. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "coffer/err.h"

enum coffer_fs_kind {
	COFFER_FS_NONE,
	COFFER_FS_EXT, /* ext2, ext3, ext4 */
	COFFER_FS_XFS,
	COFFER_FS_BTRFS,
	COFFER_N_FS_KINDS,
};
const char *coffer_fs_name(enum coffer_fs_kind k);

struct coffer_fs {
	enum coffer_fs_kind kind;
	uint64_t end;  /* bytes from the start of the device that belong to the filesystem */
	uint64_t used; /* bytes in use by its own count; 0: unknown. An estimate: it may be stale,
			* and btrfs counts duplicated blocks once */
	uint32_t block_size; /* smallest unit the filesystem reads or writes, in bytes */
	uint8_t uuid[16];
	uint32_t super;	     /* byte offset of the superblock */
	uint32_t super_size; /* bytes of it that change when the filesystem is used */
	uint64_t mirror;     /* a superblock copy is where the superblock would be if the filesystem
			      * began at this byte; 0: none */
	bool spare;	     /* this superblock is such a copy */
	const char *other_part; /* the part of it that is on another device; NULL: none */
};

/* What coffer_superblock_read needs: up to the superblock of btrfs. */
#define COFFER_SUPERBLOCK_BYTES (65536u + 4096u)

/* Find a superblock in the first @n bytes of the plain filesystem.
 * 0 and kind NONE when there is none; -EUCLEAN when it is invalid. */
int coffer_superblock_read(
	const uint8_t *start, size_t n, struct coffer_fs *ret, struct coffer_err *e);
