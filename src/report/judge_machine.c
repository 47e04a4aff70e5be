/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* judge_machine.c - can this machine take locks, open volumes, and keep their secrets */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/findings.h"
#include "report/judge.h"

#define DIR	"/run/cryptsetup"
#define REMOUNT COFFER_RUN("mount", "-o", "remount,rw", "/run")
#define CHMOD	COFFER_RUN("chmod", "0700", DIR)

static const char *type_name(enum coffer_entry e)
{
	return e == COFFER_ENTRY_LINK	  ? "a symbolic link"
	       : e == COFFER_ENTRY_FOLDER ? "a directory"
	       : e == COFFER_ENTRY_FILE	  ? "a regular file"
					  : "a special file";
}

/* --- the directory --- */

static int judge_directory(const struct coffer_lock_dir_facts *f, struct coffer_findings *l)
{
	char mode[16];
	const struct coffer_argument *arguments;

	(void)snprintf(mode, sizeof(mode), "%04" PRIo32, f->mode & 07777);
	arguments =
		COFFER_WITH(COFFER_ARG_NUMBER("owner", f->owner), COFFER_ARG_TEXT("mode", mode));
	if (f->owner != 0 && f->owner_known)
		return coffer_findings_add(l, COFFER_TEXT_LOCK_DIRECTORY_OWNER, arguments,
			COFFER_RUN("chown", "root:root", DIR, "&&", "chmod", "0700", DIR));
	if (f->mode & 0022)
		return coffer_findings_add(
			l, COFFER_TEXT_LOCK_DIRECTORY_WRITABLE, arguments, CHMOD);
	if (f->owner != 0)
		return coffer_findings_add(l, COFFER_TEXT_LOCK_DIRECTORY_UNKNOWN, NULL, NULL);
	if (!f->usable)
		return f->root ? coffer_findings_add(
					 l, COFFER_TEXT_LOCK_DIRECTORY_READ_ONLY, NULL, REMOUNT)
			       : coffer_findings_add(
					 l, COFFER_TEXT_LOCK_DIRECTORY_ROOT_ONLY, NULL, NULL);
	if (f->mode & 0055)
		return coffer_findings_add(
			l, COFFER_TEXT_LOCK_DIRECTORY_READABLE, arguments, CHMOD);
	return coffer_findings_add(l, COFFER_TEXT_LOCK_DIRECTORY, NULL, NULL);
}

int coffer_judge_lock_dir(const struct coffer_lock_dir_facts *f, struct coffer_findings *l)
{
	if (f->run == COFFER_ENTRY_MISSING)
		return coffer_findings_add(l, COFFER_TEXT_LOCK_DIRECTORY_NO_RUN, NULL,
			COFFER_RUN("mount", "-t", "tmpfs", "-o", "mode=0755,nosuid,nodev", "tmpfs",
				"/run"));
	if (f->run != COFFER_ENTRY_FOLDER && f->run != COFFER_ENTRY_HIDDEN)
		return coffer_findings_add(l, COFFER_TEXT_LOCK_DIRECTORY_RUN,
			COFFER_WITH(COFFER_ARG_TEXT("type", type_name(f->run))), NULL);
	if (f->dir == COFFER_ENTRY_FOLDER)
		return judge_directory(f, l);
	if (f->dir == COFFER_ENTRY_HIDDEN)
		return coffer_findings_add(l, COFFER_TEXT_LOCK_DIRECTORY_HIDDEN, NULL, NULL);
	if (f->dir != COFFER_ENTRY_MISSING)
		return coffer_findings_add(l, COFFER_TEXT_LOCK_DIRECTORY_TYPE,
			COFFER_WITH(COFFER_ARG_TEXT("type", type_name(f->dir))),
			COFFER_RUN("rm", DIR));
	if (f->root && !f->run_writable)
		return coffer_findings_add(l, COFFER_TEXT_LOCK_DIRECTORY_NOT_MADE, NULL, REMOUNT);
	return coffer_findings_add(l, COFFER_TEXT_LOCK_DIRECTORY_MISSING, NULL, NULL);
}

/* --- the locks --- */

/* "process 812 (cryptsetup, traced)" */
static void print_process(const struct coffer_lock_process *p, char *ret, size_t size)
{
	if (p->pid == 0)
		(void)snprintf(ret, size, "a process that is not visible here");
	else
		(void)snprintf(ret, size, "process %" PRId32 " (%s%s)", p->pid, p->comm,
			p->state == 't' ? ", traced" : "");
}

/* What the lock protects; its name if that is not known. */
static void print_object(const struct coffer_lock_entry *f, char *ret, size_t size)
{
	static const char *const texts[] = {
		[COFFER_LOCK_ENTRY_DEVICE] = "the LUKS2 metadata of /dev/",
		[COFFER_LOCK_ENTRY_OPAL] = "the OPAL drive of /dev/",
		[COFFER_LOCK_ENTRY_REENCRYPTION] = "the reencryption of ",
		[COFFER_LOCK_ENTRY_MEMORY] = "memory-hard key derivations",
	};
	struct coffer_lock_name n;

	coffer_lock_name_parse(f->name, &n);
	if (n.kind == COFFER_LOCK_ENTRY_REENCRYPTION || n.kind == COFFER_LOCK_ENTRY_MEMORY)
		(void)snprintf(ret, size, "%s%s", texts[n.kind], n.uuid);
	else if (f->device[0])
		(void)snprintf(ret, size, "%s%s", texts[n.kind], f->device);
	else
		(void)snprintf(ret, size, "'%.64s'", f->name);
}

