/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* coffer/holder.h - what keeps a device in use */
#ifndef COFFER_HOLDER_H
#define COFFER_HOLDER_H

#include <stdbool.h>
#include <sys/types.h>

#include "coffer/err.h"

#ifdef __cplusplus
extern "C" {
#endif

enum coffer_holder_kind {
	COFFER_HOLDER_MOUNT,	    /* name: mount point; pid: a process in its mount namespace, if
				     * that is not the caller's, otherwise 0 */
	COFFER_HOLDER_DEVICE,	    /* name: the block device stacked on it, "dm-0" */
	COFFER_HOLDER_LOOP,	    /* name: the loop device attached to it, "/dev/loop0" */
	COFFER_HOLDER_SWAP,	    /* name: as in /proc/swaps */
	COFFER_HOLDER_PROCESS,	    /* a process that has it open; name: the command */
	COFFER_HOLDER_REENCRYPTION, /* a process that holds the reencryption lock of its volume;
				     * name: the command */
	COFFER_N_HOLDER_KINDS,
};
/* "mount", "device", "loop", "swap", "process", "reencryption"; "unknown" for anything else. */
COFFER_API const char *coffer_holder_kind_name(enum coffer_holder_kind k);

/* Never the caller itself. */
struct coffer_holder {
	enum coffer_holder_kind kind;
	pid_t pid;	/* 0: none, or unknown */
	bool writes;	/* the process has it open for writing */
	char name[256]; /* from the kernel, truncated if longer; may contain any byte but NUL */
	char on[32];	/* the block device that is held, "loop0p1": one stacked on the device, a
			 * partition of it, or its whole disk; "": the device itself */
};

#ifdef __cplusplus
}
#endif
#endif
