/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "base/err.h"
#include "os/fsmap_parts.h"

int coffer_fsmap_btrfs(struct coffer_dev *d, const struct coffer_fs *fs, bool mount,
	struct coffer_fsmap *ret, struct coffer_err *e)
{
	(void)d, (void)fs, (void)mount, (void)ret;
	return coffer_err_set(e, EOPNOTSUPP, "coffer cannot yet tell what is free in btrfs");
}
