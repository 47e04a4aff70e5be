/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* loops.h - loop devices and their backing files
 *
 * The kernel does not open the backing file exclusively, and lists it in no holders/ folder. */
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

/* All loop devices with a backing file. *@complete becomes false if there is no sysfs, or if one's
 * backing file cannot be found. -ENOMEM. */
int coffer_loops_read(struct coffer_loops *ret, bool *complete);
void coffer_loops_free(struct coffer_loops *l);
