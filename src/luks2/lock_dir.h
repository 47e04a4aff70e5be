/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* lock_dir.h - files in cryptsetup's lock folder: how one is opened, locked and removed
 *
 * A holder removes the file when it leaves, so a lock counts only while its name leads to the file
 * that is locked. Folder and files are opened without following links. */
#pragma once
#include <stdbool.h>

#include "coffer/err.h"
#include "io/device_id.h"

/* flock(2) on @fd, for at most @seconds. 0, -EWOULDBLOCK, or another -errno. */
int coffer_flock(int fd, int how, double seconds);

struct coffer_lock_file {
	int dir_fd; /* -1: none */
	int fd;	    /* likewise */
	char name[128];
};

/* Open and lock @f->name, made when it is missing. -EBUSY with @e untouched and *@ret_busy set:
 * somebody else holds it. Other errors as luks2/locks.h has them. */
int coffer_lock_file_take(struct coffer_lock_file *f, int how, double seconds,
	struct coffer_device_id *ret_busy, struct coffer_err *e);

/* Release, and remove the file unless somebody else has a lock on it. */
void coffer_lock_file_release(struct coffer_lock_file *f, bool exclusive);
