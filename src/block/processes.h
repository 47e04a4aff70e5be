/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* processes.h - find processes that have a device or file open, from /proc
 *
 * A process that ends meanwhile is not an error. Not found: a mapping whose descriptor was closed,
 * and descriptors in transit through a socket. */
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

/* All processes but this one. *@complete becomes false if some are invisible (another pid
 * namespace, hidepid=, no /proc). -ENOMEM. As for all lists of this folder, @ret is empty before,
 * and is for coffer_..._free afterwards, on failure, too. */
int coffer_pids_read(struct coffer_pids *ret, bool *complete);
void coffer_pids_free(struct coffer_pids *p);
#define _cleanup_pids_ _cleanup_(coffer_pids_free)

struct coffer_process {
	pid_t pid;   /* 0: holds the lock; its pid is not known */
	size_t id;   /* index of the one it has open; SIZE_MAX: none */
	bool writes; /* for writing */
	bool locks;  /* has the lock file open, with a lock of flock(2) */
	char comm[64];
};

struct coffer_processes {
	struct coffer_process *items; /* in the order of pids */
	size_t n;
};

/* The processes among @pids that have one of the @n @ids open (the first one counts) or hold the
 * lock file @lock, which may be NULL. *@complete becomes false if one's descriptors cannot be read.
 * -ENOMEM. */
int coffer_processes_find(const struct coffer_pids *pids, const struct coffer_device_id *ids,
	size_t n, const struct coffer_device_id *lock, struct coffer_processes *ret,
	bool *complete);
void coffer_processes_free(struct coffer_processes *p);
#define _cleanup_processes_ _cleanup_(coffer_processes_free)
