/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* plan.h - the plan for a device that is open, also one of a test's own */
#pragma once
#include "coffer/plan.h"
#include "io/dev.h"

/* As coffer_plan, for @dev, opened for reading; @o->encrypt->device is not used. */
int coffer_plan_dev(struct coffer_dev *dev, const struct coffer_plan_options *o,
	struct coffer_plan **ret, struct coffer_err *e);
