/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* hidden_mount.h - a read-only mount of a device that no namespace sees */
#pragma once
#include <stdbool.h>
#include <sys/types.h>

#include "io/dev.h"

/* A read-only mount of the device that no namespace sees, on a read-only loop
 * device. Nothing of either is left when it is closed, or when the process ends. */
struct coffer_hidden_mount {
	int loop;
	int root;      /* the filesystem's root folder */
	char path[32]; /* "/dev/loop0" */
	dev_t dev;     /* of the loop device */
	bool is_btrfs;
};
#define COFFER_HIDDEN_MOUNT_NONE ((struct coffer_hidden_mount){.loop = -1, .root = -1})

/* @options end with NULL. -EPERM: it cannot be done by this user or on this machine; else what the
 * kernel said to the filesystem. */
int coffer_hidden_mount_open(const struct coffer_dev *d, const char *type,
	const char *const *options, struct coffer_hidden_mount *ret, struct coffer_err *e);
void coffer_hidden_mount_close(struct coffer_hidden_mount *h);
#define _cleanup_hidden_mount_ _cleanup_(coffer_hidden_mount_close)

/* ": " and the last error that the filesystem's code has told through its @context, from which each
 * read gives a line such as "e xfs: ..."; "" when there is none. */
void coffer_mount_last_words(int context, char *ret, size_t size);
