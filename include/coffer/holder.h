/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* coffer/holder.h - what keeps a disk busy: a word that all folders share */
#ifndef COFFER_HOLDER_H
#define COFFER_HOLDER_H

#include <stdbool.h>
#include <sys/types.h>

#include "coffer/err.h"

#ifdef __cplusplus
extern "C" {
#endif

enum coffer_holder_kind {
	COFFER_HOLDER_MOUNT,   /* name: where; pid: of a process that sees it there, when it is in
				* another mount namespace than the caller's */
	COFFER_HOLDER_DEVICE,  /* name: of the block device on top, "dm-0" */
	COFFER_HOLDER_LOOP,    /* name: of the loop device over it, "/dev/loop0" */
	COFFER_HOLDER_SWAP,    /* name: as /proc/swaps has it */
	COFFER_HOLDER_PROCESS, /* pid, and name: the command; has it open */
	COFFER_HOLDER_REENCRYPTION, /* pid and name likewise; holds the volume's reencryption lock
				     */
	COFFER_N_HOLDER_KINDS,
};
/* "mount", "device", "loop", "swap", "process", "reencryption"; "unknown" for anything else. */
COFFER_API const char *coffer_holder_kind_name(enum coffer_holder_kind k);

/* Never the caller's own process. */
struct coffer_holder {
	enum coffer_holder_kind kind;
	pid_t pid;	/* 0 where there is none, or it cannot be told */
	bool writes;	/* a process that has it open for writing */
	char name[256]; /* as it is in the kernel's tables, cut to fit; may hold any byte but NUL */
	char on[32];	/* the block device that is used, where it is not the disk itself but one on
			 * top of it, one of its partitions, or the disk around it: "loop0p1" */
};

#ifdef __cplusplus
}
#endif
#endif
