/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* hidden_mount.h - mount a filesystem read-only, in no namespace
 *
 * The loop device below is read-only, too: a journal or log cannot be replayed. Both are held by
 * descriptors alone, so nothing of them is left when they are closed or when the process ends. */
#pragma once
#include <stdbool.h>
#include <sys/types.h>

#include "io/dev.h"

struct coffer_hidden_mount {
	int loop;
	int root;      /* the filesystem's root directory */
	char path[32]; /* "/dev/loop0" */
	dev_t dev;     /* of the loop device */
	bool is_btrfs;
};
#define COFFER_HIDDEN_MOUNT_NONE ((struct coffer_hidden_mount){.loop = -1, .root = -1})

/* @options end with NULL. -EPERM: not possible for this user or on this machine; others come from
 * the mount of the filesystem. */
int coffer_hidden_mount_open(const struct coffer_dev *d, const char *type,
	const char *const *options, struct coffer_hidden_mount *ret, struct coffer_err *e);
void coffer_hidden_mount_close(struct coffer_hidden_mount *h);
#define _cleanup_hidden_mount_ _cleanup_(coffer_hidden_mount_close)

/* ": " and the last error in the log of the mount @context, from which each read gives a line such
 * as "e xfs: ..."; "" when there is none. */
void coffer_mount_last_error(int context, char *ret, size_t size);
