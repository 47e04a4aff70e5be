/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* judge_locks.c - what is wrong with cryptsetup's lock directory and the locks in it */
#include "report/judge_locks.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/findings.h"

#define DIR "/run/cryptsetup"

/* --- the directory --- */

static int bad(struct coffer_findings *l, const char *text, const char *remedy)
{
	const int r = coffer_findings_print(
		l, COFFER_FINDING_LOCK_DIRECTORY, COFFER_VERDICT_BAD, "%s", text);

	if (r == 0)
		coffer_findings_advise(l, "%s", remedy);
	return r;
}

static int judge_run(const struct coffer_lock_dir_facts *f, struct coffer_findings *l)
{
	if (f->run == COFFER_ENTRY_MISSING)
		return bad(l, "there is no /run, so neither coffer nor cryptsetup can take a lock",
			"mount -t tmpfs -o mode=0755,nosuid,nodev tmpfs /run");
	if (f->run == COFFER_ENTRY_LINK)
		return bad(l,
			"/run is a symbolic link, and coffer follows none on the way to its locks",
			"make /run a folder of its own, and the other name a link to it");
	return bad(l, "/run is no folder, so neither coffer nor cryptsetup can take a lock",
		"make it a folder, with a tmpfs mounted on it");
}

static int judge_missing(const struct coffer_lock_dir_facts *f, struct coffer_findings *l)
{
	if (f->root && !f->run_writable)
		return bad(l,
			DIR " is not there and cannot be made, since /run cannot be written to: no "
			    "LUKS2 volume can be opened or converted",
			"mount -o remount,rw /run");
	return coffer_findings_print(l, COFFER_FINDING_LOCK_DIRECTORY, COFFER_VERDICT_NOTE,
		DIR " is not there; the first program of root's that takes a lock makes it");
}

static int judge_folder(const struct coffer_lock_dir_facts *f, struct coffer_findings *l)
{
	char text[200];

	if (f->owner != 0 && f->owner_known) {
		(void)snprintf(text, sizeof(text),
			DIR " belongs to user %" PRIu32
			    " and not to root: that user can take away and replace any lock",
			f->owner);
		return bad(l, text, "chown root:root " DIR " && chmod 0700 " DIR);
	}
	if (f->mode & 0022) {
		(void)snprintf(text, sizeof(text),
			DIR " has mode %04" PRIo32
			    ": others than root can take away and replace any lock",
			f->mode & 07777);
		return bad(l, text, "chmod 0700 " DIR);
	}
	if (f->owner != 0)
		return coffer_findings_print(l, COFFER_FINDING_LOCK_DIRECTORY,
			COFFER_VERDICT_UNCHECKED,
			"whose " DIR " is cannot be told: this user namespace does not know its "
			"owner");
	if (!f->usable && f->root)
		return bad(l, DIR " cannot be written to, so no lock can be taken",
			"mount -o remount,rw /run");
	if (!f->usable)
		return coffer_findings_print(l, COFFER_FINDING_LOCK_DIRECTORY, COFFER_VERDICT_NOTE,
			DIR " is root's: this user can work on image files, and on no block "
			    "device");
	if (f->mode & 0055) {
		const int r =
			coffer_findings_print(l, COFFER_FINDING_LOCK_DIRECTORY, COFFER_VERDICT_NOTE,
				DIR " has mode %04" PRIo32
				    ": others than root can hold a lock and so keep root waiting",
				f->mode & 07777);

		coffer_findings_advise(l, "chmod 0700 " DIR);
		return r;
	}
	return coffer_findings_print(l, COFFER_FINDING_LOCK_DIRECTORY, COFFER_VERDICT_OK,
		DIR " is a folder that only root can use");
}

int coffer_judge_lock_dir(const struct coffer_lock_dir_facts *f, struct coffer_findings *l)
{
	if (f->run != COFFER_ENTRY_FOLDER && f->run != COFFER_ENTRY_HIDDEN)
		return judge_run(f, l);
	switch (f->dir) {
	case COFFER_ENTRY_MISSING:
		return judge_missing(f, l);
	case COFFER_ENTRY_FOLDER:
		return judge_folder(f, l);
	case COFFER_ENTRY_HIDDEN:
		return coffer_findings_print(l, COFFER_FINDING_LOCK_DIRECTORY,
			COFFER_VERDICT_UNCHECKED, "this user may not look at " DIR);
	case COFFER_ENTRY_LINK:
		return bad(l,
			DIR " is a symbolic link; no program takes a lock through one, so no LUKS2 "
			    "volume can be opened",
			"find out who made it, then: rm " DIR);
	case COFFER_ENTRY_FILE:
	case COFFER_ENTRY_OTHER:
		break;
	}
	return bad(l, DIR " is no folder, so no lock can be taken and no LUKS2 volume opened",
		"find out who made it, then: rm " DIR);
}

/* --- the locks --- */

/* "2 h 5 min" */
static void print_age(uint64_t seconds, char *ret, size_t size)
{
	if (seconds >= 86400)
		(void)snprintf(ret, size, "%" PRIu64 " d %" PRIu64 " h", seconds / 86400,
			seconds / 3600 % 24);
	else if (seconds >= 3600)
		(void)snprintf(ret, size, "%" PRIu64 " h %" PRIu64 " min", seconds / 3600,
			seconds / 60 % 60);
	else if (seconds >= 60)
		(void)snprintf(
			ret, size, "%" PRIu64 " min %" PRIu64 " s", seconds / 60, seconds % 60);
	else
		(void)snprintf(ret, size, "%" PRIu64 " s", seconds);
}

