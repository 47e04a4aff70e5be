/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* btrfs.h - a scrub of the start of a btrfs */
#pragma once
#include "io/dev.h"

/* Compare everything in [0, end) of @d, which begins with a btrfs, with its checksums. btrfs check
 * reads metadata only, and accepts the other copy where one is bad; the kernel also knows the
 * checksums of file contents. -EBADMSG: there are errors, and @e says how many; -EPERM,
 * -EOPNOTSUPP and others: not possible. */
int coffer_btrfs_scrub(struct coffer_dev *d, uint64_t end, struct coffer_err *e);
