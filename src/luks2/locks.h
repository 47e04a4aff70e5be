/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* locks.h - cryptsetup's locks, so that coffer and stock tools can share a disk
 *
 * flock on files in /run/cryptsetup (made with mode 0700 when it is missing): L_MAJOR:MINOR for the
 * metadata of a block device, LN_LUKS2-reencryption-UUID for a reencryption, LN_OPAL_MAJOR:MINOR
 * and LN_memory-hard-access. The metadata lock of an image file is flock on the file itself, which
 * needs no more than read access. Beside them, flock on a whole disk keeps udev off.
 *
 * A lock is taken for the run that has @d open, and the run's locks in one order
 * (luks2/lock_order.h). -EDEADLK: this call breaks it, and nothing was locked; a debug build
 * aborts. Locks are taken and released by one thread. A device without a descriptor has no locks,
 * and the order all the same.
 *
 * Outcome REFUSED: -EBUSY, somebody holds the lock, and @e names the process where that can be
 * told; -ELOOP, -ENOTDIR, -EISDIR, -ENOENT, -EINVAL: folder or lock file are not what they must be
 * (a symbolic link, no folder, no parent, no regular file). They are never followed and never
 * replaced. -EACCES, -EPERM, -EROFS: this user may not use the lock folder. Source: cryptsetup's
 * LUKS2 locking document, and observation of cryptsetup 2.6. */
#pragma once
#include <stdbool.h>

#include "base/cleanup.h"
#include "coffer/err.h"
#include "io/dev.h"
#include "luks2/lock_name.h"

struct coffer_lock;

/* The reencryption lock of @uuid, for a whole run. Never waits, as with stock: whoever holds it may
 * do so for hours.
 * -EACCES, -EPERM, -EROFS of an image file: it is then guarded by the OFD lock of coffer_dev_open
 * alone, which keeps other coffers out and nobody else, and the caller says so. */
int coffer_lock_reencryption(
	struct coffer_dev *d, const char *uuid, struct coffer_lock **ret, struct coffer_err *e);

/* The metadata lock of @d: shared to read the header, exclusive for a commit. Waits up to 30 s. A
 * device that is looked at without locks has none, and the order all the same. */
int coffer_lock_metadata(
	struct coffer_dev *d, bool exclusive, struct coffer_lock **ret, struct coffer_err *e);

/* What it takes to put a header there, to take it away or to exchange it: the whole disk (udev
 * would look at it half done), OPAL (a header says what a locking range is for) and the metadata,
 * exclusively. Waits up to 30 s for each. */
int coffer_lock_header(struct coffer_dev *d, struct coffer_lock **ret, struct coffer_err *e);

/* The one lock of the machine for derivations that take a lot of memory. Waits up to 120 s. */
int coffer_lock_memory_hard(struct coffer_dev *d, struct coffer_lock **ret, struct coffer_err *e);

/* May this user take locks there? Told without taking one. */
bool coffer_locks_usable(void);

void coffer_lock_free(struct coffer_lock *l); /* releases; NULL is fine; before the device closes */
DEFINE_CLEANUP(struct coffer_lock *, lock, coffer_lock_free);
#define _cleanup_lock_ _cleanup_(cleanup_lock)
