/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* lock_dir.c - files in cryptsetup's lock folder: how one is opened, locked and removed */
#include "luks2/lock_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "io/clock.h"
#include "luks2/lock_name.h"

/* What a lock's place is instead, in words; NULL: that is not what @code says. */
static const char *wrong_kind(int code)
{
	switch (code) {
	case ELOOP:
		return "a symbolic link";
	case ENOTDIR:
		return "no folder, or a symbolic link";
	case EISDIR:
		return "a folder";
	case ENOENT:
		return "missing";
	case ENXIO:
	case EINVAL:
		return "no regular file";
	default:
		return NULL;
	}
}

/* What it is decides; what this user may not do is the caller's to judge. */
static int refuse(struct coffer_err *e, int code, const char *what, const char *name)
{
	const char *kind = wrong_kind(code);

	if (!kind)
		return coffer_err_errno(e, code, "open %s%s", what, name);
	return coffer_err_refuse(e, code,
		"%s%s is %s: with such a lock nobody is kept from the header; it was left alone",
		what, name, kind);
}

/* A real folder below a real parent, or an error; never followed as a link. */
static int open_dir(int *ret_fd, struct coffer_err *e)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW;
	_cleanup_close_ int run = open("/run", flags);
	int fd;

	if (run < 0)
		return refuse(e, errno, "the parent of the lock folder, ", "/run");
	fd = openat(run, "cryptsetup", flags);
	if (fd < 0 && errno == ENOENT) {
		if (mkdirat(run, "cryptsetup", 0700) < 0 && errno != EEXIST)
			return coffer_err_errno(
				e, errno, "make the lock folder %s", COFFER_LOCK_DIR);
		fd = openat(run, "cryptsetup", flags);
	}
	if (fd < 0)
		return refuse(e, errno, "the lock folder ", COFFER_LOCK_DIR);
	*ret_fd = fd;
	return 0;
}

static int open_file(struct coffer_lock_file *f, struct coffer_err *e)
{
	struct stat st;

	/* NONBLOCK: nothing that bears this name is waited for. */
	f->fd = openat(f->dir_fd, f->name,
		O_CREAT | O_NOFOLLOW | O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0644);
	if (f->fd < 0)
		return refuse(e, errno, "the lock " COFFER_LOCK_DIR "/", f->name);
	if (fstat(f->fd, &st) < 0)
		return coffer_err_errno(e, errno, "look at the lock %s", f->name);
	return S_ISREG(st.st_mode) ? 0
				   : refuse(e, EINVAL, "the lock " COFFER_LOCK_DIR "/", f->name);
}

/* Is the file we locked still the one that others will find under this name? By the whole path: the
 * folder, too, may have been moved away and another one made. */
static bool still_named(const struct coffer_lock_file *f)
{
	char path[sizeof(COFFER_LOCK_DIR) + sizeof(f->name) + 1];
	struct stat by_fd, by_name;

	(void)snprintf(path, sizeof(path), "%s/%s", COFFER_LOCK_DIR, f->name);
	return fstat(f->fd, &by_fd) == 0 && lstat(path, &by_name) == 0 &&
	       by_fd.st_dev == by_name.st_dev && by_fd.st_ino == by_name.st_ino;
}

int coffer_flock(int fd, int how, double seconds)
{
	const double end = coffer_clock() + seconds;
	double nap = 0.001;

	/* Asked again and again, and not waited for in the kernel: that would need a signal to end
	 * it, and signals are the caller's. */
	for (;;) {
		double left;

		if (flock(fd, how | LOCK_NB) == 0)
			return 0;
		if (errno != EWOULDBLOCK && errno != EINTR)
			return -errno;
		left = end - coffer_clock();
		if (left <= 0)
			return -EWOULDBLOCK;
		coffer_sleep(nap < left ? nap : left);
		nap = nap < 0.02 ? nap * 2 : nap;
	}
}

/* A file that is not locked is closed at once: release() removes what it finds open. */
static int drop(struct coffer_lock_file *f, int r)
{
	if (f->fd >= 0)
		(void)close(TAKE_FD(f->fd));
	return r;
}

int coffer_lock_file_take(struct coffer_lock_file *f, int how, double seconds,
	struct coffer_device_id *ret_busy, struct coffer_err *e)
{
	const double end = coffer_clock() + seconds;
	struct stat st;
	int r;

	for (;;) {
		if (f->dir_fd >= 0)
			(void)close(TAKE_FD(f->dir_fd));
		r = open_dir(&f->dir_fd, e);
		if (r < 0)
			return r;
		r = open_file(f, e);
		if (r < 0)
			return drop(f, r);
		r = coffer_flock(f->fd, how, end - coffer_clock());
		if (r == -EWOULDBLOCK) {
			*ret_busy = fstat(f->fd, &st) == 0 ? coffer_device_id_of(&st)
							   : (struct coffer_device_id){0};
			return drop(f, -EBUSY);
		}
		if (r < 0)
			return drop(
				f, coffer_err_errno(e, -r, "lock %s/%s", COFFER_LOCK_DIR, f->name));
		if (still_named(f))
			return 0;
		(void)drop(f, 0);
	}
}

void coffer_lock_file_release(struct coffer_lock_file *f, bool exclusive)
{
	/* The last one out removes it: only under an exclusive lock, so that nobody loses one that
	 * he holds; and only if the name still leads there. Whoever waits for it looks again. */
	if (f->fd >= 0) {
		if ((exclusive || flock(f->fd, LOCK_EX | LOCK_NB) == 0) && still_named(f))
			(void)unlinkat(f->dir_fd, f->name, 0);
		(void)flock(f->fd, LOCK_UN); /* a child may have the open file still */
		(void)close(TAKE_FD(f->fd));
	}
	if (f->dir_fd >= 0)
		(void)close(TAKE_FD(f->dir_fd));
}
