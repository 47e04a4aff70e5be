/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* open.h - open a device for a run, or refuse it with the name of its holder and the way out */
#pragma once
#include "coffer/err.h"
#include "io/dev.h"

/* Open @path (symlinks are followed) for writing, exclusively: with O_EXCL if it is a block device,
 * and with an OFD lock. REFUSED with -EBUSY (in use: @e names the holder), -EROFS, -ENOTBLK
 * (neither block device nor regular file). Others as open(2). */
int coffer_dev_open(const char *path, struct coffer_dev **ret, struct coffer_err *e);

/* The same without O_EXCL: a block device may be mapped or mounted. Only for the header of a volume
 * in use, which no holder reads again. An image file is opened as above: a loop device over it has
 * a cache of its own. */
int coffer_dev_open_shared(const char *path, struct coffer_dev **ret, struct coffer_err *e);

/* Would coffer_dev_open refuse @d, which was opened for reading? REFUSED with -EBUSY: yes. A
 * process that has a block device open with O_EXCL is not found: that shows only when it is opened.
 */
int coffer_dev_check_exclusive(const struct coffer_dev *d, struct coffer_err *e);
