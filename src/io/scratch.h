/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* scratch.h - a nameless file, to measure the speed of a disk on
 *
 * It vanishes with its last descriptor, however the program ends. */
#pragma once
#include <limits.h>
#include <stdbool.h>

#include "io/dev.h"

/* A scratch file takes at most this fraction of the free space. */
enum {
	COFFER_SCRATCH_SHARE = 16
};

/* A scratch file in @folder to measure @disk on: a device of @least to @most bytes, as many as the
 * fraction of the free space allows, a multiple of 4096, allocated and not yet written.
 * -ENOSPC: the fraction is less than @least. -ENOTSUP: @folder is in memory, and @disk is not.
 * Other -errno: no file can be created there. */
int coffer_scratch_open(const char *folder, uint64_t least, uint64_t most,
	const struct coffer_dev *disk, struct coffer_dev **ret, struct coffer_err *e);

/* The folder of the image @d, symlinks followed. -errno. */
int coffer_image_folder(const struct coffer_dev *d, char ret[PATH_MAX]);

/* The folder for large temporary files: $TMPDIR, or /var/tmp. */
const char *coffer_temp_folder(void);

/* Are the image @d and the file @other on one filesystem? */
bool coffer_same_filesystem(const struct coffer_dev *d, const struct coffer_dev *other);
