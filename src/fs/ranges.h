/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ranges.h - lists of byte ranges */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "coffer/err.h"

struct coffer_range {
	uint64_t start, end; /* [start, end) */
};

/* A range behind the others; one that touches the last one makes that longer. Empty ones are left
 * out. -ENOMEM with @e set. */
int coffer_ranges_add(
	struct coffer_range **items, size_t *n, uint64_t start, uint64_t end, struct coffer_err *e);

/* What both have; both ascend. */
int coffer_ranges_intersect(struct coffer_range **items, size_t *n, const struct coffer_range *with,
	size_t n_with, struct coffer_err *e);
