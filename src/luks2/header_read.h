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
	size_t n[2]; /* bytes of the copy that the device has, as coffer_luks2_copy_judge wants it
		      */
	uint8_t *block_0; /* that of the device; borrowed from data */
	bool unlocked;	  /* read without the metadata lock: this user has no access to it */
};

/* Read both, from the disk and not from a cache, under the metadata lock where that can be had. The
 * second one lies where a whole first one says; without a whole one it is looked for at every place
 * where one may be. Not judged by their metadata. -EBUSY: they change again and again. */
int coffer_header_copies(
	struct coffer_dev *d, struct coffer_header_copies *ret, struct coffer_err *e);
void coffer_header_copies_reset(struct coffer_header_copies *l);
