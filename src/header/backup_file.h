/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* backup_file.h - a backup file: an image of the header, as 'cryptsetup luksHeaderBackup' writes
 * it, and a trailer
 *
 * docs/on-disk-format.md has the format. Numbers are big-endian. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/crypto.h"
#include "base/json.h"
#include "coffer/backup.h"
#include "coffer/err.h"
#include "luks2/keyslots.h"

#define COFFER_TRAILER_SIZE 4096u
/* Two header copies and a keyslots area, each as large as LUKS2 allows. */
#define COFFER_MAX_HEADER_IMAGE ((UINT64_C(2) * 4 + 128) << 20)

/* The area of one keyslot; the offset is the same on the device and in an image. */
struct coffer_area {
	unsigned int slot;
	uint64_t offset, size; /* multiples of 4096 */
	bool reencrypt;	       /* of a reencryption: it holds no key */
	bool plain;	       /* ... but perhaps content of the volume */
};

struct coffer_areas {
	struct coffer_area a[COFFER_MAX_KEYSLOTS];
	size_t n;
};

/* Read the areas in the metadata @json. -EBADMSG: they are invalid, overlap, or lie outside
 * [@from, @to). */
int coffer_areas_read(
	struct json_object *json, uint64_t from, uint64_t to, struct coffer_areas *ret);

/* Does [offset, offset + size) touch one of them? */
bool coffer_areas_touch(const struct coffer_areas *l, uint64_t offset, uint64_t size);

/* Where the data of the volume begin; 0: elsewhere, or unknown. */
uint64_t coffer_data_offset(struct json_object *json);

/* Set conversion, pointer and data_offset of @ret. -EBADMSG: the metadata contradict themselves. */
int coffer_backup_read_conversion(
	struct json_object *json, struct coffer_backup_info *ret, struct coffer_err *e);

struct coffer_trailer {
	struct coffer_backup_info info; /* texts that do not fit are truncated */
	uint64_t copy_size;
	uint8_t image_hash[COFFER_SHA256_SIZE];
};

/* -ENOMEM, -EIO (libcrypto). */
int coffer_trailer_encode(const struct coffer_trailer *t, uint8_t block[COFFER_TRAILER_SIZE]);
/* -ENODATA: no trailer; -EOPNOTSUPP: of another version; -EBADMSG: damaged; -ENOMEM, -EIO
 * (libcrypto). */
int coffer_trailer_decode(const uint8_t block[COFFER_TRAILER_SIZE], struct coffer_trailer *ret);

struct coffer_backup {
	const uint8_t *image; /* borrowed: a part of the file */
	struct coffer_backup_info info;
	uint64_t copy_size;
	struct json_object *json;
	struct coffer_areas areas;
};

/* Check a file of @n bytes at @file. Nothing in it is trusted; what is returned is intact and
 * consistent: both copies, their metadata, and the places of the keyslots.
 * -EBADMSG: it is damaged; -ENODATA: it is not a backup; -EOPNOTSUPP: it needs a newer coffer. */
int coffer_backup_read(
	const uint8_t *file, uint64_t n, struct coffer_backup *ret, struct coffer_err *e);
void coffer_backup_reset(struct coffer_backup *b);

/* Write zeros over everything in @image that is not in a keyslot: old key material there would
 * outlive the removal of its key. Also over the area of a reencryption that may hold content. */
void coffer_image_clean(
	uint8_t *image, uint64_t size, uint64_t copy_size, const struct coffer_areas *areas);
