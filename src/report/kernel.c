/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* kernel.c - what this kernel can do */
#include "report/kernel.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "block/proc.h"
#include "io/sysfs.h"

/* The initial pid namespace: PROC_PID_INIT_INO. */
#define INIT_PID_NS 0xEFFFFFFCU

/* Is dm-crypt in this list? By lines, since modules.dep may be large. *@readable stays as it is if
 * there is no list. */
static bool is_listed(const char *release, const char *list, bool *readable)
{
	char path[256];
	char *line = NULL;
	size_t size = 0;
	bool found = false;
	FILE *f;

	(void)snprintf(path, sizeof(path), "/lib/modules/%s/%s", release, list);
	f = fopen(path, "re");
	if (!f)
		return false;
	*readable = true;
	while (!found && getline(&line, &size, f) > 0)
		found = coffer_module_line(line, "dm-crypt");
	free(line);
	(void)fclose(f);
	return found;
}

static enum coffer_module find_dm_crypt(const char *release)
{
	bool readable = false;

	if (access("/sys/module/dm_crypt", F_OK) == 0 ||
		is_listed(release, "modules.builtin", &readable) ||
		is_listed(release, "modules.dep", &readable))
		return COFFER_MODULE_AVAILABLE;
	return readable ? COFFER_MODULE_ABSENT : COFFER_MODULE_UNKNOWN;
}

static bool has_only_other_modules(const char *release)
{
	const struct dirent *d;
	bool own = false, other = false;
	DIR *dir = opendir("/lib/modules");

	while (dir && (d = readdir(dir))) {
		own |= strcmp(d->d_name, release) == 0;
		other |= d->d_name[0] != '.' && strcmp(d->d_name, release) != 0;
	}
	if (dir)
		(void)closedir(dir);
	return other && !own;
}

void coffer_kernel_read(struct coffer_kernel_facts *ret)
{
	struct stat st;
	struct utsname u;

	*ret = (struct coffer_kernel_facts){
		.container = stat("/proc/self/ns/pid", &st) == 0 && st.st_ino != INIT_PID_NS};
	if (uname(&u) == 0)
		(void)snprintf(ret->release, sizeof(ret->release), "%s", u.release);
	ret->other_modules = has_only_other_modules(ret->release);
	ret->dm_crypt = find_dm_crypt(ret->release);
}

uint64_t coffer_kernel_available(void)
{
	_cleanup_free_ char *text = NULL;
	uint64_t memory = 0, swap = 0;

	if (coffer_sysfs_read(AT_FDCWD, "/proc/meminfo", &text) < 0 ||
		coffer_proc_number(text, "MemAvailable:", &memory) < 0)
		return 0;
	(void)coffer_proc_number(text, "SwapFree:", &swap);
	return memory + swap;
}
