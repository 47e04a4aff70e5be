/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* memory.c - keep this process's keys off the disk and out of sight
 *
 * The library locks the secrets that it holds itself; OpenSSL's key schedules lie in the heap,
 * whose pages the program may lock, but not a library. */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "cli/cli.h"

void coffer_memory_protect(void)
{
	const struct rlimit none = {0, 0};

	(void)setrlimit(RLIMIT_CORE, &none);
#ifndef __SANITIZE_ADDRESS__ /* the leak check traces its own process */
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
}

static void lock_heap(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];
	uintptr_t from, to;

	if (!maps)
		return;
	while (fgets(line, sizeof(line), maps))
		if (strstr(line, "[heap]") &&
			sscanf(line, "%" SCNxPTR "-%" SCNxPTR, &from, &to) == 2)
			(void)mlock((const void *)from, to - from);
	(void)fclose(maps);
}

void coffer_memory_lock(void)
{
	/* Not the future: a limit that a later allocation hits would end the run. Beyond the limit
	 * of an ordinary user the heap alone still fits. */
	if (mlockall(MCL_CURRENT | MCL_ONFAULT) < 0)
		lock_heap();
}
