/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* header_read.h - read both header copies of a disk as of one moment */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "coffer/err.h"
#include "io/dev.h"
#include "luks2/copy.h"

struct coffer_header_copies {
	struct coffer_luks2_copy copy[2];
	uint8_t *data[2]; /* a block at least; zeros beyond the end of the device */
	size_t n[2];	  /* bytes of the copy that the device has: for coffer_luks2_copy_judge */
	bool unlocked;	  /* read without the metadata lock, to which this user has no access */
};

/* Read both, under a lock of the caller, and let libcryptsetup judge each that is whole. The second
 * one begins where an accepted first one ends. Without such a first one it may be at any of nine
 * offsets, since the size in a torn one may be wrong: an accepted copy of the same volume is
 * preferred, then the best of the others. -errno of reads and of the helper.
 * The caller resets @ret, on failure too. */
int coffer_header_copies_read(
	struct coffer_dev *d, struct coffer_header_copies *ret, struct coffer_err *e);

/* The same from the disk instead of a cache, under the metadata lock. Without access to the lock
 * they are read until two reads agree. -EBUSY: they keep changing. */
int coffer_header_copies_read_locked(
	struct coffer_dev *d, struct coffer_header_copies *ret, struct coffer_err *e);
void coffer_header_copies_reset(struct coffer_header_copies *l);
#define _cleanup_header_copies_ _cleanup_(coffer_header_copies_reset)
