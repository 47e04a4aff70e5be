/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fsck.h - run a filesystem's own checker, such that it changes nothing */
#pragma once
#include <stddef.h>

#include "coffer/err.h"
#include "io/child.h"

/* The command that checks a filesystem of @type, as libblkid calls it: "e2fsck -f -n"; NULL: coffer
 * knows none. */
const char *coffer_fsck_command(const char *type);

/* Check the filesystem of @type on @path, a block device or image, and wait for the end of that.
 * 0: it is sound. -EBADMSG: it is not; @e has the first thing that the checker complains of.
 * -ENOENT: its checker is not installed; -EINTR: @stop wanted it; -EIO: the checker could not do
 * its work, or was killed. */
int coffer_fsck(
	const char *type, const char *path, const struct coffer_stop *stop, struct coffer_err *e);

/* The first line of a checker's output that is no routine, or else the last one, cut to fit.
 * @routine is a NULL-ended list of what lines of no interest begin with. */
void coffer_fsck_complaint(const char *output, const char *const *routine, char *ret, size_t size);
