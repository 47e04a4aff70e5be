/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fsck.h - run the checker of a filesystem, read-only */
#pragma once
#include <stddef.h>

#include "coffer/err.h"
#include "io/child.h"

/* The command that checks a filesystem of @type, a name of libblkid: "e2fsck -f -n"; NULL: none is
 * known. */
const char *coffer_fsck_command(const char *type);

/* Check the filesystem of @type on @path, a block device or image.
 * 0: no errors. -EBADMSG: errors; @e has the first message of the checker. -ENOENT: the checker is
 * not installed; -EINTR: @stop; -EIO: the checker failed, or was killed. */
int coffer_fsck(
	const char *type, const char *path, const struct coffer_stop *stop, struct coffer_err *e);

/* The first line of a checker's output that is not routine, else the last one, truncated to fit.
 * @routine is a NULL-ended list of prefixes of routine lines. */
void coffer_fsck_complaint(const char *output, const char *const *routine, char *ret, size_t size);
