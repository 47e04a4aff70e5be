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
#include "luks2/lock_files.h"

/* Add the one check "lock-directory". -ENOMEM. */
int coffer_judge_lock_dir(const struct coffer_lock_dir_facts *f, struct coffer_findings *l);

/* Add a check "lock" for this file, where there is something to be said of it by itself. -ENOMEM.
 */
int coffer_judge_lock(const struct coffer_lock_entry *f, struct coffer_findings *l);

/* The same for all @n of them, and one check "locks": of those that nobody holds, or that there is
 * nothing at all. -ENOMEM. */
int coffer_judge_locks(const struct coffer_lock_entry *files, size_t n, struct coffer_findings *l);
