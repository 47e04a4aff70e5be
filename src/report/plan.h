/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* plan.h - the public call over any device, for tests that bring their own */
#pragma once
#include "coffer/plan.h"
#include "io/dev.h"

/* As coffer_plan, for @dev, which was opened for reading and stays open; @o->encrypt->device is not
 * looked at. */
int coffer_plan_dev(struct coffer_dev *dev, const struct coffer_plan_options *o,
	struct coffer_plan **ret, struct coffer_err *e);
