/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* mounts.h - mounts and swap, by libmount */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "block/processes.h"
#include "io/device_id.h"

struct coffer_mount {
	struct coffer_device_id id;
	pid_t pid;  /* a process of its mount namespace; 0: it is in ours */
	char *name; /* the mount point; of swap, the device or file */
};

struct coffer_mounts {
	struct coffer_mount *items;
	size_t n;
};

/* All mounts of block devices, in our mount namespace and those of @pids. *@complete becomes false
 * if one of them cannot be read. -ENOMEM. */
int coffer_mounts_read(const struct coffer_pids *pids, struct coffer_mounts *ret, bool *complete);

/* The same from one file like /proc/PID/mountinfo. *@ret_read: it could be read. -ENOMEM. */
int coffer_mounts_add(struct coffer_mounts *m, const char *path, pid_t pid, bool *ret_read);

/* All block devices and files in use as swap. -ENOMEM. */
int coffer_swaps_read(struct coffer_mounts *ret);

void coffer_mounts_free(struct coffer_mounts *m);
#define _cleanup_mounts_ _cleanup_(coffer_mounts_free)
