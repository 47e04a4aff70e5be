/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* header_read.h - read both header copies of a disk as of one moment */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "io/dev.h"
#include "luks2/copy.h"

/* Both copies as they are on the disk. */
struct coffer_header_copies {
	struct coffer_luks2_copy copy[2];
	uint8_t *data[2]; /* a block at least; zeros beyond the end of the device */
	bool unlocked;	  /* read without the metadata lock, to which this user has no access */
};

/* Read both from the disk instead of a cache, under the metadata lock, and let libcryptsetup judge
 * each that is intact. Without access to the lock they are read until two reads agree. The second
 * one begins where an accepted first one ends. Without such a first one it may be at any of nine
 * offsets, since the size in a torn one may be wrong: an accepted copy of the same volume is
 * preferred, then the best of the others. -EBUSY: they keep changing; or -errno of reads and of the
 * helper. */
int coffer_header_copies_read(
	struct coffer_dev *d, struct coffer_header_copies *ret, struct coffer_err *e);
/* One reading, under a lock of the caller; the caller resets @ret, on failure too. */
int coffer_header_copies_read_once(
	struct coffer_dev *d, struct coffer_header_copies *ret, struct coffer_err *e);
void coffer_header_copies_reset(struct coffer_header_copies *l);
#define _cleanup_header_copies_ _cleanup_(coffer_header_copies_reset)
