/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* exclusive.h - could a run have exclusive access? Asked without opening the disk for it */
#pragma once
#include "coffer/finding.h"
#include "coffer/status.h"
#include "io/dev.h"

/* Refuse if a process converts @dev now, or another holder keeps a run from it. */
int coffer_exclusive_check(
	const struct coffer_dev *dev, const struct coffer_status *s, struct coffer_err *e);

/* Add "exclusive", "writable" and "locks" to @l. @dev was opened for reading. -ENOMEM. */
int coffer_exclusive_list(const struct coffer_dev *dev, const struct coffer_status *s,
	struct coffer_findings *l, struct coffer_err *e);
