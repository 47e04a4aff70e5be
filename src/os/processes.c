/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "os/processes.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <sys/stat.h>

#include "base/array.h"

/* The initial pid namespace, the only one that sees all processes and locks: PROC_PID_INIT_INO. */
#define INIT_PID_NS 0xEFFFFFFCU

/* A name of digits only, as those of processes are; -1 for any other. */
static int name_number(const char *name)
{
	char *end;
	const long v = strtol(name, &end, 10);

	return name[0] >= '0' && name[0] <= '9' && !*end && v <= INT_MAX ? (int)v : -1;
}

static bool sees_everybody(bool saw_first)
{
	struct stat st;

	/* hidepid= hides the processes of others without an error; the first is nobody's but
	 * root's, and it is always there. */
	return saw_first && stat("/proc/self/ns/pid", &st) == 0 && st.st_ino == INIT_PID_NS;
}

int coffer_pids_read(struct coffer_pids *ret, bool *complete)
{
	struct coffer_pids p = {0};
	DIR *dir = opendir("/proc");
	const struct dirent *d;
	bool saw_first = false;

	while (dir && (d = readdir(dir))) {
		const int pid = name_number(d->d_name);

		if (pid <= 0)
			continue;
		saw_first |= pid == 1;
		if (pid == getpid())
			continue;
		if (!ARRAY_ROOM(p.items, p.n)) {
			(void)closedir(dir);
			coffer_pids_free(&p);
			return -ENOMEM;
		}
		p.items[p.n++] = pid;
	}
	if (dir)
		(void)closedir(dir);
	if (!sees_everybody(saw_first))
		*complete = false;
	*ret = p;
	return 0;
}

void coffer_pids_free(struct coffer_pids *p)
{
	free(p->items);
	*p = (struct coffer_pids){0};
}
