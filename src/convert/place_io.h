/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* place_io.h - the writes that placement and undo share */
#pragma once
#include "convert/record.h"
#include "io/dev.h"

/* @rec to its place in the reserve, verified. */
int coffer_write_record(
	struct coffer_dev *d, const struct coffer_record *rec, struct coffer_err *e);

/* The transition block of @rec's kind over block 0, flushed. */
int coffer_write_transition(
	struct coffer_dev *d, const struct coffer_record *rec, struct coffer_err *e);

/* Add to @rec's masked blocks those with a signature in the S bytes at byte @at. Not in direct
 * mode. REFUSED with -E2BIG when there are too many. */
int coffer_find_masked(
	struct coffer_dev *d, uint64_t at, struct coffer_record *rec, struct coffer_err *e);
