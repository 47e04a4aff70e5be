/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* volume.h - read a volume through its key, finished or at any stage of a conversion */
#pragma once
#include "base/crypto.h"
#include "base/secret.h"
#include "convert/mapping.h"
#include "fs/superblock.h"
#include "io/dev.h"

struct coffer_volume {
	struct coffer_dev *dev; /* borrowed */
	struct coffer_mapping map;
	struct coffer_xts *xts;
};

/* @key is borrowed for this call only. -EINVAL: its size is not that of a key of the cipher. */
int coffer_volume_open(struct coffer_dev *d, const struct coffer_mapping *m,
	const struct coffer_secret *key, struct coffer_volume *ret, struct coffer_err *e);
void coffer_volume_close(struct coffer_volume *v); /* a zeroed one is fine */
#define _cleanup_volume_ _cleanup_(coffer_volume_close)

/* Bytes [x, x + n) of the volume, both multiples of its sector size. @buf suits direct I/O.
 * One thread at a time. -EINVAL beyond the volume's end. */
int coffer_volume_read(
	struct coffer_volume *v, uint64_t x, uint8_t *buf, size_t n, struct coffer_err *e);

/* The filesystem in it, from its superblock; kind NONE when none is known. -EUCLEAN: its superblock
 * makes no sense. */
int coffer_volume_fs(struct coffer_volume *v, struct coffer_fs *ret, struct coffer_err *e);
