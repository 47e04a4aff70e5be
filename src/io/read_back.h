/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* read_back.h - write, flush, read back from the disk and compare
 *
 * A device may lose a write and report success. What a later step relies on is read back from the
 * disk, not from a cache, before that step begins. */
#pragma once
#include "io/dev.h"

/* Compare @n bytes at @off of the disk, flushed before, with @p. -EIO: they differ. */
int coffer_dev_compare(
	struct coffer_dev *d, const uint8_t *p, size_t n, uint64_t off, struct coffer_err *e);

/* Write, flush and compare. */
int coffer_dev_write_verified(
	struct coffer_dev *d, const uint8_t *p, size_t n, uint64_t off, struct coffer_err *e);

/* Copy [from, from + n) to @to, flush and compare. */
int coffer_dev_copy_verified(
	struct coffer_dev *d, uint64_t from, uint64_t to, uint64_t n, struct coffer_err *e);

/* The error for other bytes at @off than were written there. */
int coffer_dev_mismatch(const struct coffer_dev *d, uint64_t off, struct coffer_err *e);
