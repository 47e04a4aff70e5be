/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* locks.c - take cryptsetup's locks, so that coffer and stock tools can share a disk */
#include "luks2/locks.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/err.h"
#include "block/devices.h"
#include "io/clock.h"

struct coffer_lock {
	struct coffer_dev *dev;
	enum coffer_lock_kind kind;
	bool exclusive;
	char path[128];	  /* of the lock file; "": it is not in the lock directory */
	const char *name; /* of the file, in path */
	int dir_fd;	  /* the directory with it; -1: none */
	int fd;		  /* locked: the lock file, the whole disk or the image; -1: none */
	struct coffer_lock *before; /* taken with it, released after it */
};

/* Seconds to wait. A commit takes a fraction of a second. A key derivation takes seconds, and
 * several may be queued. */
static const int waits[COFFER_N_LOCKS] = {
	[COFFER_LOCK_DISK] = 30,
	[COFFER_LOCK_OPAL] = 30,
	[COFFER_LOCK_METADATA] = 30,
	[COFFER_LOCK_MEMORY_HARD] = 120,
};

/* --- a lock that another process holds --- */

/* " (cryptsetup, process 812)": a holder of the lock on @fd; "": it was released. */
static void print_holder(int fd, char *ret, size_t size)
{
	_cleanup_processes_ struct coffer_processes found = {0};
	struct coffer_device_id lock;
	bool complete = true;
	struct stat st;

	ret[0] = '\0';
	if (fstat(fd, &st) < 0)
		return;
	lock = coffer_device_id_of(&st);
	if (coffer_lock_holders_find(&lock, &found, &complete) < 0)
		return;
	for (size_t i = 0; i < found.n && !ret[0]; i++)
		if (found.items[i].pid > 0)
			(void)snprintf(ret, size, " (%s, process %d)", found.items[i].comm,
				(int)found.items[i].pid);
		else
			(void)snprintf(ret, size, " (not visible to this user)");
}

static int refuse_busy(const struct coffer_lock *l, int fd, struct coffer_err *e)
{
	char holder[128];
	int r;

	print_holder(fd, holder, sizeof(holder));
	if (l->kind == COFFER_LOCK_REENCRYPTION)
		r = coffer_err_advise(e,
			coffer_err_refuse(e, EBUSY,
				"a conversion of volume %s is already running%s",
				l->name + strlen(COFFER_REENCRYPTION_LOCK), holder),
			"wait until it ends");
	else
		r = coffer_err_advise(e,
			coffer_err_refuse(e, EBUSY,
				"another process%s has held the %s lock of %s for %d seconds",
				holder, coffer_lock_kind_name(l->kind),
				l->kind == COFFER_LOCK_MEMORY_HARD ? "this machine" : l->dev->name,
				waits[l->kind]),
			"find out what it is waiting for");
	return coffer_err_id(e, r, COFFER_FINDING_LOCK);
}

/* Lock @fd. Polled, because a wait in the kernel would need a signal to end it, and signals belong
 * to the caller. */
static int take_fd(const struct coffer_lock *l, int fd, double end, struct coffer_err *e)
{
	double nap = 0.001;

	while (flock(fd, (l->exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB) < 0) {
		double left;

		if (errno != EWOULDBLOCK && errno != EINTR)
			return coffer_err_errno(e, errno, "take the %s lock of %s",
				coffer_lock_kind_name(l->kind), l->dev->name);
		left = end - coffer_clock();
		if (left <= 0)
			return refuse_busy(l, fd, e);
		coffer_sleep(nap < left ? nap : left);
		nap = nap < 0.02 ? nap * 2 : nap;
	}
	return 0;
}

/* --- lock files --- */

static int refuse_kind(struct coffer_err *e, int code, const char *path, const char *wanted)
{
	if (code == ELOOP || code == ENOTDIR || code == EISDIR || code == ENOENT || code == ENXIO ||
		code == EINVAL)
		return coffer_err_refuse(e, code,
			"unsafe lock path: %s is not %s (links are not followed)", path, wanted);
	return coffer_err_errno(e, code, "open %s", path);
}

/* Directory and file are opened without following links. */
static int open_dir(int *ret_fd, struct coffer_err *e)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW;
	_cleanup_close_ int run = open("/run", flags);
	int fd;

	if (run < 0)
		return refuse_kind(e, errno, "/run", "a directory");
	fd = openat(run, "cryptsetup", flags);
	if (fd < 0 && errno == ENOENT) {
		if (mkdirat(run, "cryptsetup", 0700) < 0 && errno != EEXIST)
			return coffer_err_errno(e, errno, "create %s", COFFER_LOCK_DIR);
		fd = openat(run, "cryptsetup", flags);
	}
	if (fd < 0)
		return refuse_kind(e, errno, COFFER_LOCK_DIR, "a directory");
	*ret_fd = fd;
	return 0;
}

