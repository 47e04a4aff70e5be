/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* busy.h - refusals that say who uses a disk, and what to do about it
 *
 * All of them set @e with outcome REFUSED and return -EBUSY. @st is of the device or file that
 * @name leads to. */
#pragma once
#include <sys/stat.h>

#include "coffer/err.h"

/* A block device cannot be had with O_EXCL. */
int coffer_busy_explain(const char *name, const struct stat *st, struct coffer_err *e);

/* Somebody else has an OFD lock on it. */
int coffer_busy_explain_locked(const char *name, const struct stat *st, struct coffer_err *e);

/* It could be opened alone. That keeps nobody away who uses it through a loop device, on which the
 * kernel takes no hold, and nobody who swaps on an image file. 0 when there is none. */
int coffer_busy_refuse_attached(const char *name, const struct stat *st, struct coffer_err *e);
