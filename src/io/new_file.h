/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* new_file.h - create a file complete and durable or not at all; read an entire file */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "coffer/err.h"
#include "io/dev.h"

/* A file to be created: its folder is open, and it does not exist yet. */
struct coffer_new_file {
	int folder;
	char *name; /* within the folder */
	char *path; /* as the caller gave it, for messages */
};

/* REFUSED with -EEXIST: @path exists, even if as a dangling link. Nothing is created. */
int coffer_new_file_open(const char *path, struct coffer_new_file *ret, struct coffer_err *e);
void coffer_new_file_close(struct coffer_new_file *f);
#define _cleanup_new_file_ _cleanup_(coffer_new_file_close)

/* Create it with @n bytes, readable by the owner only. It gets its name once the bytes are durable,
 * and the name is made durable, too. No file is ever replaced. On failure there is no such file. */
int coffer_new_file_write(
	const struct coffer_new_file *f, const void *p, size_t n, struct coffer_err *e);

/* Read the regular file @path into a buffer of coffer_dev_buffer. REFUSED with -EFBIG: more than
 * @limit bytes; with -EINVAL: not a regular file. */
int coffer_file_read(
	const char *path, uint64_t limit, uint8_t **ret, uint64_t *ret_n, struct coffer_err *e);
