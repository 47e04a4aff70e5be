/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* proc.h - what /proc says in text: locks, how a descriptor was opened, processes, the kernel
 *
 * Only text in and facts out, so that all of it can be fuzzed. Texts need no NUL at their end.
 * Source: lock_get_status() in fs/locks.c, seq_show() in fs/proc/fd.c and do_task_stat() in
 * fs/proc/array.c of Linux; modules.dep(5). */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Take the next line, without its newline, from the front of @text. false: nothing is left. */
bool coffer_next_line(const char **text, size_t *left, const char **ret, size_t *ret_n);

/* A line of /proc/locks, or what follows "lock:" in /proc/PID/fdinfo/FD. */
struct coffer_lock_line {
	bool flock;	       /* of flock(2); otherwise another kind */
	bool waits;	       /* wanted by somebody, not held */
	int32_t pid;	       /* who took it, dead or alive; 0 or -1: nobody in our namespace */
	uint32_t major, minor; /* of the filesystem, not as stat(2) tells it for a btrfs */
	uint64_t ino;
};

/* 0; -EBADMSG, and @ret as it was, for any other line (also of a lock without a file). */
int coffer_lock_parse(const char *line, size_t n, struct coffer_lock_line *ret);

/* /proc/PID/fdinfo/FD */
struct coffer_fdinfo {
	uint32_t flags; /* of open(2); O_CREAT and the like are gone */
	bool flocked;	/* the open file holds a lock of flock(2), whoever took it */
};

/* 0; -EBADMSG, and @ret as it was, when the flags are not there or no number. */
int coffer_fdinfo_parse(const char *text, size_t n, struct coffer_fdinfo *ret);

/* /proc/PID/stat */
struct coffer_proc_stat {
	char state;	  /* 'R', 'S', 'D', 'T' (stopped), 't' (traced), 'Z', ... */
	uint64_t started; /* clock ticks after the boot */
};

/* 0; -EBADMSG, and @ret as it was. The command in it may hold any byte, brackets too. */
int coffer_proc_stat_parse(const char *text, size_t n, struct coffer_proc_stat *ret);

/* The number behind @name ("MemAvailable:") at the beginning of a line, as in /proc/meminfo.
 * -ENODATA, and *ret as it was, when no line has one. */
int coffer_proc_number(const char *text, size_t n, const char *name, uint64_t *ret);

/* Does a line of /proc/misc name @driver? */
bool coffer_proc_misc(const char *text, size_t n, const char *driver);

/* Is this line of modules.dep or modules.builtin about @module? '-' and '_' are the same there, and
 * the file may be compressed. */
bool coffer_module_line(const char *line, size_t n, const char *module);
