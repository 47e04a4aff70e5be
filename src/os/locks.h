/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* locks.h - cryptsetup's locks, so that coffer and stock tools can share a disk
 *
 * flock on files in /run/cryptsetup (made with mode 0700 when it is missing): L_MAJOR:MINOR for the
 * metadata of a block device, LN_LUKS2-reencryption-UUID for a reencryption; the metadata lock of
 * an image file is flock on the file itself. Order: reencryption before metadata.
 * Source: cryptsetup's LUKS2 locking document, and observation of cryptsetup 2.6. */
#pragma once
#include <stdbool.h>

#include "base/cleanup.h"
#include "coffer/err.h"
#include "os/dev.h"

struct coffer_lock;

#define COFFER_LOCK_DIR		 "/run/cryptsetup"
#define COFFER_REENCRYPTION_LOCK "LN_LUKS2-reencryption-"

/* The reencryption lock of @uuid, held until it is freed. Does not wait.
 * REFUSED with -EBUSY: some cryptsetup or coffer is converting this volume.
 * -EACCES: this user may not use the lock directory; an image file is then guarded by the OFD
 * lock alone, and the caller says so. Other -errno: the directory is not what it must be. */
int coffer_lock_reencryption(const char *uuid, struct coffer_lock **ret, struct coffer_err *e);

/* The metadata lock of @d; waits up to 30 s for others.
 * REFUSED with -EBUSY after that. A device without a descriptor has no lock: *ret is NULL. */
int coffer_lock_metadata(
	struct coffer_dev *d, bool exclusive, struct coffer_lock **ret, struct coffer_err *e);

/* May this user take locks there? Told without taking one. */
bool coffer_locks_usable(void);

void coffer_lock_free(struct coffer_lock *l); /* releases; NULL is fine */
DEFINE_CLEANUP(struct coffer_lock *, lock, coffer_lock_free);
#define _cleanup_lock_ _cleanup_(cleanup_lock)
