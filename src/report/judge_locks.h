/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* judge_locks.h - what is wrong with cryptsetup's lock directory and the locks in it
 *
 * A lock is the kernel's: it is held as long as a process has the file open, and a name without a
 * holder means nothing. So it does not matter what kind of filesystem the directory lies on, nor
 * that leftovers of killed processes lie in it; what matters is whether everybody who needs it can
 * use it, that nobody else can, and whether somebody holds a lock and does not go on.
 * Source: cryptsetup's LUKS2 locking document, and observation of cryptsetup 2.6. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "coffer/finding.h"

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

/* Add the one check "lock-directory". -ENOMEM. */
int coffer_judge_lock_dir(const struct coffer_lock_dir_facts *f, struct coffer_checks *l);

enum coffer_lock_kind {
	COFFER_LOCK_DEVICE,	  /* L_MAJOR:MINOR: the metadata of a block device */
	COFFER_LOCK_REENCRYPTION, /* LN_LUKS2-reencryption-UUID */
	COFFER_LOCK_MEMORY,	  /* LN_memory-hard-access: one key derivation at a time */
	COFFER_LOCK_OPAL,	  /* LN_OPAL_MAJOR:MINOR: a drive that encrypts itself */
	COFFER_LOCK_UNKNOWN,
};

struct coffer_lock_name {
	enum coffer_lock_kind kind;
	uint32_t major, minor; /* of DEVICE and OPAL */
	char uuid[41];	       /* of REENCRYPTION */
};

/* What lock a file of this name is. UNKNOWN for whatever cryptsetup would not have made. */
void coffer_lock_name_parse(const char *name, struct coffer_lock_name *ret);

/* A process that holds a lock or waits for it. */
struct coffer_lock_process {
	int32_t pid; /* 0: cannot be told */
	char comm[64];
	char state;   /* as in /proc/PID/stat; 0: cannot be told */
	uint64_t age; /* seconds since it began */
};

struct coffer_lock_file {
	char name[256];
	enum coffer_entry entry;
	bool devices_known; /* sysfs is there */
	char device[32];    /* DEVICE and OPAL: which one has that number now; "": none */
	size_t holders, waiters;
	struct coffer_lock_process holder; /* the stopped one of several */
	struct coffer_lock_process waiter; /* the first */
	bool complete; /* false: there may be a holder that this user cannot see */
};

/* Add a check "lock" for this file, where there is something to be said of it by itself. -ENOMEM.
 */
int coffer_judge_lock(const struct coffer_lock_file *f, struct coffer_checks *l);

/* The same for all @n of them, and one check "locks": of those that nobody holds, or that there is
 * nothing at all. -ENOMEM. */
int coffer_judge_locks(const struct coffer_lock_file *files, size_t n, struct coffer_checks *l);
