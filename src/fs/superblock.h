/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* superblock.h - where a filesystem ends, read from its superblock
 *
 * libblkid 2.38 tells a filesystem's kind but not its end, so this small reader is coffer's own.
 * It judges nothing else: whether the filesystem is sound is its checker's business.
 * Sources: the kernel's documentation of ext4's and xfs' superblocks, btrfs' on-disk format. */
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
	uint64_t end;  /* bytes from the device's start that belong to the filesystem */
	uint64_t used; /* bytes of it that are in use by its own count; 0: not known. A figure to
			* estimate by: it may be stale, and btrfs counts doubled blocks once */
	uint32_t block_size; /* smallest unit the filesystem reads or writes, in bytes */
	uint8_t uuid[16];
	uint32_t super;	     /* byte offset of the superblock */
	uint32_t super_size; /* bytes of it that change when the filesystem is used */
	uint64_t mirror; /* a copy of the superblock lies where it would if the filesystem began at
			  * this byte; 0: there is none */
	bool spare;	 /* this superblock says of itself that it is such a copy */
	const char *other_part; /* a part of it lives on another device: which; NULL: none */
};

/* Bytes from the start of the device that the reader needs: up to btrfs' superblock. */
#define COFFER_FS_HEAD (65536u + 4096u)

/* Look for a superblock in the first @n bytes of the plain filesystem.
 * 0 and kind NONE when there is none; -EUCLEAN when one is there but makes no sense. */
int coffer_superblock_read(
	const uint8_t *head, size_t n, struct coffer_fs *ret, struct coffer_err *e);
