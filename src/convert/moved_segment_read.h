/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* moved_segment_read.h - collect what the rest of a disk says (see convert/moved_segment.h); only
 * reads */
#pragma once
#include "convert/disk.h"
#include "convert/moved_segment.h"

/* Look for a copy of the head, for remains of a header and for a record that nothing points to, as
 * far as the examined @disk leaves a question open; all is false where it leaves none. */
int coffer_moved_segment_read(
	const struct coffer_disk *disk, struct coffer_moved_segment *ret, struct coffer_err *e);

/* What cryptsetup leaves when the power fails while it puts its header in place: a disk that looks
 * like one to begin on, or one to go on with, and is neither. To begin would copy the torn head
 * over the only whole one. NEEDS_REPAIR with -EUCLEAN; 0 when there is nothing of that kind. */
int coffer_moved_segment_refuse(
	const struct coffer_disk *disk, const struct coffer_moved_segment *v, struct coffer_err *e);
