/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "os/locks.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#include "base/err.h"

enum {
	WAIT_MS = 30000,
	POLL_MS = 20
};

struct coffer_lock {
	int dir_fd; /* -1: the lock is on an image file itself */
	int fd;
	bool owns_fd;
	char name[128];
};

/* The lock directory: a real folder below a real parent, or an error; never followed as a link. */
static int open_lock_dir(int *ret_fd, struct coffer_err *e)
{
	_cleanup_close_ int run = open("/run", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW;
	int fd;

	if (run < 0)
		return coffer_err_errno(e, errno, "open /run for the locks of cryptsetup");
	fd = openat(run, "cryptsetup", flags);
	if (fd < 0 && errno == ENOENT) {
		if (mkdirat(run, "cryptsetup", 0700) < 0 && errno != EEXIST)
			return coffer_err_errno(
				e, errno, "make the lock directory %s", COFFER_LOCK_DIR);
		fd = openat(run, "cryptsetup", flags);
	}
	if (fd < 0)
		return coffer_err_errno(e, errno, "open the lock directory %s", COFFER_LOCK_DIR);
	*ret_fd = fd;
	return 0;
}

/* Is the file we locked still the one that others will find under this name? A holder removes
 * the file when it leaves, so a lock may be on a name that is gone. */
static bool still_named(const struct coffer_lock *l)
{
	struct stat by_fd, by_name;

	return fstat(l->fd, &by_fd) == 0 &&
	       fstatat(l->dir_fd, l->name, &by_name, AT_SYMLINK_NOFOLLOW) == 0 &&
	       by_fd.st_dev == by_name.st_dev && by_fd.st_ino == by_name.st_ino;
}

/* flock with a deadline: 0, -EWOULDBLOCK, or another -errno. */
static int flock_until(int fd, int how, int wait_ms)
{
	const struct timespec nap = {.tv_nsec = POLL_MS * 1000000L};

	for (;;) {
		if (flock(fd, how | LOCK_NB) == 0)
			return 0;
		if (errno != EWOULDBLOCK && errno != EINTR)
			return -errno;
		if (wait_ms <= 0)
			return -EWOULDBLOCK;
		(void)nanosleep(&nap, NULL);
		wait_ms -= POLL_MS;
	}
}

static int lock_named(struct coffer_lock *l, int how, int wait_ms, struct coffer_err *e)
{
	int r;

	r = open_lock_dir(&l->dir_fd, e);
	if (r < 0)
		return r;
	for (;;) {
		l->fd = openat(l->dir_fd, l->name, O_CREAT | O_NOFOLLOW | O_RDWR | O_CLOEXEC, 0644);
		if (l->fd < 0)
			return coffer_err_errno(
				e, errno, "open the lock %s/%s", COFFER_LOCK_DIR, l->name);
		r = flock_until(l->fd, how, wait_ms);
		if (r == -EWOULDBLOCK)
			return -EBUSY;
		if (r < 0)
			return coffer_err_errno(e, -r, "lock %s/%s", COFFER_LOCK_DIR, l->name);
		if (still_named(l))
			return 0;
		(void)close(TAKE_FD(l->fd));
	}
}

static struct coffer_lock *lock_new(void)
{
	struct coffer_lock *l = calloc(1, sizeof(*l));

	if (l) {
		l->dir_fd = l->fd = -1;
		l->owns_fd = true;
	}
	return l;
}

bool coffer_locks_usable(void)
{
	if (faccessat(AT_FDCWD, COFFER_LOCK_DIR, R_OK | W_OK | X_OK, AT_EACCESS) == 0)
		return true;
	return errno == ENOENT && faccessat(AT_FDCWD, "/run", W_OK | X_OK, AT_EACCESS) == 0;
}

int coffer_lock_reencryption(const char *uuid, struct coffer_lock **ret, struct coffer_err *e)
{
	_cleanup_lock_ struct coffer_lock *l = lock_new();
	int r;

	if (!l)
		return coffer_err_errno(e, ENOMEM, "take a lock");
	(void)snprintf(l->name, sizeof(l->name), COFFER_REENCRYPTION_LOCK "%s", uuid);
	r = lock_named(l, LOCK_EX, 0, e);
	if (r == -EBUSY)
		return coffer_err_refuse(e, EBUSY,
			"a conversion of the volume %s is running already (cryptsetup or coffer); "
			"wait until it has ended",
			uuid);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(l);
	return 0;
}

int coffer_lock_metadata(
	struct coffer_dev *d, bool exclusive, struct coffer_lock **ret, struct coffer_err *e)
{
	_cleanup_lock_ struct coffer_lock *l = NULL;
	const int how = exclusive ? LOCK_EX : LOCK_SH;
	int r;

	if (d->fd < 0) {
		*ret = NULL;
		return 0;
	}
	l = lock_new();
	if (!l)
		return coffer_err_errno(e, ENOMEM, "take a lock");
	if (d->is_block) {
		(void)snprintf(l->name, sizeof(l->name), "L_%u:%u", d->major, d->minor);
		r = lock_named(l, how, WAIT_MS, e);
	} else {
		l->owns_fd = false;
		l->fd = d->fd;
		r = flock_until(d->fd, how, WAIT_MS);
		if (r < 0 && r != -EWOULDBLOCK)
			r = coffer_err_errno(e, -r, "lock %s", d->name);
		if (r < 0)
			l->fd = -1;
		if (r == -EWOULDBLOCK)
			r = -EBUSY;
	}
	if (r == -EBUSY)
		return coffer_err_refuse(e, EBUSY,
			"somebody has held the LUKS2 metadata of %s locked for 30 seconds",
			d->name);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(l);
	return 0;
}

/* The last one out removes the file: only under an exclusive lock, and only if the name still
 * leads to the locked file, so that nobody loses a lock it holds. */
void coffer_lock_free(struct coffer_lock *l)
{
	if (!l)
		return;
	if (l->fd >= 0 && !l->owns_fd) {
		(void)flock(l->fd, LOCK_UN);
	} else if (l->fd >= 0) {
		(void)flock(l->fd, LOCK_UN);
		if (flock(l->fd, LOCK_EX | LOCK_NB) == 0 && still_named(l))
			(void)unlinkat(l->dir_fd, l->name, 0);
		(void)close(l->fd);
	}
	if (l->dir_fd >= 0)
		(void)close(l->dir_fd);
	free(l);
}
