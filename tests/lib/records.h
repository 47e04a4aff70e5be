/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* records.h - a record of a placement for tests, and whether two are alike */
#pragma once
#include <stdbool.h>

#include "convert/record.h"

#define MIB (UINT64_C(1) << 20)

/* Valid, with two extents and two masked superblocks. */
struct coffer_record record_sample(enum coffer_placement_kind kind);
bool geometry_equals(const struct coffer_geometry *a, const struct coffer_geometry *b);
bool record_equals(const struct coffer_record *a, const struct coffer_record *b);
