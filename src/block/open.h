/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* open.h - open a device for work, and name who is in the way where that cannot be */
#pragma once
#include "coffer/err.h"
#include "io/dev.h"

/* Open @path (symlinks are followed) for I/O, alone: O_EXCL on a block device, an OFD lock on
 * either kind. Outcome REFUSED with -EBUSY (mounted, held, or another coffer is at work: @e says
 * which is known), -EROFS, -ENOTBLK (neither block device nor regular file). Other -errno as
 * open(2) gives them. */
int coffer_dev_open(const char *path, struct coffer_dev **ret, struct coffer_err *e);

/* The same beside others: no O_EXCL on a block device, so it may be mapped or mounted; the OFD lock
 * keeps other coffers away. For work on the header of a volume that is in use, which nobody who
 * uses it reads again, and for nothing else. An image file is opened as above: a loop device over
 * it keeps blocks of it in a cache of its own. */
int coffer_dev_open_shared(const char *path, struct coffer_dev **ret, struct coffer_err *e);

/* What coffer_dev_open would refuse, asked of a device that was opened for reading; nobody is kept
 * away for that. REFUSED with -EBUSY: it could not be had alone. That is as much as can be seen: a
 * process that holds a block device with O_EXCL shows only when it is opened. */
int coffer_dev_check_exclusive(const struct coffer_dev *d, struct coffer_err *e);
