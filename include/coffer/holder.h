/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* coffer/holder.h - what keeps a disk in use; all folders use it */
#ifndef COFFER_HOLDER_H
#define COFFER_HOLDER_H

#include <stdbool.h>
#include <sys/types.h>

#include "coffer/err.h"

#ifdef __cplusplus
extern "C" {
#endif

enum coffer_holder_kind {
	COFFER_HOLDER_MOUNT,	    /* name: the mount point; pid: a process of its mount
				     * namespace, if that is not the caller's */
	COFFER_HOLDER_DEVICE,	    /* name: of the block device stacked on it, "dm-0" */
	COFFER_HOLDER_LOOP,	    /* name: of the loop device over it, "/dev/loop0" */
	COFFER_HOLDER_SWAP,	    /* name: as in /proc/swaps */
	COFFER_HOLDER_PROCESS,	    /* has it open; pid, and name: the command */
	COFFER_HOLDER_REENCRYPTION, /* holds the volume's reencryption lock; pid and name likewise
				     */
	COFFER_N_HOLDER_KINDS,
};
/* "mount", "device", "loop", "swap", "process", "reencryption"; "unknown" for anything else. */
COFFER_API const char *coffer_holder_kind_name(enum coffer_holder_kind k);

/* Never the caller itself. */
struct coffer_holder {
	enum coffer_holder_kind kind;
	pid_t pid;	/* 0: none, or not known */
	bool writes;	/* of a process: has it open for writing */
	char name[256]; /* from the kernel's tables, truncated; may hold any byte but NUL */
	char on[32]; /* the block device that is held, "loop0p1", if it is not the disk itself but
		      * stacked on it, a partition of it, or the disk around it */
};

#ifdef __cplusplus
}
#endif
#endif
