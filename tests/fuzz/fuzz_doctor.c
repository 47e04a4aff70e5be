/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fuzz_doctor.c - fuzz target: the texts of the machine that doctor reads
 *
 * Input: any of the texts that the doctor reads: /proc/PID/stat, /proc/meminfo, /proc/misc,
 * modules.dep, the name of a lock. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/proc.h"
#include "report/judge.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* What was understood makes the same name again. */
static void check_lock_name(const char *name)
{
	struct coffer_lock_name l;
	char again[256];

	coffer_lock_name_parse(name, &l);
	switch (l.kind) {
	case COFFER_LOCK_ENTRY_DEVICE:
	case COFFER_LOCK_ENTRY_OPAL:
		(void)snprintf(again, sizeof(again), "%s%" PRIu32 ":%" PRIu32,
			l.kind == COFFER_LOCK_ENTRY_DEVICE ? "L_" : "LN_OPAL_", l.major, l.minor);
		break;
	case COFFER_LOCK_ENTRY_REENCRYPTION:
		(void)snprintf(again, sizeof(again), "LN_LUKS2-reencryption-%s", l.uuid);
		break;
	case COFFER_LOCK_ENTRY_MEMORY:
		(void)snprintf(again, sizeof(again), "LN_memory-hard-access");
		break;
	case COFFER_LOCK_ENTRY_UNKNOWN:
		if (l.major || l.minor || l.uuid[0])
			abort();
		return;
	}
	if (strcmp(again, name) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char *text = calloc(1, n + 1); /* of just that size: nothing after it is read */
	uint64_t v = 77;
	int r;

	if (!text)
		return 0;
	memcpy(text, data, n);
	(void)coffer_proc_state_parse(text);
	check_lock_name(text);
	r = coffer_proc_number(text, "MemAvailable:", &v);
	if (r < 0 && (r != -ENODATA || v != 77))
		abort();
	(void)coffer_module_line(text, "dm-crypt");
	free(text);
	return 0;
}
