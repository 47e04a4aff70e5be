/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* processes.c - find processes that have a device or file open, from /proc */
#include "block/processes.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "base/array.h"
#include "block/proc.h"
#include "io/sysfs.h"

/* The initial pid namespace, the only one that sees all processes and locks: PROC_PID_INIT_INO. */
#define INIT_PID_NS 0xEFFFFFFCU

/* A name of digits only, as of a process or descriptor; -1: another one. */
static int name_number(const char *name)
{
	char *end;
	const long v = strtol(name, &end, 10);

	return name[0] >= '0' && name[0] <= '9' && !*end && v <= INT_MAX ? (int)v : -1;
}

/* Did a call fail for lack of access? Otherwise the process or descriptor has ended. */
static bool denied(int code)
{
	return code != ENOENT && code != ESRCH;
}

/* --- all processes --- */

static bool sees_all(bool saw_first)
{
	struct stat st;

	/* hidepid= hides the processes of other users without an error. Process 1 is root's. */
	return saw_first && stat("/proc/self/ns/pid", &st) == 0 && st.st_ino == INIT_PID_NS;
}

int coffer_pids_read(struct coffer_pids *ret, bool *complete)
{
	_cleanup_dir_ DIR *dir = opendir("/proc");
	bool saw_first = false;
	const char *name;

	while ((name = coffer_dir_next(dir))) {
		const int pid = name_number(name);

		saw_first |= pid == 1;
		if (pid <= 0 || pid == getpid())
			continue;
		if (!ARRAY_ROOM(ret->items, ret->n))
			return -ENOMEM;
		ret->items[ret->n++] = pid;
	}
	*complete &= sees_all(saw_first);
	return 0;
}

void coffer_pids_free(struct coffer_pids *p)
{
	free(p->items);
	*p = (struct coffer_pids){0};
}

/* --- the lock in the kernel's table --- */

/* The pid that took the lock; 0: not known; -1: not held. The process may have ended: a flock
 * belongs to the open file, which a child inherits. */
static int read_locks(const struct coffer_device_id *lock, pid_t *ret, bool *complete)
{
	_cleanup_free_ char *text = NULL;
	struct coffer_lock_line l;
	char *rest, *line;
	const int r = coffer_sysfs_read(AT_FDCWD, "/proc/locks", &text);

	*ret = -1;
	if (r == -ENOMEM)
		return r;
	if (r < 0) {
		*complete = false;
		return 0;
	}
	rest = text;
	while (*ret < 0 && (line = strsep(&rest, "\n")))
		if (coffer_lock_parse(line, &l) == 0 && l.flock && !l.waits &&
			makedev(l.major, l.minor) == lock->dev && l.ino == lock->ino)
			*ret = l.pid < 0 ? 0 : l.pid;
	return 0;
}

/* --- descriptors --- */

struct scan {
	const struct coffer_device_id *ids;
	size_t n;
	const struct coffer_device_id *lock;
};

static bool read_id(int dir_fd, const char *name, struct coffer_device_id *ret, bool *refused)
{
	struct statx st;

	/* Not stat(): it asks the server of a network filesystem, which may never answer. */
	if (statx(dir_fd, name, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_TYPE | STATX_INO, &st) <
		0) {
		*refused |= errno == EACCES || errno == EPERM;
		return false;
	}
	if (S_ISBLK(st.stx_mode)) {
		*ret = coffer_device_id_block(makedev(st.stx_rdev_major, st.stx_rdev_minor));
		return true;
	}
	*ret = (struct coffer_device_id){
		.dev = makedev(st.stx_dev_major, st.stx_dev_minor), .ino = st.stx_ino};
	return S_ISREG(st.stx_mode);
}

/* Note a descriptor of one of the ids or of the lock. false: no access. */
static bool add_fd(
	const struct scan *s, struct coffer_device_id id, int fd, struct coffer_process *p)
{
	const bool is_lock = s->lock && coffer_device_id_equal(id, *s->lock);
	_cleanup_free_ char *text = NULL;
	struct coffer_fdinfo info;
	char path[64];
	size_t i;
	int r;

	for (i = 0; i < s->n && !coffer_device_id_equal(id, s->ids[i]); i++)
		;
	if (i == s->n && !is_lock)
		return true;
	(void)snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", (int)p->pid, fd);
	r = coffer_sysfs_read(AT_FDCWD, path, &text);
	if (r < 0 || coffer_fdinfo_parse(text, &info) < 0)
		return r == 0 || !denied(-r);
	if (is_lock && info.flocked)
		p->locks = true;
	if (i < s->n && !(info.flags & O_PATH)) {
		if (i < p->id)
			p->id = i;
		p->writes |= (info.flags & O_ACCMODE) != O_RDONLY;
	}
	return true;
}

/* false: no access. */
static bool scan_process(const struct scan *s, struct coffer_process *p)
{
	_cleanup_dir_ DIR *dir = NULL;
	bool refused = false;
	const char *name;
	char path[32];

	(void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)p->pid);
	dir = opendir(path);
	if (!dir)
		return !denied(errno);
	while (!refused && (name = coffer_dir_next(dir))) {
		const int fd = name_number(name);
		struct coffer_device_id id;

		if (fd >= 0 && read_id(dirfd(dir), name, &id, &refused))
			refused |= !add_fd(s, id, fd, p);
	}
	return !refused;
}

static int add_process(struct coffer_processes *ret, struct coffer_process *p)
{
	char path[32];

	(void)snprintf(path, sizeof(path), "/proc/%d/comm", (int)p->pid);
	if (p->pid > 0)
		(void)coffer_sysfs_read_line(AT_FDCWD, path, p->comm, sizeof(p->comm));
	if (!ARRAY_ROOM(ret->items, ret->n))
		return -ENOMEM;
	ret->items[ret->n++] = *p;
	return 0;
}

/* The lock is in the table, but no descriptor with it was found. */
static int add_unknown(
	const struct coffer_device_id *lock, struct coffer_processes *ret, bool *complete)
{
	struct coffer_process p = {.id = SIZE_MAX, .locks = true};
	pid_t owner;
	int r;

	/* It may have been released meanwhile. */
	r = read_locks(lock, &owner, complete);
	return r < 0 || owner < 0 ? r : add_process(ret, &p);
}

int coffer_processes_find(const struct coffer_pids *pids, const struct coffer_device_id *ids,
	size_t n, const struct coffer_device_id *lock, struct coffer_processes *ret, bool *complete)
{
	const struct scan s = {.ids = ids, .n = n, .lock = lock};
	bool lock_found = false;
	pid_t owner = -1;

	if (lock && read_locks(lock, &owner, complete) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < pids->n; i++) {
		struct coffer_process p = {.pid = pids->items[i], .id = SIZE_MAX};

		if (!scan_process(&s, &p)) {
			*complete = false;
			p.locks |= p.pid == owner; /* nothing better than the table is known */
		}
		lock_found |= p.locks;
		if ((p.locks || p.id < n) && add_process(ret, &p) < 0)
			return -ENOMEM;
	}
	if (owner < 0 || owner == getpid() || lock_found)
		return 0;
	return add_unknown(lock, ret, complete);
}

void coffer_processes_free(struct coffer_processes *p)
{
	free(p->items);
	*p = (struct coffer_processes){0};
}