static int judge_held(const struct coffer_lock_entry *f, struct coffer_findings *l)
{
	const bool stopped = f->holder.state == 'T';
	char object[128], holder[200], waiter[200] = "", pid[16], others[24] = "";

	print_object(f, object, sizeof(object));
	print_process(&f->holder, holder, sizeof(holder));
	if (f->waiters > 0)
		print_process(&f->waiter, waiter, sizeof(waiter));
	(void)snprintf(pid, sizeof(pid), "%" PRId32, f->holder.pid);
	if (f->holders > 1)
		(void)snprintf(others, sizeof(others), "%zu", f->holders - 1);
	return coffer_findings_add(l, stopped ? COFFER_TEXT_LOCK_STOPPED : COFFER_TEXT_LOCK_HELD,
		COFFER_WITH(COFFER_ARG_TEXT("holder", holder), COFFER_ARG_TEXT("others", others),
			COFFER_ARG_TEXT("object", object), COFFER_ARG_TEXT("waiter", waiter),
			COFFER_ARG_NUMBER("waiters", f->waiters)),
		stopped ? COFFER_RUN("kill", "-CONT", pid) : NULL);
}

static int judge_lock(const struct coffer_lock_entry *f, struct coffer_findings *l)
{
	char path[sizeof(DIR) + sizeof(f->name)];
	struct coffer_lock_name n;

	if (f->entry == COFFER_ENTRY_FILE && f->holders > 0)
		return judge_held(f, l);
	coffer_lock_name_parse(f->name, &n);
	if (n.kind == COFFER_LOCK_ENTRY_UNKNOWN)
		return coffer_findings_add(l, COFFER_TEXT_LOCK_UNKNOWN,
			COFFER_WITH(COFFER_ARG_TEXT("lock", f->name)), NULL);
	if (f->entry == COFFER_ENTRY_FILE || f->entry == COFFER_ENTRY_MISSING ||
		f->entry == COFFER_ENTRY_HIDDEN)
		return 0;
	(void)snprintf(path, sizeof(path), DIR "/%s", f->name);
	return coffer_findings_add(l, COFFER_TEXT_LOCK_TYPE,
		COFFER_WITH(COFFER_ARG_TEXT("lock", f->name),
			COFFER_ARG_TEXT("type", type_name(f->entry))),
		COFFER_RUN("rm", "-r", path));
}

int coffer_judge_locks(const struct coffer_lock_entry *files, size_t n, struct coffer_findings *l)
{
	const size_t before = l->n;
	bool complete = true;

	for (size_t i = 0; i < n; i++) {
		const int r = judge_lock(&files[i], l);

		if (r < 0)
			return r;
		complete &= files[i].complete;
	}
	if (l->n > before)
		return 0;
	return coffer_findings_add(l, COFFER_TEXT_LOCKS_NONE,
		COFFER_WITH(COFFER_ARG_TEXT("visible", complete ? "" : "visible")), NULL);
}

/* --- kernel, udev, swap, memory --- */

int coffer_judge_dm_crypt(const struct coffer_kernel_facts *f, struct coffer_findings *l)
{
	enum coffer_text t = COFFER_TEXT_DM_CRYPT_ABSENT;

	if (f->dm_crypt == COFFER_MODULE_AVAILABLE)
		t = COFFER_TEXT_DM_CRYPT;
	else if (f->container)
		t = COFFER_TEXT_DM_CRYPT_CONTAINER;
	else if (f->dm_crypt == COFFER_MODULE_UNKNOWN)
		t = f->other_modules ? COFFER_TEXT_DM_CRYPT_NO_MODULES
				     : COFFER_TEXT_DM_CRYPT_UNKNOWN;
	return coffer_findings_add(l, t, COFFER_WITH(COFFER_ARG_TEXT("release", f->release)), NULL);
}

int coffer_judge_udev(enum coffer_udev u, struct coffer_findings *l)
{
	static const enum coffer_text texts[] = {
		[COFFER_UDEV_ANSWERS] = COFFER_TEXT_UDEV,
		[COFFER_UDEV_NONE] = COFFER_TEXT_UDEV_NONE,
		[COFFER_UDEV_HIDDEN] = COFFER_TEXT_UDEV_HIDDEN,
		[COFFER_UDEV_SILENT] = COFFER_TEXT_UDEV_SILENT,
	};

	return coffer_findings_add(l, texts[u], NULL, NULL);
}

int coffer_judge_swaps(
	const struct coffer_swap *swaps, size_t n, size_t volumes, struct coffer_findings *l)
{
	const size_t before = l->n;

	for (size_t i = 0; i < n; i++) {
		const struct coffer_argument *swap =
			COFFER_WITH(COFFER_ARG_TEXT("swap", swaps[i].name));
		int r = 0;

		if (swaps[i].kind == COFFER_SWAP_UNKNOWN)
			r = coffer_findings_add(l, COFFER_TEXT_SWAP_UNKNOWN, swap, NULL);
		else if (swaps[i].kind == COFFER_SWAP_PLAIN && volumes > 0)
			r = coffer_findings_add(l, COFFER_TEXT_SWAP_PLAIN, swap, NULL);
		if (r < 0)
			return r;
	}
	return l->n > before ? 0 : coffer_findings_add(l, COFFER_TEXT_SWAP, NULL, NULL);
}

int coffer_judge_memory_lock(uint64_t bytes, int error, struct coffer_findings *l)
{
	char kib[32];

	(void)snprintf(kib, sizeof(kib), "%" PRIu64, bytes / 1024);
	return coffer_findings_add(l,
		error ? COFFER_TEXT_MEMORY_LOCK_FAILED : COFFER_TEXT_MEMORY_LOCK,
		COFFER_WITH(COFFER_ARG_SIZE("size", bytes),
			COFFER_ARG_TEXT("error", error ? strerror(error) : "")),
		error ? COFFER_RUN("ulimit", "-l", kib) : NULL);
}
