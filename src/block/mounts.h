/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* mounts.h - libmount: which block devices are mounted where, what is swapped on */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "block/processes.h"
#include "io/device_id.h"

struct coffer_mount {
	struct coffer_device_id what;
	pid_t pid;  /* one that sees it, of another mount namespace; 0: we see it too */
	char *name; /* where; of swap, what */
};

struct coffer_mounts {
	struct coffer_mount *items;
	size_t n;
};

/* All mounts of block devices, in our mount namespace and those of @pids.
 * *@complete becomes false when our own cannot be read, or a process does not let us look.
 * -ENOMEM. */
int coffer_mounts_read(const struct coffer_pids *pids, struct coffer_mounts *ret, bool *complete);

/* The same of one file, as /proc/PID/mountinfo is: *@ret_read becomes false when it cannot be read.
 * -ENOMEM. */
int coffer_mounts_add(struct coffer_mounts *m, const char *path, pid_t pid, bool *ret_read);

/* Block devices and files that are swapped on. -ENOMEM. */
int coffer_swaps_read(struct coffer_mounts *ret);

void coffer_mounts_free(struct coffer_mounts *m);
#define _cleanup_mounts_ _cleanup_(coffer_mounts_free)
