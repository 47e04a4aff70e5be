/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* image.h - a finished header in a memfd, as the extents that a placement will write */
#pragma once
#include "base/secret.h"
#include "model/record.h"

/* Is the header in memfd @fd one that coffer would resume: a conversion of layout @g that stands at
 * its beginning, with a digest that @key confirms? What is found here is found before the device
 * is touched. -EBADMSG, -EKEYREJECTED, -EOPNOTSUPP. */
int coffer_image_check(int fd, const struct coffer_geometry *g, const struct coffer_secret *key,
	struct coffer_err *e);

/* Fill @rec's extents, image_size, image_hash, uuid, seqid and copy_size from the header in memfd
 * @fd, and read the extents' bytes: both header copies and the keyslots in use. The unused rest of
 * the keyslots area, which libcryptsetup filled with random bytes, is left out: zero on the disk.
 * *ret is owned by the caller. -EBADMSG: no whole header; -E2BIG: it does not fit the gap. */
int coffer_image_load(int fd, struct coffer_record *rec, uint8_t **ret, struct coffer_err *e);
