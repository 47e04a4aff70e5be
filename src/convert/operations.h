/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* operations.h - what a session does to a disk: encrypt, abort, convert, finalize, check */
#pragma once
#include "convert/session.h"
#include "fs/superblock.h"

/* What coffer_encrypt does: all operations until nothing is left to do. And coffer_abort. */
int coffer_encrypt_run(struct coffer_session *s, struct coffer_err *e);
int coffer_abort_run(struct coffer_session *s, struct coffer_err *e);

/* Convert from the header's pointer down to 0 (CONVERT). The session has the key. 0: pointer 0 is
 * committed. The disk is resumable at every instant. */
int coffer_convert(struct coffer_session *s, struct coffer_err *e);
/* Wipe the moved-segment copy and write the final header (FINALIZE). */
int coffer_convert_finalize(struct coffer_session *s, struct coffer_err *e);
/* Write the final header to its torn or late copy, too (SYNC_FINAL). -ESTALE: another program has
 * changed the header meanwhile; nothing was written. */
int coffer_convert_sync(struct coffer_session *s, struct coffer_err *e);

/* Check the filesystem @fs at byte 0 of @d. 0: sound. -EBADMSG: damaged. -ENODATA: a device of a
 * test, which no checker can open. Others: it could not be checked. */
int coffer_fs_check(struct coffer_dev *d, const struct coffer_fs *fs,
	const struct coffer_stop *stop, struct coffer_err *e);

/* coffer_place_undo_stock, then the checker: the copy may be incomplete or of an older conversion.
 * The checker finds damage: NEEDS_REPAIR. It finds none: the copy's superblock is erased, so that
 * no run takes it for a copy. */
int coffer_fs_undo_stock(
	struct coffer_session *s, const struct coffer_geometry *layout, struct coffer_err *e);
