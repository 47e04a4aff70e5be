/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fuzz_locks.c - fuzz target: the kernel's lists of locks
 *
 * Input: /proc/locks and /proc/PID/fdinfo/FD; each text is tried as both. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/proc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* What was understood, written as the kernel writes it, reads the same again. */
static void check_line(const char *line)
{
	struct coffer_lock_line l = {.pid = -77}, again;
	char text[256];
	const int r = coffer_lock_parse(line, &l);

	if (r < 0) {
		if (r != -EBADMSG || l.pid != -77)
			abort();
		return;
	}
	if (l.pid < -1)
		abort();
	(void)snprintf(text, sizeof(text),
		"1: %s%s ADVISORY  WRITE %" PRId32 " %02" PRIx32 ":%02" PRIx32 ":%" PRIu64 " 0 EOF",
		l.waits ? "-> " : "", l.flock ? "FLOCK " : "POSIX ", l.pid, l.major, l.minor,
		l.ino);
	if (coffer_lock_parse(text, &again) != 0 || again.flock != l.flock ||
		again.waits != l.waits || again.pid != l.pid || again.major != l.major ||
		again.minor != l.minor || again.ino != l.ino)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char *text = calloc(1, n + 1); /* of just that size: nothing after it is read */
	char *copy = calloc(1, n + 1), *rest = copy, *line;
	struct coffer_fdinfo info = {.flags = 77};
	int r;

	if (text && copy) {
		memcpy(text, data, n);
		memcpy(copy, data, n);
		while ((line = strsep(&rest, "\n")))
			check_line(line);
		r = coffer_fdinfo_parse(text, &info);
		if (r < 0 && (r != -EBADMSG || info.flags != 77 || info.flocked))
			abort();
	}
	free(text);
	free(copy);
	return 0;
}