static int open_file(const struct coffer_lock *l, int dir_fd, int *ret_fd, struct coffer_err *e)
{
	struct stat st;

	/* NONBLOCK: a FIFO with this name must not block the open. */
	*ret_fd = openat(dir_fd, l->name,
		O_CREAT | O_NOFOLLOW | O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0644);
	if (*ret_fd < 0)
		return refuse_kind(e, errno, l->path, "a regular file");
	if (fstat(*ret_fd, &st) < 0)
		return coffer_err_errno(e, errno, "stat %s", l->path);
	return S_ISREG(st.st_mode) ? 0 : refuse_kind(e, EINVAL, l->path, "a regular file");
}

/* A holder removes the file when it releases the lock, so a lock counts only while the file still
 * has its name. By the whole path: the directory may have been replaced, too. */
static bool is_named(const struct coffer_lock *l, int fd)
{
	struct stat by_fd, by_name;

	return fstat(fd, &by_fd) == 0 && lstat(l->path, &by_name) == 0 &&
	       by_fd.st_dev == by_name.st_dev && by_fd.st_ino == by_name.st_ino;
}

static int take_file(struct coffer_lock *l, double end, struct coffer_err *e)
{
	for (;;) {
		_cleanup_close_ int dir = -1, fd = -1;
		int r = open_dir(&dir, e);

		if (r == 0)
			r = open_file(l, dir, &fd, e);
		if (r == 0)
			r = take_fd(l, fd, end, e);
		if (r < 0)
			return r;
		if (!is_named(l, fd))
			continue;
		l->dir_fd = TAKE_FD(dir);
		l->fd = TAKE_FD(fd);
		return 0;
	}
}

/* The last holder removes the file: only under an exclusive lock, so that it takes the lock from
 * nobody, and only while the file has its name. A waiting process opens the new file. */
static void remove_file(const struct coffer_lock *l)
{
	if ((l->exclusive || flock(l->fd, LOCK_EX | LOCK_NB) == 0) && is_named(l, l->fd))
		(void)unlinkat(l->dir_fd, l->name, 0);
}

/* --- the kinds --- */

/* The whole disk around @d; -1: none to lock. It is opened by a name that udev creates: without
 * this name there is no udev to keep away. udev does not lock device-mapper devices. */
static int open_disk(const struct coffer_dev *d)
{
	dev_t dev = makedev(d->major, d->minor);
	_cleanup_close_ int fd = -1;
	char path[64];
	struct stat st;

	if (access(coffer_device_path(dev, "/dm").s, F_OK) == 0 || !coffer_device_whole(&dev))
		return -1;
	(void)snprintf(path, sizeof(path), "/dev/block/%u:%u", major(dev), minor(dev));
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISBLK(st.st_mode) || st.st_rdev != dev)
		return -1;
	return TAKE_FD(fd);
}

/* Lock @fd, which is the device itself, or is owned by the lock from now on; -1: nothing. */
static int take_disk(struct coffer_lock *l, int fd, double end, struct coffer_err *e)
{
	const int r = fd < 0 ? 0 : take_fd(l, fd, end, e);

	if (r == 0)
		l->fd = fd;
	else if (fd != l->dev->fd)
		(void)close(fd);
	return r;
}

