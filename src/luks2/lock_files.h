/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* lock_files.h - cryptsetup's lock directory, looked at from outside: no lock is taken, nothing is
 * made, and nobody is kept waiting (luks2/locks.h takes them) */
#pragma once
#include <stddef.h>

#include "base/cleanup.h"
#include "coffer/err.h"
#include "report/judge_locks.h"
#include "block/processes.h"

/* What the directory is, and what this user can do there. */
void coffer_lock_dir_look(struct coffer_lock_dir_facts *ret);

struct coffer_lock_files {
	struct coffer_lock_file *items; /* by name */
	size_t n;
};

/* All that lies in the directory, and who holds it or waits, as far as @pids and /proc/locks tell.
 * 0, also when it is missing; -EACCES or -EPERM, without an error: this user may not look; others
 * with one. */
int coffer_lock_files_read(
	const struct coffer_pids *pids, struct coffer_lock_files *ret, struct coffer_err *e);
void coffer_lock_files_free(struct coffer_lock_files *f);
#define _cleanup_lock_files_ _cleanup_(coffer_lock_files_free)
