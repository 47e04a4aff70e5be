/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* new_file.h - files that are written as a whole and durably or not at all, and read as a whole */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "coffer/err.h"
#include "io/dev.h"

/* A file that is about to be: its folder is open, and it does not exist yet. */
struct coffer_new_file {
	int folder;
	char *name; /* within the folder */
	char *path; /* as it was given, for messages */
};

/* REFUSED with -EEXIST: @path is there, be it as a link to nothing. Nothing is made. */
int coffer_new_file_open(const char *path, struct coffer_new_file *ret, struct coffer_err *e);
void coffer_new_file_close(struct coffer_new_file *f);
#define _cleanup_new_file_ _cleanup_(coffer_new_file_close)

/* Give it @n bytes; only the owner may read it. It gets its name when they are durable, nothing is
 * ever replaced, and the name is durable too. On failure there is no such file. */
int coffer_new_file_write(
	const struct coffer_new_file *f, const void *p, size_t n, struct coffer_err *e);

/* All bytes of the regular file @path, at most @limit, in a buffer of coffer_dev_buffer. -EFBIG:
 * more; REFUSED with -EINVAL: it is no regular file. */
int coffer_file_read(
	const char *path, uint64_t limit, uint8_t **ret, uint64_t *ret_n, struct coffer_err *e);
