/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* status.h - the status of a device that is open */
#pragma once
#include "coffer/status.h"
#include "convert/disk.h"
#include "convert/moved_segment.h"
#include "report/judge.h"

/* Examine @dev, opened for reading or for a run. @ret_disk, for coffer_disk_reset, and @ret_segment
 * get the facts; either may be NULL. Without a lock the status may be out of date at once. */
int coffer_status_of(struct coffer_dev *dev, struct coffer_status **ret,
	struct coffer_disk *ret_disk, struct coffer_moved_segment *ret_segment,
	struct coffer_err *e);

/* How far a conversion is, 0 of 0 if @disk has none: in the bytes that a run counts. No run uses a
 * map that cannot be read: then all bytes count. But a repair that is about to write ends at a
 * failed read (law 4). */
int coffer_status_progress(const struct coffer_disk *disk, uint64_t *ret_done, uint64_t *ret_total,
	struct coffer_err *e);

/* Does a holder, of the device or of the volume on it, change it? */
bool coffer_status_is_busy(const struct coffer_status *s);
