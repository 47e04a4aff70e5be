/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* busy.h - refusals that name the holders of a disk, and the way out
 *
 * All of them set @e with outcome REFUSED and return -EBUSY. @st is of the device or file that
 * @name leads to. */
#pragma once
#include <sys/stat.h>

#include "coffer/err.h"

/* A block device that cannot be opened with O_EXCL. */
int coffer_busy_explain(const char *name, const struct stat *st, struct coffer_err *e);

/* A disk on which another program has an OFD lock. */
int coffer_busy_explain_locked(const char *name, const struct stat *st, struct coffer_err *e);

/* A disk that could be opened exclusively: O_EXCL keeps out neither a loop device over it nor swap
 * on an image file. 0: there is none of them. */
int coffer_busy_refuse_attached(const char *name, const struct stat *st, struct coffer_err *e);
