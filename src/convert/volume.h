/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* volume.h - read a volume through its key, finished or at any stage of a conversion */
#pragma once
#include "base/crypto.h"
#include "base/secret.h"
#include "convert/conversion.h"
#include "fs/superblock.h"
#include "io/dev.h"

/* Where each byte of a volume lies, and whether it is encrypted there (mapping.c): the same as the
 * table that dm-crypt and dm-linear would get. Of a finished volume one stretch, of a conversion
 * under way three at most. All values are bytes. */
struct coffer_stretch {
	uint64_t start;	 /* within the volume */
	uint64_t length; /* never 0 */
	uint64_t offset; /* on the device */
	bool crypt;
	uint64_t tweak; /* of its first byte, counted in bytes */
};

struct coffer_mapping {
	uint64_t size; /* of the volume; the stretches cover it, in order */
	uint32_t sector_size;
	unsigned int n;
	struct coffer_stretch s[3];
};

/* Of the conversion @c, on a device that has @device bytes now (D or more).
 * Where stock was interrupted inside a step, the step's source is still intact, so the bytes from
 * before it are the right ones. At pointer 0 the volume ends with the device, as a finished one. */
void coffer_mapping_converting(
	const struct coffer_conversion *c, uint64_t device, struct coffer_mapping *ret);

/* Of the finished volume that the metadata @json describes, on a device of @device bytes.
 * -EOPNOTSUPP: coffer does not read its encryption (@e has the reason); -EBADMSG: its segments make
 * no sense; -ENOSPC: they reach beyond the device's end. */
int coffer_mapping_finished(struct json_object *json, uint64_t device, struct coffer_mapping *ret,
	struct coffer_err *e);

struct coffer_volume {
	struct coffer_dev *dev; /* borrowed */
	struct coffer_mapping map;
	struct coffer_xts *xts;
};

/* @key is borrowed for this call only. -EINVAL: its size is not that of a key of the cipher. */
int coffer_volume_open(struct coffer_dev *d, const struct coffer_mapping *m,
	const struct coffer_secret *key, struct coffer_volume *ret, struct coffer_err *e);
/* The first @size bytes of @d, while nothing of them is moved or encrypted; nothing to close. */
struct coffer_volume coffer_volume_plain(struct coffer_dev *d, uint64_t size);
void coffer_volume_close(struct coffer_volume *v); /* a zeroed one is fine */
#define _cleanup_volume_ _cleanup_(coffer_volume_close)

/* Bytes [x, x + n) of the volume, both multiples of its sector size. @buf suits direct I/O.
 * One thread at a time. -EINVAL beyond the volume's end. */
int coffer_volume_read(
	struct coffer_volume *v, uint64_t x, uint8_t *buf, size_t n, struct coffer_err *e);

/* The filesystem in it, from its superblock; kind NONE when none is known. -EUCLEAN: its superblock
 * makes no sense. */
int coffer_volume_fs(struct coffer_volume *v, struct coffer_fs *ret, struct coffer_err *e);
