/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* locks.h - take cryptsetup's locks, so that coffer and stock tools can share a disk
 *
 * docs/locking.md is the contract. Most locks are flock on files in /run/cryptsetup. The metadata
 * lock of an image file is flock on the file itself, and the disk lock is flock on the whole disk.
 *
 * A lock belongs to the run that has @d open. -EDEADLK: this call breaks the order
 * (luks2/lock_name.h), and nothing was locked; a debug build aborts. One thread takes and releases
 * all locks. A device without a descriptor has no locks, but the order applies.
 *
 * Outcome REFUSED: -EBUSY, another process holds the lock; -ELOOP, -ENOTDIR, -EISDIR, -ENOENT,
 * -EINVAL: lock directory or lock file are of the wrong kind. They are never followed and never
 * replaced. -EACCES, -EPERM, -EROFS: this user has no access to the lock directory. */
#pragma once
#include <stdbool.h>

#include "base/cleanup.h"
#include "coffer/err.h"
#include "io/dev.h"
#include "luks2/lock_files.h"

struct coffer_lock;

/* The reencryption lock of @uuid, for a whole run. Never waits, as with stock: its holder may need
 * hours. -EACCES, -EPERM, -EROFS of an image file: only the OFD lock of coffer_dev_open protects
 * it, and other tools are not kept out; the caller reports this. */
int coffer_lock_reencryption(
	struct coffer_dev *d, const char *uuid, struct coffer_lock **ret, struct coffer_err *e);

/* The metadata lock of @d: shared to read the header, exclusive for a commit. Waits up to 30 s.
 * With d->no_locks only the order applies. */
int coffer_lock_metadata(
	struct coffer_dev *d, bool exclusive, struct coffer_lock **ret, struct coffer_err *e);

/* The locks to place, remove or replace a header: disk (udev would examine it partly written), OPAL
 * (a header says what a locking range is for) and metadata, exclusive. Waits up to 30 s for each.
 */
int coffer_lock_header(struct coffer_dev *d, struct coffer_lock **ret, struct coffer_err *e);

/* The lock of the machine for memory-hard key derivation. Waits up to 120 s. */
int coffer_lock_memory_hard(struct coffer_dev *d, struct coffer_lock **ret, struct coffer_err *e);

void coffer_lock_free(struct coffer_lock *l); /* releases; NULL is fine; before the device closes */
DEFINE_CLEANUP(struct coffer_lock *, lock, coffer_lock_free);
#define _cleanup_lock_ _cleanup_(cleanup_lock)
