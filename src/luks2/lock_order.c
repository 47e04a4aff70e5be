/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* lock_order.c - which lock may be taken while others are held */
#include "luks2/lock_order.h"

#include <assert.h>
#include <errno.h>

#include "base/cleanup.h"

static const char *const names[] = {
	[COFFER_LOCK_REENCRYPTION] = "reencryption",
	[COFFER_LOCK_DISK] = "disk",
	[COFFER_LOCK_OPAL] = "OPAL",
	[COFFER_LOCK_METADATA] = "metadata",
	[COFFER_LOCK_MEMORY_HARD] = "memory-hard",
};
static_assert(ARRAY_SIZE(names) == COFFER_N_LOCKS, "every lock has a name");

const char *coffer_lock_kind_name(enum coffer_lock_kind k)
{
	return (unsigned int)k < COFFER_N_LOCKS ? names[k] : "unknown";
}

int coffer_lock_order(unsigned int held, enum coffer_lock_kind wanted)
{
	if ((unsigned int)wanted >= COFFER_N_LOCKS)
		return -EDEADLK;
	if (wanted == COFFER_LOCK_MEMORY_HARD)
		return held == 0 ? 0 : -EDEADLK;
	return held >> wanted == 0 ? 0 : -EDEADLK; /* this one, or one behind it */
}
