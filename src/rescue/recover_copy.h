/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* recover_copy.h - a first header copy that is gone, while the second one is whole
 *
 * Nothing at byte 0 says LUKS any more, so the second copy may as well lie in a file of a living
 * filesystem. What is left of the first one decides. */
#pragma once
#include "convert/disk.h"
#include "rescue/diagnose.h"

/* What is left of it. Reads only, under the metadata lock. */
int coffer_recover_copy_read(
	struct coffer_disk *disk, struct coffer_lost_copy *ret, struct coffer_err *e);

/* Write it anew from the second copy, under the exclusive lock. NEEDS_REPAIR with -ESTALE: that is
 * not the one any more that was examined; REFUSED with -ESTALE: something else lies there now.
 * *ret_changed becomes true before the first write. */
int coffer_recover_first_copy(struct coffer_disk *disk, bool *ret_changed, struct coffer_err *e);
