/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* status.h - the public status, of a device that is open already */
#pragma once
#include "coffer/status.h"
#include "convert/disk.h"
#include "convert/moved_segment.h"

/* Examine @dev, opened for reading or for work, and tell its status. Where they are wanted,
 * @ret_disk (for coffer_disk_reset) gets the facts and @ret_evidence what else was found.
 * The status is that of a moment: whoever holds no lock may be late. */
int coffer_status_of(struct coffer_dev *dev, struct coffer_status **ret,
	struct coffer_disk *ret_disk, struct coffer_moved_segment *ret_segment,
	struct coffer_err *e);

/* Has anybody the device, or the volume in it, open in a way that changes it? */
bool coffer_status_is_busy(const struct coffer_status *s);