/* What the lock is on this device; nothing, where only the order applies. */
static int take_kind(struct coffer_lock *l, const char *uuid, struct coffer_err *e)
{
	const double end = coffer_clock() + waits[l->kind];
	const struct coffer_dev *d = l->dev;
	const bool is_block = d->fd >= 0 && d->is_block;
	char name[100];

	switch (l->kind) {
	case COFFER_LOCK_REENCRYPTION:
		if (d->fd < 0)
			return 0;
		(void)snprintf(name, sizeof(name), COFFER_REENCRYPTION_LOCK "%s", uuid);
		break;
	case COFFER_LOCK_DISK:
		return is_block ? take_disk(l, open_disk(d), end, e) : 0;
	case COFFER_LOCK_OPAL:
		if (!is_block)
			return 0;
		(void)snprintf(name, sizeof(name), "LN_OPAL_%u:%u", d->major, d->minor);
		break;
	case COFFER_LOCK_METADATA:
		if (d->no_locks)
			return 0;
		if (!is_block)
			return take_disk(l, d->fd, end, e);
		(void)snprintf(name, sizeof(name), "L_%u:%u", d->major, d->minor);
		break;
	case COFFER_LOCK_MEMORY_HARD:
		(void)snprintf(name, sizeof(name), "LN_memory-hard-access");
		break;
	case COFFER_N_LOCKS:
		return 0;
	}
	(void)snprintf(l->path, sizeof(l->path), "%s/%s", COFFER_LOCK_DIR, name);
	l->name = l->path + sizeof(COFFER_LOCK_DIR);
	return take_file(l, end, e);
}

static int take(struct coffer_dev *d, enum coffer_lock_kind kind, bool exclusive, const char *uuid,
	struct coffer_lock **ret, struct coffer_err *e)
{
	_cleanup_lock_ struct coffer_lock *l = NULL;
	int r = coffer_lock_order(d->locks, kind);

	/* An error in coffer that would one day make two programs wait for each other. */
	if (r < 0) {
#ifdef COFFER_DEBUG
		abort();
#endif
		return coffer_err_set(e, -r,
			"internal error: wrong order of locks: %s, while later ones are held",
			coffer_lock_kind_name(kind));
	}
	l = calloc(1, sizeof(*l));
	if (!l)
		return coffer_err_errno(e, ENOMEM, "take a lock");
	*l = (struct coffer_lock){
		.dev = d, .kind = kind, .exclusive = exclusive, .dir_fd = -1, .fd = -1};
	d->locks |= 1U << kind;
	r = take_kind(l, uuid, e);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(l);
	return 0;
}

int coffer_lock_reencryption(
	struct coffer_dev *d, const char *uuid, struct coffer_lock **ret, struct coffer_err *e)
{
	return take(d, COFFER_LOCK_REENCRYPTION, true, uuid, ret, e);
}

int coffer_lock_metadata(
	struct coffer_dev *d, bool exclusive, struct coffer_lock **ret, struct coffer_err *e)
{
	return take(d, COFFER_LOCK_METADATA, exclusive, NULL, ret, e);
}

int coffer_lock_memory_hard(struct coffer_dev *d, struct coffer_lock **ret, struct coffer_err *e)
{
	return take(d, COFFER_LOCK_MEMORY_HARD, true, NULL, ret, e);
}

int coffer_lock_header(struct coffer_dev *d, struct coffer_lock **ret, struct coffer_err *e)
{
	_cleanup_lock_ struct coffer_lock *all = NULL;

	for (int kind = COFFER_LOCK_DISK; kind <= COFFER_LOCK_METADATA; kind++) {
		struct coffer_lock *next;
		const int r = take(d, (enum coffer_lock_kind)kind, true, NULL, &next, e);

		if (r < 0)
			return r;
		next->before = all;
		all = next;
	}
	*ret = TAKE_PTR(all);
	return 0;
}

void coffer_lock_free(struct coffer_lock *l)
{
	if (!l)
		return;
	if (l->dir_fd >= 0) {
		remove_file(l);
		(void)close(l->dir_fd);
	}
	if (l->fd >= 0)
		(void)flock(l->fd, LOCK_UN); /* a child may still have the open file */
	if (l->fd >= 0 && l->fd != l->dev->fd)
		(void)close(l->fd);
	l->dev->locks &= ~(1U << l->kind);
	coffer_lock_free(l->before);
	free(l);
}
