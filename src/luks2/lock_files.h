/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* lock_files.h - read cryptsetup's lock directory without taking a lock
 *
 * Nothing is created and no other program is kept waiting. luks2/locks.h takes the locks. */
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
	COFFER_ENTRY_HIDDEN, /* not accessible to this user */
	COFFER_ENTRY_FOLDER,
	COFFER_ENTRY_FILE,
	COFFER_ENTRY_LINK, /* a symbolic one */
	COFFER_ENTRY_OTHER,
};

struct coffer_lock_dir_facts {
	enum coffer_entry run; /* /run */
	bool run_writable;     /* this user can make a directory there */
	bool root;	       /* this user is root */
	enum coffer_entry dir; /* /run/cryptsetup */
	uint32_t owner, mode;  /* of it, a directory */
	bool owner_known;      /* false: a user namespace that knows only some users */
	bool usable;	       /* by this user */
};

/* What the directory is, and what this user can do there. */
void coffer_lock_dir_read(struct coffer_lock_dir_facts *ret);

/* Can this user take locks there? */
bool coffer_locks_usable(void);

/* A process that holds a lock or waits for it. */
struct coffer_lock_process {
	int32_t pid; /* 0: not visible */
	char comm[64];
	char state; /* as in /proc/PID/stat; 0: unknown */
};

struct coffer_lock_entry {
	char name[256];
	enum coffer_entry entry;
	char device[32]; /* DEVICE and OPAL: which one has that number now; "": none */
	size_t holders, waiters;
	struct coffer_lock_process holder; /* the stopped one of several */
	struct coffer_lock_process waiter; /* the first */
	bool complete; /* false: there may be a holder that this user cannot see */
};

struct coffer_lock_files {
	struct coffer_lock_entry *items; /* by name */
	size_t n;
};

/* All entries of the directory, and who holds or waits for them.
 * 0, also when it is missing; -EACCES or -EPERM, without an error: no access; others with one. */
int coffer_lock_files_read(struct coffer_lock_files *ret, struct coffer_err *e);
void coffer_lock_files_free(struct coffer_lock_files *f);
#define _cleanup_lock_files_ _cleanup_(coffer_lock_files_free)

/* The processes that hold @lock, a lock file or a locked device; pid 0 for one that is not visible.
 * None: the lock was released. *@complete becomes false when this user does not see all processes.
 * -ENOMEM. */
int coffer_lock_holders_find(
	const struct coffer_device_id *lock, struct coffer_processes *ret, bool *complete);
