/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fs_check.h - run a filesystem's own checker on the plain filesystem of a disk */
#pragma once
#include "convert/session.h"
#include "fs/superblock.h"
#include "io/child.h"

/* Check the filesystem @fs at byte 0 of @d. 0: sound. -EBADMSG: damaged. -ENODATA: a device of a
 * test, which no checker can open. Others: it could not be checked. */
int coffer_fs_check(struct coffer_dev *d, const struct coffer_fs *fs,
	const struct coffer_stop *stop, struct coffer_err *e);

/* After an undo from an unverified copy, which may be incomplete or of an older conversion. The
 * checker finds damage: NEEDS_REPAIR. It finds none: the copy's superblock is erased, so that no
 * run takes it for a copy. @kept: what was overwritten is kept in the gap. */
int coffer_fs_check_undone(struct coffer_session *s, const struct coffer_geometry *g, bool kept,
	const struct coffer_stop *stop, struct coffer_err *e);
