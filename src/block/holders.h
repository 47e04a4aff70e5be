/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* holders.h - find the holders of a block device or image file
 *
 * Holders are mounts in all visible mount namespaces, swap, block devices stacked on it, loop
 * devices over it, processes that have it open, and the process that holds the volume's
 * reencryption lock. The holders of its partitions, and of devices stacked on those, count, too. A
 * partition is held by the holders of the whole disk, but not by those of other partitions.
 * Facts come from /proc, /sys and libmount. Nothing is changed, opened for writing or locked. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "coffer/err.h"
#include "coffer/holder.h"

struct coffer_holders {
	struct coffer_holder *items; /* each one is followed by those through it; processes come
				      * last, in the order of pids */
	size_t n;
	bool complete; /* false: others may be invisible to this user */
};

/* All holders. @st is of the opened device or file; @lock_path of the volume's reencryption lock
 * file, or NULL or "". 0, also if there is none; -ENOMEM. */
int coffer_holders_find(const struct stat *st, const char *lock_path, struct coffer_holders *ret,
	struct coffer_err *e);

/* The same without processes, whose descriptors take the longest to read. */
int coffer_holders_find_devices(
	const struct stat *st, struct coffer_holders *ret, struct coffer_err *e);

/* Is it held directly by mappings of the LUKS2 volume @uuid, and by nothing else? False if no
 * holder is found: then it is not known. */
bool coffer_holders_only_map(const struct stat *st, const char *uuid);

void coffer_holders_free(struct coffer_holders *l);
#define _cleanup_holders_ _cleanup_(coffer_holders_free)
