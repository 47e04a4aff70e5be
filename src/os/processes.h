/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* processes.h - the processes of this machine, from /proc
 *
 * They come and go while we look; one that has gone is no error. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/cleanup.h"

struct coffer_pids {
	pid_t *items;
	size_t n;
};

/* All processes but this one. *@complete becomes false when some are hidden from us (another pid
 * namespace, hidepid=, no /proc at all). -ENOMEM. */
int coffer_pids_read(struct coffer_pids *ret, bool *complete);
void coffer_pids_free(struct coffer_pids *p);
#define _cleanup_pids_ _cleanup_(coffer_pids_free)
