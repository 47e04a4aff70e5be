/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* scratch.h - a file without a name, to try things on that must not be tried on a disk
 *
 * It goes with its last descriptor, however the program ends. */
#pragma once
#include <limits.h>
#include <stdbool.h>

#include "io/dev.h"

/* What is free is shared with everybody: a scratch file takes this part of it at most. */
enum {
	COFFER_SCRATCH_SHARE = 16
};

/* A scratch file in @folder, as a device of between @least and @most bytes, as much as the share
 * of the free space allows, in multiples of 4096; its space is reserved but not yet written. It
 * stands for @disk.
 * -ENOSPC: the share is less than @least. -ENOTSUP: the folder lies in memory, and @disk does not.
 * Other -errno: no file can be made there. */
int coffer_scratch_open(const char *folder, uint64_t least, uint64_t most,
	const struct coffer_dev *disk, struct coffer_dev **ret, struct coffer_err *e);

/* The folder in which the image @d lies, symlinks followed. -errno. */
int coffer_image_folder(const struct coffer_dev *d, char ret[PATH_MAX]);

/* Where temporary files that are large belong: $TMPDIR, or /var/tmp. */
const char *coffer_temp_folder(void);

/* Do the image @d and the file @other lie on one filesystem? */
bool coffer_same_filesystem(const struct coffer_dev *d, const struct coffer_dev *other);
