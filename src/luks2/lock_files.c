/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* lock_files.c - cryptsetup's locks, looked at and not taken */
#include "luks2/lock_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "base/array.h"
#include "base/err.h"
#include "block/proc.h"
#include "io/sysfs.h"
#include "luks2/locks.h"

static enum coffer_entry entry_of(int dir_fd, const char *path, struct stat *st)
{
	if (fstatat(dir_fd, path, st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? COFFER_ENTRY_MISSING : COFFER_ENTRY_HIDDEN;
	if (S_ISDIR(st->st_mode))
		return COFFER_ENTRY_FOLDER;
	if (S_ISREG(st->st_mode))
		return COFFER_ENTRY_FILE;
	return S_ISLNK(st->st_mode) ? COFFER_ENTRY_LINK : COFFER_ENTRY_OTHER;
}

/* Where only some users are known, all others look like one. */
static bool knows_all_holders(void)
{
	char line[64];
	unsigned int inside, outside, n;

	return coffer_sysfs_read_line(AT_FDCWD, "/proc/self/uid_map", line, sizeof(line)) &&
	       sscanf(line, "%u %u %u", &inside, &outside, &n) == 3 && n == UINT32_MAX;
}

void coffer_lock_dir_read(struct coffer_lock_dir_facts *ret)
{
	struct stat st = {0};

	*ret = (struct coffer_lock_dir_facts){
		.root = geteuid() == 0, .owner_known = knows_all_holders()};
	ret->run = entry_of(AT_FDCWD, "/run", &st);
	ret->run_writable = faccessat(AT_FDCWD, "/run", W_OK | X_OK, AT_EACCESS) == 0;
	ret->dir = entry_of(AT_FDCWD, COFFER_LOCK_DIR, &st);
	ret->owner = st.st_uid;
	ret->mode = st.st_mode;
	ret->usable = coffer_locks_usable();
}

/* --- who holds it, who waits --- */

static uint64_t seconds_since_boot(void)
{
	struct timespec t;

	return clock_gettime(CLOCK_BOOTTIME, &t) == 0 ? (uint64_t)t.tv_sec : 0;
}

static void tell_process(pid_t pid, struct coffer_lock_process *ret)
{
	_cleanup_free_ char *text = NULL;
	const long ticks = sysconf(_SC_CLK_TCK);
	const uint64_t now = seconds_since_boot();
	struct coffer_proc_stat s;
	char path[64];
	size_t n;

	*ret = (struct coffer_lock_process){.pid = pid > 0 ? pid : 0};
	if (pid <= 0)
		return;
	(void)snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	(void)coffer_sysfs_read_line(AT_FDCWD, path, ret->comm, sizeof(ret->comm));
	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if (coffer_sysfs_read(AT_FDCWD, path, &text, &n) < 0 ||
		coffer_proc_stat_parse(text, n, &s) < 0 || ticks <= 0)
		return;
	ret->state = s.state;
	s.started /= (uint64_t)ticks;
	ret->age = now > s.started ? now - s.started : 0;
}

/* Processes that wait, by the kernel's table, and whether somebody holds it: there may be a holder
 * that no descriptor tells of. */
static void read_table(const char *text, size_t left, const struct coffer_device_id *lock,
	struct coffer_lock_entry *f, bool *held)
{
	struct coffer_lock_line line;
	const char *at;
	size_t n;

	while (coffer_next_line(&text, &left, &at, &n)) {
		if (coffer_lock_parse(at, n, &line) < 0 || !line.flock || line.ino != lock->ino ||
			makedev(line.major, line.minor) != lock->dev)
			continue;
		*held |= !line.waits;
		/* The search for holders leaves us out. */
		if (!line.waits && line.pid == getpid() && f->holders++ == 0)
			tell_process(line.pid, &f->holder);
		if (line.waits && f->waiters++ == 0)
			tell_process(line.pid, &f->waiter);
	}
}

static int find_holders(const struct coffer_pids *pids, const struct coffer_device_id *lock,
	struct coffer_lock_entry *f)
{
	_cleanup_processes_ struct coffer_processes found = {0};
	const int r = coffer_processes_find(pids, NULL, 0, lock, &found, &f->complete);

	for (size_t i = 0; r == 0 && i < found.n; i++) {
		struct coffer_lock_process p;

		tell_process(found.items[i].pid, &p);
		if (f->holders++ == 0 || (p.state == 'T' && f->holder.state != 'T'))
			f->holder = p;
	}
	return r;
}

/* Which block device has that number now? */
static void find_device(struct coffer_lock_entry *f)
{
	struct coffer_lock_name name;
	char path[64], target[PATH_MAX];
	const char *base;
	ssize_t n;

	coffer_lock_name_parse(f->name, &name);
	f->devices_known = access("/sys/dev/block", F_OK) == 0;
	if (name.kind != COFFER_LOCK_ENTRY_DEVICE && name.kind != COFFER_LOCK_ENTRY_OPAL)
		return;
	(void)snprintf(path, sizeof(path), "/sys/dev/block/%u:%u", name.major, name.minor);
	n = readlink(path, target, sizeof(target) - 1);
	if (n <= 0)
		return;
	target[n] = '\0';
	base = strrchr(target, '/');
	base = base ? base + 1 : target;
	(void)snprintf(f->device, sizeof(f->device), "%.31s", base);
}

static int add(
	const struct coffer_pids *pids, int dir_fd, const char *name, struct coffer_lock_files *ret)
{
	_cleanup_free_ char *table = NULL;
	struct coffer_lock_entry f = {.complete = true};
	struct coffer_device_id lock;
	struct stat st = {0};
	bool held = false;
	size_t n;
	int r = 0;

	(void)snprintf(f.name, sizeof(f.name), "%.255s", name);
	f.entry = entry_of(dir_fd, name, &st);
	if (f.entry == COFFER_ENTRY_MISSING) /* its lock was given back just now */
		return 0;
	find_device(&f);
	lock = coffer_device_id_of(&st);
	if (f.entry == COFFER_ENTRY_FILE) {
		if (coffer_sysfs_read(AT_FDCWD, "/proc/locks", &table, &n) == 0)
			read_table(table, n, &lock, &f, &held);
		else
			f.complete = false;
		r = held ? find_holders(pids, &lock, &f) : 0;
	}
	if (r == 0 && !ARRAY_ROOM(ret->items, ret->n))
		r = -ENOMEM;
	if (r == 0)
		ret->items[ret->n++] = f;
	return r;
}

static int by_name(const void *a, const void *b)
{
	const struct coffer_lock_entry *one = a, *other = b;

	return strverscmp(one->name, other->name);
}

int coffer_lock_files_read(
	const struct coffer_pids *pids, struct coffer_lock_files *ret, struct coffer_err *e)
{
	_cleanup_lock_files_ struct coffer_lock_files files = {0};
	const int fd = open(COFFER_LOCK_DIR, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	const struct dirent *d;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	int r = 0;

	if (!dir) {
		r = -errno;
		if (fd >= 0)
			(void)close(fd);
		if (r == -ENOENT || r == -ENOTDIR || r == -ELOOP)
			return 0; /* what it is the look at the directory tells */
		return r == -EACCES || r == -EPERM
			       ? r
			       : coffer_err_errno(e, -r, "look into %s", COFFER_LOCK_DIR);
	}
	while (r == 0 && (d = readdir(dir)))
		if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
			r = add(pids, fd, d->d_name, &files);
	(void)closedir(dir);
	if (r < 0)
		return coffer_err_errno(e, -r, "look at the locks in %s", COFFER_LOCK_DIR);
	if (files.n > 1)
		qsort(files.items, files.n, sizeof(*files.items), by_name);
	*ret = files;
	files = (struct coffer_lock_files){0};
	return 0;
}

void coffer_lock_files_free(struct coffer_lock_files *f)
{
	free(f->items);
	*f = (struct coffer_lock_files){0};
}
