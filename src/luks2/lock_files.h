/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* lock_files.h - cryptsetup's lock directory, looked at from outside: no lock is taken, nothing is
 * made, and nobody is kept waiting (luks2/locks.h takes them) */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "block/processes.h"
#include "coffer/err.h"
#include "luks2/lock_name.h"

enum coffer_entry {
	COFFER_ENTRY_MISSING,
	COFFER_ENTRY_HIDDEN, /* this user may not look */
	COFFER_ENTRY_FOLDER,
	COFFER_ENTRY_FILE,
	COFFER_ENTRY_LINK, /* a symbolic one */
	COFFER_ENTRY_OTHER,
};

struct coffer_lock_dir_facts {
	enum coffer_entry run; /* /run */
	bool run_writable;     /* this user can make a folder there */
	bool root;	       /* this user is root */
	enum coffer_entry dir; /* /run/cryptsetup */
	uint32_t owner, mode;  /* of it, a folder */
	bool owner_known;      /* false: a user namespace that knows only some users */
	bool usable;	       /* by this user */
};

/* What the directory is, and what this user can do there. */
void coffer_lock_dir_read(struct coffer_lock_dir_facts *ret);

/* A process that holds a lock or waits for it. */
struct coffer_lock_process {
	int32_t pid; /* 0: cannot be told */
	char comm[64];
	char state;   /* as in /proc/PID/stat; 0: cannot be told */
	uint64_t age; /* seconds since it began */
};

struct coffer_lock_entry {
	char name[256];
	enum coffer_entry entry;
	bool devices_known; /* sysfs is there */
	char device[32];    /* DEVICE and OPAL: which one has that number now; "": none */
	size_t holders, waiters;
	struct coffer_lock_process holder; /* the stopped one of several */
	struct coffer_lock_process waiter; /* the first */
	bool complete; /* false: there may be a holder that this user cannot see */
};

struct coffer_lock_files {
	struct coffer_lock_entry *items; /* by name */
	size_t n;
};

/* All that lies in the directory, and who holds it or waits, as far as @pids and /proc/locks tell.
 * 0, also when it is missing; -EACCES or -EPERM, without an error: this user may not look; others
 * with one. */
int coffer_lock_files_read(
	const struct coffer_pids *pids, struct coffer_lock_files *ret, struct coffer_err *e);
void coffer_lock_files_free(struct coffer_lock_files *f);
#define _cleanup_lock_files_ _cleanup_(coffer_lock_files_free)
