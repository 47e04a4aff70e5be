/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* moved_segment_read.h - collect the facts of the moved-segment check (convert/moved_segment.h);
 * only reads */
#pragma once
#include "convert/disk.h"
#include "convert/moved_segment.h"

/* Look for a moved-segment copy, for traces of a header and for a record that nothing points to, as
 * far as the examined @disk leaves a question open; all is false where it leaves none. */
int coffer_moved_segment_read(
	const struct coffer_disk *disk, struct coffer_moved_segment *ret, struct coffer_err *e);

/* A power cut while cryptsetup places its header leaves a disk that looks like one to begin on, or
 * to resume, and is neither: to begin would copy the torn first bytes over the only whole ones.
 * NEEDS_REPAIR with -EUCLEAN; 0 when there is nothing of that kind. */
int coffer_moved_segment_refuse(
	const struct coffer_disk *disk, const struct coffer_moved_segment *v, struct coffer_err *e);
