/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* header_read.h - both header copies as they lie on a disk, of one moment */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "coffer/err.h"
#include "io/dev.h"
#include "luks2/copy_check.h"

struct coffer_header_copies {
	struct coffer_luks2_copy copy[2];
	uint8_t *data[2]; /* a block at least, zeros where the device has no bytes */
	size_t n[2];	  /* bytes of the copy that the device has: for coffer_luks2_copy_judge */
	bool unlocked;	  /* read without the metadata lock: this user has no access to it */
};

/* Read both, under a lock of the caller's, and ask libcryptsetup about each that is whole. The
 * second one lies where a first one says that libcryptsetup accepts. Without such a first one it
 * may lie at any of nine places, since the size in a torn one may be what is torn: then an accepted
 * copy of the same volume is preferred, then the one that says most. -errno of reads and of the
 * helper.
 * @ret is reset by the caller, on failure too. */
int coffer_header_copies_read(
	struct coffer_dev *d, struct coffer_header_copies *ret, struct coffer_err *e);

/* The same from the disk and not from a cache, under the metadata lock where that can be had, and
 * else of one moment. -EBUSY: they change again and again. */
int coffer_header_copies_read_locked(
	struct coffer_dev *d, struct coffer_header_copies *ret, struct coffer_err *e);
void coffer_header_copies_reset(struct coffer_header_copies *l);
