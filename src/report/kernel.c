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

static bool in_container(void)
{
	struct stat st;

	return stat("/proc/self/ns/pid", &st) == 0 && st.st_ino != INIT_PID_NS;
}

/* Is @module in this list? Read line by line: modules.dep may be larger than what is taken for a
 * small file. false, and *@readable as it was, when there is no list. */
static bool is_listed(const char *path, const char *module, bool *readable)
{
	FILE *f = fopen(path, "re");
	char *line = NULL;
	size_t size = 0;
	bool found = false;
	ssize_t n;

	if (!f)
		return false;
	*readable = true;
	while (!found && (n = getline(&line, &size, f)) > 0)
		found = coffer_module_line(line, (size_t)n - (line[n - 1] == '\n'), module);
	free(line);
	(void)fclose(f);
	return found;
}

static enum coffer_module find_module(const char *release, const char *module)
{
	char path[256];
	bool listed = false;

	(void)snprintf(path, sizeof(path), "/lib/modules/%s/modules.builtin", release);
	if (is_listed(path, module, &listed))
		return COFFER_MODULE_BUILTIN;
	(void)snprintf(path, sizeof(path), "/lib/modules/%s/modules.dep", release);
	if (is_listed(path, module, &listed))
		return COFFER_MODULE_FILE;
	return listed ? COFFER_MODULE_ABSENT : COFFER_MODULE_UNKNOWN;
}

/* Modules there are, but of other kernels. */
static bool has_other_modules(const char *release)
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
	_cleanup_free_ char *misc = NULL;
	struct coffer_kernel_facts f = {.container = in_container()};
	struct utsname u;
	size_t n;

	if (uname(&u) == 0)
		(void)snprintf(f.release, sizeof(f.release), "%s", u.release);
	f.other_modules = has_other_modules(f.release);
	f.device_mapper = access("/sys/class/misc/device-mapper", F_OK) == 0 ||
			  (coffer_sysfs_read(AT_FDCWD, "/proc/misc", &misc, &n) == 0 &&
				  coffer_proc_misc(misc, n, "device-mapper"));
	f.dm_crypt = access("/sys/module/dm_crypt", F_OK) == 0 ? COFFER_MODULE_LOADED
							       : find_module(f.release, "dm-crypt");
	*ret = f;
}

uint64_t coffer_kernel_available(void)
{
	_cleanup_free_ char *text = NULL;
	uint64_t memory = 0, swap = 0;
	size_t n;

	if (coffer_sysfs_read(AT_FDCWD, "/proc/meminfo", &text, &n) < 0 ||
		coffer_proc_number(text, n, "MemAvailable:", &memory) < 0)
		return 0;
	(void)coffer_proc_number(text, n, "SwapFree:", &swap);
	return memory + swap;
}
