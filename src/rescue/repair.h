/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* repair.h - repair on a device that is already open */
#pragma once
#include "coffer/repair.h"
#include "io/dev.h"

/* As coffer_repair; @dev is closed in any case, @o->device is not read. */
int coffer_repair_dev(struct coffer_dev *dev, const struct coffer_repair_options *o,
	struct coffer_repair_result **ret, struct coffer_err *e);
