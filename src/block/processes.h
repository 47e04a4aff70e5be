/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* processes.h - who has a device or file open, from /proc
 *
 * Processes come and go while we look; one that has gone is no error. What is not seen: a mapping
 * whose descriptor was closed, and descriptors on their way through a socket. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "io/device_id.h"

struct coffer_pids {
	pid_t *items;
	size_t n;
};

/* All processes but this one. *@complete becomes false when some are hidden from us (another pid
 * namespace, hidepid=, no /proc at all). -ENOMEM. */
int coffer_pids_read(struct coffer_pids *ret, bool *complete);
void coffer_pids_free(struct coffer_pids *p);
#define _cleanup_pids_ _cleanup_(coffer_pids_free)

struct coffer_process {
	pid_t pid;   /* 0: holds the lock, but cannot be told */
	size_t id;   /* which one it has open; SIZE_MAX: none */
	bool writes; /* for writing */
	bool locks;  /* it has the lock file open, and a lock of flock(2) on it */
	char comm[64];
};

struct coffer_processes {
	struct coffer_process *items; /* in the order of pids */
	size_t n;
};

/* Of @pids those that have one of the @n @things open (the first of them counts), or hold @lock, a
 * lock file; NULL for none. *@complete becomes false when one of them does not let us look.
 * -ENOMEM. */
int coffer_processes_find(const struct coffer_pids *pids, const struct coffer_device_id *ids,
	size_t n, const struct coffer_device_id *lock, struct coffer_processes *ret,
	bool *complete);
void coffer_processes_free(struct coffer_processes *p);
#define _cleanup_processes_ _cleanup_(coffer_processes_free)
