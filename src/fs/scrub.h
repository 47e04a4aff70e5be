/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* scrub.h - let btrfs compare what lies at the start of a device with its checksums
 *
 * Its checker reads metadata only, and is content with the other copy where one is bad. The kernel
 * also knows the checksums of file contents. */
#pragma once
#include "io/dev.h"

/* Compare everything in [0, end) of @d, which begins with a btrfs, on a read-only mount that nobody
 * sees. -EBADMSG: there are errors, @e says how many; -EPERM, -EOPNOTSUPP and others: it could not
 * be done. */
int coffer_scrub_btrfs(struct coffer_dev *d, uint64_t end, struct coffer_err *e);
