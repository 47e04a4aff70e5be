/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* moved_segment_read.h - collect the facts of the moved-segment check; only reads */
#pragma once
#include "convert/disk.h"
#include "convert/moved_segment.h"

/* Look for a moved-segment copy, for traces of a header and for a stale record, as far as the
 * examined @disk leaves a question open; all is false where it leaves none. */
int coffer_moved_segment_read(
	const struct coffer_disk *disk, struct coffer_moved_segment *ret, struct coffer_err *e);

/* NEEDS_REPAIR with -EUCLEAN: an interrupted cryptsetup has left a disk on which nothing may start
 * or resume, since it would lose the only complete first bytes. Else 0. */
int coffer_moved_segment_refuse(
	const struct coffer_disk *disk, const struct coffer_moved_segment *v, struct coffer_err *e);
