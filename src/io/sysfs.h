/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* sysfs.h - small files of /proc and /sys */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Read all of @path below @dir_fd (or AT_FDCWD), and a NUL after it; free with free().
 * -errno; -EFBIG for more than a MiB, which no file that we look at has. */
int coffer_sysfs_read(int dir_fd, const char *path, char **ret, size_t *ret_n);

/* The first line into @ret, cut to @size; false, and "", when it cannot be read or is empty. */
bool coffer_sysfs_read_line(int dir_fd, const char *path, char *ret, size_t size);

/* "MAJOR:MINOR", as sysfs names a device's numbers. */
bool coffer_sysfs_read_dev(int dir_fd, const char *path, dev_t *ret);
