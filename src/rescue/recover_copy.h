/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* recover_copy.h - recover a lost first header copy while the second one is usable */
#pragma once
#include "convert/disk.h"
#include "rescue/diagnose.h"

/* Read what is in place of the first copy, under the metadata lock. -ESTALE: the second copy is not
 * the one that was examined. */
int coffer_lost_copy_read(
	struct coffer_disk *disk, struct coffer_lost_copy *ret, struct coffer_err *e);

/* Rewrite both copies from the second one. *ret_changed is set before the first write. */
int coffer_lost_copy_recover(struct coffer_disk *disk, bool *ret_changed, struct coffer_err *e);
