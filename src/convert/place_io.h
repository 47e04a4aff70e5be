/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* place_io.h - the writes that a placement and its undoing share */
#pragma once
#include "convert/record.h"
#include "io/dev.h"

/* Write, flush, read back from the disk and compare. -EIO when it gives back something else. */
int coffer_write_verified(
	struct coffer_dev *d, const uint8_t *p, size_t n, uint64_t off, struct coffer_err *e);

/* Copy [from, from + n) to @to, flush, read back from the disk and compare. */
int coffer_copy_verified(
	struct coffer_dev *d, uint64_t from, uint64_t to, uint64_t n, struct coffer_err *e);

/* @rec to its place in the reserve, verified. */
int coffer_write_record(
	struct coffer_dev *d, const struct coffer_record *rec, struct coffer_err *e);

/* The transition block of @rec's kind over block 0, flushed. */
int coffer_write_transition(
	struct coffer_dev *d, const struct coffer_record *rec, struct coffer_err *e);

/* Add to @rec's veils the blocks with a signature in the head, which lies at byte @head now. Not in
 * direct mode. REFUSED with -E2BIG when there are too many. */
int coffer_find_masked(
	struct coffer_dev *d, uint64_t head, struct coffer_record *rec, struct coffer_err *e);
