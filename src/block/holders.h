/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* holders.h - who is at work on a block device or image file
 *
 * Looked for are mounts (in all mount namespaces that can be seen), swap, block devices on top,
 * loop devices over it, processes that have it open, and whoever holds the reencryption lock of
 * the volume. A disk is used through others as well: its partitions, and whatever stands on a
 * partition, loop device or holder. A partition is used by who uses the whole disk, but not by
 * who uses a partition beside it. Nothing is changed, opened for writing or locked.
 * Facts come from /proc, /sys and libmount; they are as old as the look at them. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "coffer/err.h"
#include "coffer/holder.h"

struct coffer_holders {
	struct coffer_holder *items; /* each one is followed by those that are there through it;
				      * processes come last, in the order of pids */
	size_t n;
	bool complete; /* false: there may be others that are hidden from us */
};

/* Everybody. @st is of the opened device or file; @lock_path of the file that
 * is locked while its volume is reencrypted, or NULL or "".
 * 0, also when nobody is there; -ENOMEM. */
int coffer_holders_find(const struct stat *st, const char *lock_path, struct coffer_holders *ret,
	struct coffer_err *e);

/* The same without a look at the descriptors of processes, which takes the longest: mounts, swap,
 * holders and loop devices only. */
int coffer_holders_find_devices(
	const struct stat *st, struct coffer_holders *ret, struct coffer_err *e);

/* Is it in use by mappings of the LUKS2 volume @uuid, and by nobody else directly? Who uses it
 * through them does not count. False where nobody is to be seen: whoever holds it is not known. */
bool coffer_holders_only_map(const struct stat *st, const char *uuid);

void coffer_holders_free(struct coffer_holders *u);
#define _cleanup_holders_ _cleanup_(coffer_holders_free)
