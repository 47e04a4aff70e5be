/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* judge_locks.c - what is wrong with cryptsetup's lock directory and the locks in it */
#include "report/judge_locks.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/findings.h"

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

/* What the lock protects. */
static void print_object(const struct coffer_lock_entry *f, char *ret, size_t size)
{
	struct coffer_lock_name n;
	char device[64];

	coffer_lock_name_parse(f->name, &n);
	(void)snprintf(device, sizeof(device), "%s%s",
		f->device[0]	   ? "/dev/"
		: f->devices_known ? "a removed device"
				   : "a device",
		f->device);
	switch (n.kind) {
	case COFFER_LOCK_ENTRY_DEVICE:
		(void)snprintf(ret, size, "the LUKS2 metadata of %s", device);
		return;
	case COFFER_LOCK_ENTRY_OPAL:
		(void)snprintf(ret, size, "the OPAL drive of %s", device);
		return;
	case COFFER_LOCK_ENTRY_REENCRYPTION:
		(void)snprintf(ret, size, "the reencryption of %s", n.uuid);
		return;
	case COFFER_LOCK_ENTRY_MEMORY:
		(void)snprintf(ret, size, "memory-hard key derivations");
		return;
	case COFFER_LOCK_ENTRY_UNKNOWN:
		break;
	}
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
	return coffer_findings_add(l,
		stopped		 ? COFFER_TEXT_LOCK_STOPPED
		: f->waiters > 0 ? COFFER_TEXT_LOCK_AWAITED
				 : COFFER_TEXT_LOCK_HELD,
		COFFER_WITH(COFFER_ARG_TEXT("holder", holder), COFFER_ARG_TEXT("others", others),
			COFFER_ARG_TEXT("object", object), COFFER_ARG_TEXT("waiter", waiter),
			COFFER_ARG_NUMBER("waiters", f->waiters)),
		stopped ? COFFER_RUN("kill", "-CONT", pid) : NULL);
}

static bool is_known(const struct coffer_lock_entry *f)
{
	struct coffer_lock_name n;

	coffer_lock_name_parse(f->name, &n);
	return n.kind != COFFER_LOCK_ENTRY_UNKNOWN;
}

static int judge_lock(const struct coffer_lock_entry *f, struct coffer_findings *l)
{
	char path[sizeof(DIR) + sizeof(f->name)];

	if (f->entry == COFFER_ENTRY_FILE && f->holders > 0)
		return judge_held(f, l);
	if (!is_known(f))
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
	const char *first = NULL;
	bool complete = true;
	size_t stale = 0;

	for (size_t i = 0; i < n; i++) {
		const struct coffer_lock_entry *f = &files[i];
		const int r = judge_lock(f, l);

		if (r < 0)
			return r;
		complete &= f->complete;
		if (f->entry == COFFER_ENTRY_FILE && f->holders == 0 && is_known(f) && stale++ == 0)
			first = f->name;
	}
	if (n == 0)
		return coffer_findings_add(l, COFFER_TEXT_LOCKS_NONE, NULL, NULL);
	if (stale == 0)
		return 0;
	return coffer_findings_add(l, COFFER_TEXT_LOCKS_STALE,
		COFFER_WITH(COFFER_ARG_NUMBER("files", stale), COFFER_ARG_TEXT("lock", first),
			COFFER_ARG_TEXT("visible", complete ? "" : "visible")),
		NULL);
}
