/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* proc.h - parse text from /proc: locks, descriptors, processes, memory, modules
 *
 * No file is read here, so that all of it can be fuzzed.
 * Source: lock_get_status() in fs/locks.c, seq_show() in fs/proc/fd.c and do_task_stat() in
 * fs/proc/array.c of Linux; modules.dep(5). */
#pragma once
#include <stdbool.h>
#include <stdint.h>

/* A line of /proc/locks, or the rest of a line "lock:" of /proc/PID/fdinfo/FD. */
struct coffer_lock_line {
	bool flock;	       /* of flock(2) */
	bool waits;	       /* wanted, not held */
	int32_t pid;	       /* that took it, and may have ended; 0 or -1: not in our namespace */
	uint32_t major, minor; /* of the filesystem; a btrfs has others in stat(2) */
	uint64_t ino;
};

/* -EBADMSG, and @ret unchanged: another line, or a lock without a file. */
int coffer_lock_parse(const char *line, struct coffer_lock_line *ret);

/* /proc/PID/fdinfo/FD */
struct coffer_fdinfo {
	uint32_t flags; /* of open(2), without O_CREAT and the like */
	bool flocked;	/* the open file holds a lock of flock(2) */
};

/* Cuts @text into lines. -EBADMSG, and @ret unchanged: the flags are missing or not a number. */
int coffer_fdinfo_parse(char *text, struct coffer_fdinfo *ret);

/* The state in /proc/PID/stat: 'R', 'S', 'D', 'T' (stopped), 't' (traced), 'Z', ...; 0: not
 * found. The command before it may contain any byte, even brackets. */
char coffer_proc_state_parse(const char *text);

/* The number after @name ("MemAvailable:") at the start of a line, as in /proc/meminfo. -ENODATA,
 * and *ret unchanged: there is none. */
int coffer_proc_number(const char *text, const char *name, uint64_t *ret);

/* Is this line of modules.dep or modules.builtin about @module? '-' and '_' are the same there, and
 * the module may be compressed. */
bool coffer_module_line(const char *line, const char *module);
