/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* inuse.h - who uses a device that cannot be had alone
 *
 * A first answer, good enough for a refusal: mounts, swap, block devices on top, loop devices
 * over an image. Facts come from libmount and sysfs; nothing is changed. */
#pragma once
#include <sys/stat.h>
#include <sys/types.h>

#include "coffer/err.h"

/* Set @e (outcome REFUSED) to say who keeps block device @dev busy, as far as that is to be seen.
 * Returns -EBUSY. */
int coffer_explain_busy(const char *name, dev_t dev, struct coffer_err *e);

/* Refuse an image file or block device that is attached to a loop device: -EBUSY, naming the loop
 * device. The kernel takes no hold on what is below a loop device, so O_EXCL does not see it.
 * @st is of the opened file. 0 when none is. */
int coffer_refuse_attached(const char *name, const struct stat *st, struct coffer_err *e);