/* "process 812 (cryptsetup, begun 3 s ago)" */
static void print_process(const struct coffer_lock_process *p, char *ret, size_t size)
{
	char age[64];

	print_age(p->age, age, sizeof(age));
	if (p->pid == 0)
		(void)snprintf(ret, size, "a process that cannot be seen from here");
	else if (p->state == 0)
		(void)snprintf(ret, size, "process %" PRId32 " (%s)", p->pid, p->comm);
	else
		(void)snprintf(
			ret, size, "process %" PRId32 " (%s, begun %s ago)", p->pid, p->comm, age);
}

/* What the lock is for, as the object of a sentence. */
static void print_object(
	const struct coffer_lock_entry *f, const struct coffer_lock_name *n, char *ret, size_t size)
{
	switch (n->kind) {
	case COFFER_LOCK_ENTRY_DEVICE:
	case COFFER_LOCK_ENTRY_OPAL:
		(void)snprintf(ret, size, "%s of %s%s (%s)",
			n->kind == COFFER_LOCK_ENTRY_OPAL ? "the OPAL drive below"
							  : "the LUKS2 metadata",
			f->device[0]	   ? "/dev/"
			: f->devices_known ? "a device that is gone"
					   : "a device",
			f->device, f->name);
		return;
	case COFFER_LOCK_ENTRY_REENCRYPTION:
		(void)snprintf(ret, size, "the reencryption of the volume %s", n->uuid);
		return;
	case COFFER_LOCK_ENTRY_MEMORY:
		(void)snprintf(ret, size, "key derivations that need much memory (%s)", f->name);
		return;
	case COFFER_LOCK_ENTRY_UNKNOWN:
		break;
	}
	(void)snprintf(ret, size, "what '%s' is for", f->name);
}

static int judge_held(const struct coffer_lock_entry *f, const struct coffer_lock_name *n,
	struct coffer_findings *l)
{
	const bool stopped = f->holder.state == 'T';
	char object[400], holder[160], waiter[160], more[240] = "";
	int r;

	print_object(f, n, object, sizeof(object));
	print_process(&f->holder, holder, sizeof(holder));
	print_process(&f->waiter, waiter, sizeof(waiter));
	if (f->waiters > 0)
		(void)snprintf(more, sizeof(more), "; %s waits for it%s", waiter,
			f->waiters > 1 ? ", and it is not the only one" : "");
	r = coffer_findings_print(l, COFFER_FINDING_LOCK,
		stopped ? COFFER_VERDICT_BAD : COFFER_VERDICT_NOTE, "%s %s the lock for %s%s%s",
		holder, f->holders > 1 ? "and others hold" : "holds", object,
		stopped			 ? ", and is stopped: nobody gets it before that goes on"
		: f->holder.state == 't' ? ", and is being traced"
					 : "",
		more);
	if (r < 0)
		return r;
	if (stopped)
		coffer_findings_advise(l, "kill -CONT %" PRId32, f->holder.pid);
	else if (f->waiters > 0 && f->holder.pid > 0)
		coffer_findings_advise(l,
			"a lock for metadata is held for seconds; where this stays so, look at "
			"what process %" PRId32 " does",
			f->holder.pid);
	return 0;
}

int coffer_judge_lock(const struct coffer_lock_entry *f, struct coffer_findings *l)
{
	struct coffer_lock_name n;
	int r;

	coffer_lock_name_parse(f->name, &n);
	if (f->entry == COFFER_ENTRY_FILE && f->holders > 0)
		return judge_held(f, &n, l);
	if (n.kind == COFFER_LOCK_ENTRY_UNKNOWN)
		return coffer_findings_print(l, COFFER_FINDING_LOCK, COFFER_VERDICT_NOTE,
			"'%s' in " DIR " is no lock that is known", f->name);
	if (f->entry == COFFER_ENTRY_FILE || f->entry == COFFER_ENTRY_MISSING ||
		f->entry == COFFER_ENTRY_HIDDEN)
		return 0;
	r = coffer_findings_print(l, COFFER_FINDING_LOCK, COFFER_VERDICT_BAD,
		DIR "/%s is %s, so this lock cannot be taken and its volume not be opened", f->name,
		f->entry == COFFER_ENTRY_LINK	  ? "a symbolic link"
		: f->entry == COFFER_ENTRY_FOLDER ? "a folder"
						  : "no regular file");
	if (r < 0)
		return r;
	coffer_findings_advise(l, "find out who made it, then: rm -r " DIR "/%s", f->name);
	return 0;
}

static bool is_left(const struct coffer_lock_entry *f)
{
	struct coffer_lock_name n;

	coffer_lock_name_parse(f->name, &n);
	return f->entry == COFFER_ENTRY_FILE && f->holders == 0 &&
	       n.kind != COFFER_LOCK_ENTRY_UNKNOWN;
}

int coffer_judge_locks(const struct coffer_lock_entry *files, size_t n, struct coffer_findings *l)
{
	const struct coffer_lock_entry *first = NULL;
	bool complete = true;
	size_t left = 0;
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++) {
		complete &= files[i].complete;
		if (is_left(&files[i]) && left++ == 0)
			first = &files[i];
		r = coffer_judge_lock(&files[i], l);
	}
	if (r < 0)
		return r;
	if (n == 0)
		return coffer_findings_print(l, COFFER_FINDING_LOCKS, COFFER_VERDICT_OK,
			"no lock of cryptsetup's is held, and none was left");
	if (left == 0)
		return 0;
	return coffer_findings_print(l, COFFER_FINDING_LOCKS, COFFER_VERDICT_NOTE,
		"%s holds %s%s; processes that were killed have left %s, which keeps nobody from "
		"taking that lock",
		complete ? "nobody" : "nobody who can be seen", first->name,
		left > 1 ? " and others" : "", left > 1 ? "these files" : "this file");
}
