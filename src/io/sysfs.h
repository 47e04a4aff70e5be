/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* sysfs.h - small files of /proc and /sys */
#pragma once
#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/cleanup.h"

/* Read the text @path below @dir_fd (or AT_FDCWD) into memory for free(). -errno. */
int coffer_sysfs_read(int dir_fd, const char *path, char **ret);

/* Copy the first line, truncated to @size, to @ret. false and "": unreadable or empty. */
bool coffer_sysfs_read_line(int dir_fd, const char *path, char *ret, size_t size);

/* Read "MAJOR:MINOR". */
bool coffer_sysfs_read_dev(int dir_fd, const char *path, dev_t *ret);

/* The next name in @dir that does not begin with a dot; NULL: none is left, or @dir is NULL. */
const char *coffer_dir_next(DIR *dir);
void coffer_dir_close(DIR *dir); /* NULL is fine */
DEFINE_CLEANUP(DIR *, dir, coffer_dir_close);
#define _cleanup_dir_ _cleanup_(cleanup_dir)
