/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* proc.c - parse text from /proc: locks, descriptors, processes, memory, modules */
#include "block/proc.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "1: FLOCK  ADVISORY  WRITE 812 00:19:1234 0 EOF", and "1: -> FLOCK ..." for one that waits. Open
 * file description locks have the pid -1. */
int coffer_lock_parse(const char *line, struct coffer_lock_line *ret)
{
	char kind[16], pid[12], maj[9], min[9], ino[21], end[8];
	struct coffer_lock_line l = {0};
	const char *p;
	long long number;

	line += strspn(line, " \t");
	p = line + strspn(line, "0123456789");
	if (p == line || *p++ != ':')
		return -EBADMSG;
	p += strspn(p, " ");
	l.waits = strncmp(p, "->", 2) == 0;
	/* Without the range at its end the line is incomplete, perhaps within the inode. */
	if (sscanf(l.waits ? p + 2 : p,
		    "%15s %*s %*s %11[-0-9] %8[0-9a-f]:%8[0-9a-f]:%20[0-9]%*[ ]%*s %7s", kind, pid,
		    maj, min, ino, end) != 6)
		return -EBADMSG;
	number = strtoll(pid, NULL, 10);
	errno = 0;
	l.ino = strtoull(ino, NULL, 10);
	if (errno != 0 || number < -1 || number > INT32_MAX)
		return -EBADMSG;
	l.flock = strcmp(kind, "FLOCK") == 0;
	l.pid = (int32_t)number;
	l.major = (uint32_t)strtoul(maj, NULL, 16);
	l.minor = (uint32_t)strtoul(min, NULL, 16);
	*ret = l;
	return 0;
}

int coffer_fdinfo_parse(char *text, struct coffer_fdinfo *ret)
{
	struct coffer_fdinfo info = {0};
	struct coffer_lock_line lock;
	unsigned long long flags = UINT64_MAX;
	char digits[13], more;
	const char *line;

	while ((line = strsep(&text, "\n"))) {
		if (flags > UINT32_MAX && sscanf(line, "flags: %12[0-7]%c", digits, &more) == 1)
			flags = strtoull(digits, NULL, 8);
		else if (strncmp(line, "lock:", 5) == 0 && coffer_lock_parse(line + 5, &lock) == 0)
			info.flocked |= lock.flock && !lock.waits;
	}
	if (flags > UINT32_MAX)
		return -EBADMSG;
	info.flags = (uint32_t)flags;
	*ret = info;
	return 0;
}

char coffer_proc_state_parse(const char *text)
{
	const char *end = strrchr(text, ')');
	char state[3];

	return end && sscanf(end + 1, "%2s", state) == 1 && !state[1] ? state[0] : '\0';
}

int coffer_proc_number(const char *text, const char *name, uint64_t *ret)
{
	const size_t n = strlen(name);

	while (strncmp(text, name, n) != 0 || sscanf(text + n, "%" SCNu64, ret) != 1) {
		text = strchr(text, '\n');
		if (!text)
			return -ENODATA;
		text++;
	}
	return 0;
}

static char underscore(char c)
{
	return c == '-' ? '_' : c;
}

bool coffer_module_line(const char *line, const char *module)
{
	const char *slash = memrchr(line, '/', strcspn(line, " \t:"));

	if (slash)
		line = slash + 1;
	for (; *module; module++, line++)
		if (underscore(*line) != underscore(*module))
			return false;
	return strncmp(line, ".ko", 3) == 0;
}
