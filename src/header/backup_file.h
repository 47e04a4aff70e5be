/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* backup_file.h - a backup of a LUKS2 header as a file: the header's image, and a trailer behind it
 *
 * The image is what 'cryptsetup luksHeaderBackup' writes, so that stock tools read and restore the
 * file; the trailer is what they leave out: a checksum over all of it, and where it came from.
 * docs/on-disk-format.md has the format. All numbers are big-endian. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/crypto.h"
#include "base/json.h"
#include "coffer/err.h"
#include "convert/conversion.h"
#include "luks2/keyslots.h"

#define COFFER_TRAILER_SIZE 4096u
/* Two header copies and a keyslots area, each as large as LUKS2 allows. */
#define COFFER_MAX_HEADER_IMAGE ((UINT64_C(2) * 4 + 128) << 20)

/* Where one keyslot lies; offsets are those on the device, and in an image. */
struct coffer_area {
	unsigned int slot;
	uint64_t offset, size; /* multiples of 4096 */
	bool reencrypt;	       /* of no key, but of a reencryption under way */
	bool plain;	       /* ... which may keep content of the volume there */
};

struct coffer_areas {
	struct coffer_area a[COFFER_MAX_KEYSLOTS];
	size_t n;
};

/* The areas that the metadata @json name. -EBADMSG: they make no sense, overlap, or lie outside of
 * [@from, @to). */
int coffer_areas_read(
	struct json_object *json, uint64_t from, uint64_t to, struct coffer_areas *ret);

/* Does [offset, offset + size) touch one of them? */
bool coffer_areas_touch(const struct coffer_areas *l, uint64_t offset, uint64_t size);

/* Bytes of both header copies and the keyslots area. -EBADMSG: impossible. */
int coffer_image_size(struct json_object *json, uint64_t copy_size, uint64_t *ret);

/* Where the data of the volume begin; 0 also where that cannot be told. */
uint64_t coffer_data_offset(struct json_object *json);

struct coffer_trailer {
	enum coffer_luks2_kind kind; /* was a conversion under way? */
	uint64_t pointer;	     /* of one that coffer can resume, else 0 */
	uint64_t image_size;
	uint64_t seqid;
	uint64_t copy_size;
	uint64_t device_size;
	uint64_t data_offset;
	uint64_t date; /* seconds since 1970, UTC */
	char uuid[41];
	uint8_t image_hash[COFFER_SHA256_SIZE];
	/* For people; "" where it is not known. Cut to fit, and always ended. */
	char version[32];  /* of coffer */
	char device[256];  /* as it was named */
	char partuuid[64]; /* of the partition */
	char id[256];	   /* name of the device in /dev/disk/by-id, which has the serial number */
};

/* -ENOMEM, -EIO when libcrypto fails. */
int coffer_trailer_encode(const struct coffer_trailer *t, uint8_t block[COFFER_TRAILER_SIZE]);
/* -ENODATA: no trailer; -EOPNOTSUPP: of another version; -EBADMSG: damaged; -ENOMEM, -EIO
 * (libcrypto). */
int coffer_trailer_decode(const uint8_t block[COFFER_TRAILER_SIZE], struct coffer_trailer *ret);

struct coffer_backup {
	const uint8_t *image;	       /* borrowed: a part of the file */
	bool sealed;		       /* it has a trailer, and all of it is as it was written */
	struct coffer_trailer trailer; /* without one, what the header tells */
	struct json_object *json;
	struct coffer_areas areas;
	struct coffer_conversion conversion; /* of kind CONVERTING */
};

/* Judge a file of @n bytes at @file. Whatever is in it, what comes back is whole and consistent:
 * both copies, their metadata, and the places of the keyslots.
 * -EBADMSG: it is damaged; -ENODATA: it is no backup; -EOPNOTSUPP: it needs a newer coffer. */
int coffer_backup_read(
	const uint8_t *file, uint64_t n, struct coffer_backup *ret, struct coffer_err *e);
void coffer_backup_reset(struct coffer_backup *b);

/* Zeros over what of @image lies in no keyslot: old key material among it would outlive the
 * removal of its key. Also over the area of a reencryption that may hold content. */
void coffer_image_clean(
	uint8_t *image, uint64_t size, uint64_t copy_size, const struct coffer_areas *areas);
