/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* image.h - a finished header in a memfd, as the extents that a placement will write */
#pragma once
#include "base/json.h"
#include "base/secret.h"
#include "convert/record.h"
#include "luks2/header.h"

/* Would coffer resume the header in memfd @fd: a conversion of layout @g at its beginning, with a
 * digest that matches @key? -EBADMSG, -EKEYREJECTED, -EOPNOTSUPP. */
int coffer_image_check(int fd, const struct coffer_geometry *g, const struct coffer_secret *key,
	struct coffer_err *e);

/* Fill @rec's extents, image_size, image_hash, uuid, seqid and copy_size from the header in memfd
 * @fd, and read the extents: both header copies, the keyslots in use, and the used map. All else
 * becomes zero on the disk. The caller frees *ret. -EBADMSG: no intact header; -E2BIG: it does not
 * fit the gap. */
int coffer_image_load(int fd, struct coffer_record *rec, uint8_t **ret, struct coffer_err *e);

/* Did coffer place the header @h that is on the disk? Then its moved-segment copy is complete.
 * coffer writes zeros wherever no keyslot and no used map is, libcryptsetup random bytes. */
int coffer_image_is_placed(struct coffer_dev *d, const struct coffer_header *h,
	const struct coffer_geometry *g, bool *ret, struct coffer_err *e);

/* Where a used map can lie in the header in memfd @fd of layout @g: *ret_space bytes from byte
 * *ret_at on, so that it ends before S and the image still fits. And the header's UUID. */
int coffer_image_space(int fd, const struct coffer_geometry *g, char uuid[41], uint64_t *ret_at,
	uint64_t *ret_space, struct coffer_err *e);

/* Where the used map lies in a header with copies of @copy_size bytes and the metadata @json.
 * -EBADMSG: the keyslots area does not end before @shift. */
int coffer_used_map_place(
	struct json_object *json, uint64_t copy_size, uint64_t shift, uint64_t *ret);
