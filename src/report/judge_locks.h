/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* judge_locks.h - what is wrong with cryptsetup's lock directory and the locks in it
 *
 * A lock is the kernel's: a process holds it as long as it has the file open, and a file without a
 * holder means nothing. So the directory's filesystem and the files of ended processes do not
 * matter. What matters: can every program that needs the directory use it, can no other one, and
 * does the holder of a lock proceed.
 * Source: cryptsetup's LUKS2 locking document, and observation of cryptsetup 2.6.
 *
 * All return 0 or -ENOMEM. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "coffer/finding.h"
#include "luks2/lock_files.h"

/* "lock-directory": one finding */
int coffer_judge_lock_dir(const struct coffer_lock_dir_facts *f, struct coffer_findings *l);

/* "lock" for each of @n files that needs a sentence of its own; "locks" for those without a holder,
 * or if there is no file */
int coffer_judge_locks(const struct coffer_lock_entry *files, size_t n, struct coffer_findings *l);
