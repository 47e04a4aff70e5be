/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* read_back.h - write, flush, read back from the disk and compare
 *
 * A device may lose a write and say that it is done. What a later step relies on is read back, from
 * the disk and not from a cache, before that step begins. */
#pragma once
#include "io/dev.h"

/* Are the @n bytes at @off of the disk those at @p? Flushed before. -EIO: they are not. */
int coffer_dev_compare(
	struct coffer_dev *d, const uint8_t *p, size_t n, uint64_t off, struct coffer_err *e);

/* Write, flush and compare. */
int coffer_dev_write_verified(
	struct coffer_dev *d, const uint8_t *p, size_t n, uint64_t off, struct coffer_err *e);

/* Copy [from, from + n) to @to, flush and compare. */
int coffer_dev_copy_verified(
	struct coffer_dev *d, uint64_t from, uint64_t to, uint64_t n, struct coffer_err *e);

/* The error for bytes at @off that are not what was written there. */
int coffer_dev_mismatch(const struct coffer_dev *d, uint64_t off, struct coffer_err *e);
