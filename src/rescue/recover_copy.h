/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* recover_copy.h - a lost first header copy, while the second one is whole
 *
 * Without a magic at byte 0 the second copy may be part of a file in an active filesystem. The
 * remains of the first one decide. */
#pragma once
#include "convert/disk.h"
#include "rescue/diagnose.h"

/* Read what is in its place, under the metadata lock. */
int coffer_recover_copy_read(
	struct coffer_disk *disk, struct coffer_lost_copy *ret, struct coffer_err *e);

/* Rewrite it from the second copy, under the exclusive lock. *ret_changed is set before the first
 * write. NEEDS_REPAIR with -ESTALE: the second copy is not the one that was examined; REFUSED with
 * -ESTALE: other content is in the first one's place. */
int coffer_recover_first_copy(struct coffer_disk *disk, bool *ret_changed, struct coffer_err *e);
