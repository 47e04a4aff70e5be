/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* doctor_machine.c - check the machine: locks, kernel, udev, swap, memory */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/findings.h"
#include "base/secret.h"
#include "block/proc.h"
#include "convert/session.h"
#include "fs/signatures.h"
#include "io/sysfs.h"
#include "report/doctor.h"
#include "report/judge.h"

/* The initial pid namespace: PROC_PID_INIT_INO. */
#define INIT_PID_NS 0xEFFFFFFCU

enum {
	/* What a run locks at a time, each in pages of its own: the passphrase, a keyslot's key and
	 * the volume key. */
	LOCKED = COFFER_MAX_PASSPHRASE + (16 << 10)
};

/* --- kernel --- */

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

static void read_kernel(struct coffer_kernel_facts *ret)
{
	bool readable = false;
	struct utsname u;
	struct stat st;
	char own[256];
	glob_t others;

	*ret = (struct coffer_kernel_facts){
		.container = stat("/proc/self/ns/pid", &st) == 0 && st.st_ino != INIT_PID_NS};
	if (uname(&u) == 0)
		(void)snprintf(ret->release, sizeof(ret->release), "%s", u.release);
	if (access("/sys/module/dm_crypt", F_OK) == 0 ||
		is_listed(ret->release, "modules.builtin", &readable) ||
		is_listed(ret->release, "modules.dep", &readable))
		ret->dm_crypt = COFFER_MODULE_AVAILABLE;
	else if (readable)
		ret->dm_crypt = COFFER_MODULE_ABSENT;
	(void)snprintf(own, sizeof(own), "/lib/modules/%s", ret->release);
	if (access(own, F_OK) == 0 || glob("/lib/modules/*", GLOB_NOSORT, NULL, &others) != 0)
		return;
	ret->other_modules = true;
	globfree(&others);
}

uint64_t coffer_doctor_memory(void)
{
	_cleanup_free_ char *text = NULL;
	uint64_t memory = 0, swap = 0;

	if (coffer_sysfs_read(AT_FDCWD, "/proc/meminfo", &text) < 0 ||
		coffer_proc_number(text, "MemAvailable:", &memory) < 0)
		return 0;
	(void)coffer_proc_number(text, "SwapFree:", &swap);
	return memory + swap;
}

/* --- all of it --- */

static int check_locks(struct coffer_findings *l)
{
	_cleanup_lock_files_ struct coffer_lock_files files = {0};
	struct coffer_lock_dir_facts dir;
	struct coffer_err why = {0};
	int r;

	coffer_lock_dir_read(&dir);
	r = coffer_judge_lock_dir(&dir, l);
	if (r < 0 || dir.dir != COFFER_ENTRY_FOLDER)
		return r;
	r = coffer_lock_files_read(&files, &why);
	if (r == -ENOMEM)
		return r;
	if (r == -EACCES || r == -EPERM)
		return coffer_findings_add(l, COFFER_TEXT_LOCKS_HIDDEN, NULL, NULL);
	if (r < 0)
		return coffer_findings_add(l, COFFER_TEXT_LOCKS_UNREAD,
			COFFER_WITH(COFFER_ARG_TEXT("reason", why.msg)), NULL);
	return coffer_judge_locks(files.items, files.n, l);
}

static int check_swap(struct coffer_findings *l)
{
	struct coffer_swap_list swaps = {0};
	int r;

	r = coffer_dm_scan_swaps(&swaps);
	if (r == 0)
		r = coffer_judge_swaps(swaps.items, swaps.n, coffer_dm_scan_count(), l);
	free(swaps.items);
	return r;
}

static int check_hibernation(struct coffer_findings *l)
{
	struct coffer_err why = {0};

	if (geteuid() != 0)
		return coffer_findings_add(l, COFFER_TEXT_HIBERNATION_HIDDEN, NULL, NULL);
	if (coffer_refuse_hibernation(&why) == 0)
		return coffer_findings_add(l, COFFER_TEXT_HIBERNATION, NULL, NULL);
	return coffer_findings_add_err(l, COFFER_FINDING_HIBERNATION, "", &why);
}

/* An attempt, since a limit does not bind every process. */
static int check_memory_lock(struct coffer_findings *l)
{
	struct coffer_secret *s = NULL;
	const int r = coffer_secret_new(LOCKED - sizeof(*s), &s, NULL);

	coffer_secret_free(s);
	return coffer_judge_memory_lock(LOCKED, -r, l);
}

int coffer_doctor_machine(struct coffer_findings *l)
{
	struct coffer_kernel_facts kernel;
	int r;

	read_kernel(&kernel);
	r = check_locks(l);
	if (r == 0)
		r = coffer_judge_dm_crypt(&kernel, l);
	if (r == 0)
		r = coffer_judge_udev(coffer_udev_probe(), l);
	if (r == 0)
		r = check_swap(l);
	if (r == 0)
		r = check_hibernation(l);
	return r < 0 ? r : check_memory_lock(l);
}
