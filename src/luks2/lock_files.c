/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* lock_files.c - read cryptsetup's lock directory without taking a lock */
#include "luks2/lock_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/array.h"
#include "base/err.h"
#include "block/devices.h"
#include "block/proc.h"
#include "io/sysfs.h"

enum {
	MAX_SEARCHES = 3 /* for the holder of a lock that changes hands */
};

static enum coffer_entry entry_of(int dir_fd, const char *path, struct stat *st)
{
	if (fstatat(dir_fd, path, st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? COFFER_ENTRY_MISSING : COFFER_ENTRY_HIDDEN;
	switch (st->st_mode & S_IFMT) {
	case S_IFDIR:
		return COFFER_ENTRY_FOLDER;
	case S_IFREG:
		return COFFER_ENTRY_FILE;
	case S_IFLNK:
		return COFFER_ENTRY_LINK;
	default:
		return COFFER_ENTRY_OTHER;
	}
}

/* In a user namespace that knows only some users, all others look like one. */
static bool knows_all_users(void)
{
	char line[64];
	unsigned int inside, outside, n;

	return coffer_sysfs_read_line(AT_FDCWD, "/proc/self/uid_map", line, sizeof(line)) &&
	       sscanf(line, "%u %u %u", &inside, &outside, &n) == 3 && n == UINT32_MAX;
}

bool coffer_locks_usable(void)
{
	if (faccessat(AT_FDCWD, COFFER_LOCK_DIR, R_OK | W_OK | X_OK, AT_EACCESS) == 0)
		return true;
	return errno == ENOENT && faccessat(AT_FDCWD, "/run", W_OK | X_OK, AT_EACCESS) == 0;
}

void coffer_lock_dir_read(struct coffer_lock_dir_facts *ret)
{
	struct stat st = {0};

	*ret = (struct coffer_lock_dir_facts){
		.root = geteuid() == 0, .owner_known = knows_all_users()};
	ret->run = entry_of(AT_FDCWD, "/run", &st);
	ret->run_writable = faccessat(AT_FDCWD, "/run", W_OK | X_OK, AT_EACCESS) == 0;
	ret->dir = entry_of(AT_FDCWD, COFFER_LOCK_DIR, &st);
	ret->owner = st.st_uid;
	ret->mode = st.st_mode;
	ret->usable = coffer_locks_usable();
}

int coffer_lock_holders_find(
	const struct coffer_device_id *lock, struct coffer_processes *ret, bool *complete)
{
	/* A process that takes the lock during a search is missed by it, and found by the next. */
	for (int left = MAX_SEARCHES - 1;; left--) {
		_cleanup_processes_ struct coffer_processes found = {0};
		_cleanup_pids_ struct coffer_pids pids = {0};
		bool sees_all = true;
		int r = coffer_pids_read(&pids, &sees_all);

		if (r == 0)
			r = coffer_processes_find(&pids, NULL, 0, lock, &found, &sees_all);
		if (r < 0)
			return r;
		if (left > 0 && sees_all && found.n > 0 && found.items[found.n - 1].pid == 0)
			continue;
		*complete = *complete && sees_all;
		*ret = found;
		found = (struct coffer_processes){0};
		return 0;
	}
}

static struct coffer_lock_process read_process(pid_t pid)
{
	struct coffer_lock_process p = {.pid = pid > 0 ? pid : 0};
	_cleanup_free_ char *text = NULL;
	char path[64];

	if (pid <= 0)
		return p;
	(void)snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	(void)coffer_sysfs_read_line(AT_FDCWD, path, p.comm, sizeof(p.comm));
	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if (coffer_sysfs_read(AT_FDCWD, path, &text) == 0)
		p.state = coffer_proc_state_parse(text);
	return p;
}

/* Count the processes that wait for @lock. Returns whether one holds it. */
static bool read_table(char *text, const struct coffer_device_id *lock, struct coffer_lock_entry *f)
{
	struct coffer_lock_line line;
	bool held = false;
	const char *at;

	while ((at = strsep(&text, "\n"))) {
		if (coffer_lock_parse(at, &line) < 0 || !line.flock || line.ino != lock->ino ||
			makedev(line.major, line.minor) != lock->dev)
			continue;
		held |= !line.waits;
		if (line.waits && f->waiters++ == 0)
			f->waiter = read_process(line.pid);
	}
	return held;
}

static int find_holders(const struct coffer_device_id *lock, struct coffer_lock_entry *f)
{
	_cleanup_processes_ struct coffer_processes found = {0};
	const int r = coffer_lock_holders_find(lock, &found, &f->complete);

	for (size_t i = 0; i < found.n; i++) {
		const struct coffer_lock_process p = read_process(found.items[i].pid);

		if (f->holders++ == 0 || (p.state == 'T' && f->holder.state != 'T'))
			f->holder = p;
	}
	return r;
}

/* The block device that has the number in the name of @f now. */
static void find_device(struct coffer_lock_entry *f)
{
	struct coffer_lock_name name;

	coffer_lock_name_parse(f->name, &name);
	if (name.kind == COFFER_LOCK_ENTRY_DEVICE || name.kind == COFFER_LOCK_ENTRY_OPAL)
		coffer_device_name(makedev(name.major, name.minor), f->device, sizeof(f->device));
}

static int add(struct coffer_lock_files *l, int dir_fd, const char *name, bool complete)
{
	struct coffer_lock_entry f = {.complete = complete};
	_cleanup_free_ char *table = NULL;
	struct coffer_device_id lock;
	struct stat st = {0};
	int r;

	(void)snprintf(f.name, sizeof(f.name), "%.255s", name);
	f.entry = entry_of(dir_fd, name, &st);
	find_device(&f);
	lock = coffer_device_id_of(&st);
	if (f.entry == COFFER_ENTRY_FILE &&
		coffer_sysfs_read(AT_FDCWD, "/proc/locks", &table) < 0) {
		f.complete = false;
	} else if (f.entry == COFFER_ENTRY_FILE && read_table(table, &lock, &f)) {
		r = find_holders(&lock, &f);
		if (r < 0)
			return r;
		if (f.holders == 0)
			f.entry = COFFER_ENTRY_MISSING;
	}
	if (f.entry == COFFER_ENTRY_MISSING) /* it was just released */
		return 0;
	if (!ARRAY_ROOM(l->items, l->n))
		return -ENOMEM;
	l->items[l->n++] = f;
	return 0;
}

static int is_entry(const struct dirent *d)
{
	return strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0;
}

int coffer_lock_files_read(struct coffer_lock_files *ret, struct coffer_err *e)
{
	_cleanup_lock_files_ struct coffer_lock_files files = {0};
	_cleanup_close_ int fd =
		open(COFFER_LOCK_DIR, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	_cleanup_pids_ struct coffer_pids pids = {0};
	struct dirent **names = NULL;
	bool complete = true;
	int n = fd < 0 ? -1 : scandirat(fd, ".", &names, is_entry, versionsort);
	int r = n < 0 ? -errno : 0;

	if (r == -ENOENT || r == -ENOTDIR || r == -ELOOP)
		return 0; /* coffer_lock_dir_read reports it */
	if (r == -EACCES || r == -EPERM)
		return r;
	if (r == 0)
		r = coffer_pids_read(&pids, &complete);
	for (int i = 0; i < n; i++) {
		if (r == 0)
			r = add(&files, fd, names[i]->d_name, complete);
		free(names[i]);
	}
	free(names);
	if (r < 0)
		return coffer_err_errno(e, -r, "read the locks in %s", COFFER_LOCK_DIR);
	*ret = files;
	files = (struct coffer_lock_files){0};
	return 0;
}

void coffer_lock_files_free(struct coffer_lock_files *f)
{
	free(f->items);
	*f = (struct coffer_lock_files){0};
}
