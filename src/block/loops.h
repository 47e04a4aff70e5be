/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* loops.h - loop devices, and what is below them
 *
 * The kernel takes no hold on what is below a loop device, and tells it there in no table. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"
#include "io/device_id.h"

struct coffer_loop {
	char name[32]; /* "loop0" */
	dev_t dev;
	struct coffer_device_id backing;
};

struct coffer_loops {
	struct coffer_loop *items;
	size_t n;
};

/* All loop devices that are in use. *@complete becomes false when there is no sysfs, or one of
 * them does not tell what it is over. -ENOMEM. */
int coffer_loops_read(struct coffer_loops *ret, bool *complete);
void coffer_loops_free(struct coffer_loops *l);
#define _cleanup_loops_ _cleanup_(coffer_loops_free)
