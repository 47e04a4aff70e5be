/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* locks.c - cryptsetup's locks, so that coffer and stock tools can share a disk */
#include "luks2/locks.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/sysmacros.h>

#include "base/err.h"
#include "block/processes.h"
#include "io/sysfs.h"
#include "luks2/lock_dir.h"
#include "luks2/lock_order.h"

enum {
	WAIT = 30,	       /* seconds: a commit takes a fraction of one */
	WAIT_MEMORY_HARD = 120 /* a derivation takes seconds, and several may be before us */
};

struct coffer_lock {
	struct coffer_dev *dev;
	enum coffer_lock_kind kind;
	bool exclusive;
	bool flocked; /* the device itself is locked, which is an image file */
	int own_fd;   /* of the whole disk; -1: none */
	struct coffer_lock_file file;
	struct coffer_lock *before; /* taken with it, released after it */
};

/* The holder of the lock on @what. *ret_held: the kernel's table has the lock. */
static bool find_holder(struct coffer_device_id what, bool *ret_held, char *ret, size_t size)
{
	_cleanup_processes_ struct coffer_processes found = {0};
	_cleanup_pids_ struct coffer_pids pids = {0};
	bool complete = true;

	*ret_held = false;
	if (coffer_pids_read(&pids, &complete) < 0 ||
		coffer_processes_find(&pids, NULL, 0, &what, &found, &complete) < 0)
		return false; /* no memory for it: then without a name */
	for (size_t i = 0; i < found.n; i++) {
		*ret_held |= found.items[i].locks;
		if (!found.items[i].locks || found.items[i].pid <= 0)
			continue;
		(void)snprintf(ret, size, " (%s, process %d)", found.items[i].comm,
			(int)found.items[i].pid);
		return true;
	}
	return false;
}

/* " (cryptsetup, process 812)": the holder of the lock on @what; "": there is none any more. The
 * lock may change hands during the first look, so there are two. */
static void tell_holder(struct coffer_device_id what, char *ret, size_t size)
{
	bool held;

	ret[0] = '\0';
	if (!find_holder(what, &held, ret, size) && !find_holder(what, &held, ret, size) && held)
		(void)snprintf(ret, size, " (a process that this user cannot see)");
}

static int refuse_for(const struct coffer_lock *l, struct coffer_device_id what, int seconds,
	const char *uuid, struct coffer_err *e)
{
	char who[128];

	tell_holder(what, who, sizeof(who));
	switch (l->kind) {
	case COFFER_LOCK_REENCRYPTION:
		return coffer_err_advise(e,
			coffer_err_refuse(e, EBUSY,
				"a conversion of the volume %s is running already%s", uuid,
				who[0] ? who : " (cryptsetup or coffer)"),
			"wait until it has ended");
	case COFFER_LOCK_DISK:
		return coffer_err_advise(e,
			coffer_err_refuse(e, EBUSY,
				"somebody%s has held the whole disk of %s locked for %d seconds",
				who, l->dev->name, seconds),
			"a program that changes its partitions does so");
	case COFFER_LOCK_MEMORY_HARD:
		return coffer_err_refuse(e, EBUSY,
			"somebody%s has held this machine's lock for key derivations for %d "
			"seconds",
			who, seconds);
	case COFFER_LOCK_OPAL:
	case COFFER_LOCK_METADATA:
	case COFFER_N_LOCKS:
		break;
	}
	return coffer_err_advise(e,
		coffer_err_refuse(e, EBUSY,
			"somebody%s has held the LUKS2 metadata of %s locked for %d seconds", who,
			l->dev->name, seconds),
		"see what that process waits for");
}

static int refuse_busy(const struct coffer_lock *l, struct coffer_device_id what, int seconds,
	const char *uuid, struct coffer_err *e)
{
	return coffer_err_id(e, refuse_for(l, what, seconds, uuid, e), COFFER_FINDING_LOCK);
}

/* The whole disk around @d; -1: there is none to be locked. The name is one that udev makes: where
 * it is not, nobody has to be kept off. udev does not ask for a lock on device-mapper's devices. */
static int open_disk(const struct coffer_dev *d)
{
	dev_t dev = makedev(d->major, d->minor);
	char path[64];
	struct stat st;
	int fd;

	(void)snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/dm", d->major, d->minor);
	if (access(path, F_OK) == 0)
		return -1;
	(void)snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/partition", d->major, d->minor);
	if (access(path, F_OK) == 0) {
		(void)snprintf(
			path, sizeof(path), "/sys/dev/block/%u:%u/../dev", d->major, d->minor);
		if (!coffer_sysfs_read_dev(AT_FDCWD, path, &dev))
			return -1;
	}
	(void)snprintf(path, sizeof(path), "/dev/block/%u:%u", major(dev), minor(dev));
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISBLK(st.st_mode) && st.st_rdev == dev)
		return fd;
	if (fd >= 0)
		(void)close(fd);
	return -1;
}

/* --- taking and releasing --------------------------------------------------------------------- */

/* A wrong order is a mistake in coffer, and one day two programs that wait for each other. */
static int check_order(const struct coffer_dev *d, enum coffer_lock_kind kind, struct coffer_err *e)
{
	const int r = coffer_lock_order(d->locks, kind);

#ifdef COFFER_DEBUG
	if (r < 0)
		abort();
#endif
	if (r < 0)
		return coffer_err_set(e, -r,
			"the %s lock of %s was asked for while locks behind it are held: a mistake "
			"in coffer",
			coffer_lock_kind_name(kind), d->name);
	return 0;
}

static int lock_new(struct coffer_dev *d, enum coffer_lock_kind kind, bool exclusive,
	struct coffer_lock **ret, struct coffer_err *e)
{
	struct coffer_lock *l;
	int r;

	r = check_order(d, kind, e);
	if (r < 0)
		return r;
	l = calloc(1, sizeof(*l));
	if (!l)
		return coffer_err_errno(e, ENOMEM, "take a lock");
	*l = (struct coffer_lock){.dev = d,
		.kind = kind,
		.exclusive = exclusive,
		.own_fd = -1,
		.file = {.dir_fd = -1, .fd = -1}};
	d->locks |= 1U << kind;
	*ret = l;
	return 0;
}

/* The lock file of @l's name; for a @uuid, or for its device where that is NULL. */
static int take_named(struct coffer_lock *l, int seconds, const char *uuid, struct coffer_err *e)
{
	struct coffer_device_id busy;
	int r;

	r = coffer_lock_file_take(&l->file, l->exclusive ? LOCK_EX : LOCK_SH, seconds, &busy, e);
	return r == -EBUSY ? refuse_busy(l, busy, seconds, uuid, e) : r;
}

/* The device or the disk around it, by @fd. */
static int take_fd(struct coffer_lock *l, int fd, struct coffer_err *e)
{
	struct stat st;
	int r;

	r = coffer_flock(fd, l->exclusive ? LOCK_EX : LOCK_SH, WAIT);
	if (r == 0 || r != -EWOULDBLOCK)
		return r < 0 ? coffer_err_errno(e, -r, "lock %s", l->dev->name) : 0;
	return refuse_busy(l,
		fstat(fd, &st) == 0 ? coffer_device_id_of(&st) : (struct coffer_device_id){0}, WAIT,
		NULL, e);
}

int coffer_lock_reencryption(
	struct coffer_dev *d, const char *uuid, struct coffer_lock **ret, struct coffer_err *e)
{
	_cleanup_lock_ struct coffer_lock *l = NULL;
	int r;

	r = lock_new(d, COFFER_LOCK_REENCRYPTION, true, &l, e);
	if (r == 0 && d->fd >= 0) {
		(void)snprintf(
			l->file.name, sizeof(l->file.name), COFFER_REENCRYPTION_LOCK "%s", uuid);
		r = take_named(l, 0, uuid, e);
	}
	if (r == 0)
		*ret = TAKE_PTR(l);
	return r;
}

int coffer_lock_metadata(
	struct coffer_dev *d, bool exclusive, struct coffer_lock **ret, struct coffer_err *e)
{
	_cleanup_lock_ struct coffer_lock *l = NULL;
	int r;

	r = lock_new(d, COFFER_LOCK_METADATA, exclusive, &l, e);
	if (r == 0 && d->no_locks) {
		/* the order counts, and nothing else */
	} else if (r == 0 && d->fd >= 0 && d->is_block) {
		(void)snprintf(l->file.name, sizeof(l->file.name), "L_%u:%u", d->major, d->minor);
		r = take_named(l, WAIT, NULL, e);
	} else if (r == 0 && d->fd >= 0) {
		r = take_fd(l, d->fd, e);
		l->flocked = r == 0;
	}
	if (r == 0)
		*ret = TAKE_PTR(l);
	return r;
}

static int lock_disk(struct coffer_dev *d, struct coffer_lock **ret, struct coffer_err *e)
{
	_cleanup_lock_ struct coffer_lock *l = NULL;
	int r;

	r = lock_new(d, COFFER_LOCK_DISK, true, &l, e);
	if (r == 0 && d->fd >= 0 && d->is_block) {
		l->own_fd = open_disk(d);
		if (l->own_fd >= 0)
			r = take_fd(l, l->own_fd, e);
	}
	if (r == 0)
		*ret = TAKE_PTR(l);
	return r;
}

static int lock_opal(struct coffer_dev *d, struct coffer_lock **ret, struct coffer_err *e)
{
	_cleanup_lock_ struct coffer_lock *l = NULL;
	int r;

	r = lock_new(d, COFFER_LOCK_OPAL, true, &l, e);
	if (r == 0 && d->fd >= 0 && d->is_block) {
		(void)snprintf(
			l->file.name, sizeof(l->file.name), "LN_OPAL_%u:%u", d->major, d->minor);
		r = take_named(l, WAIT, NULL, e);
	}
	if (r == 0)
		*ret = TAKE_PTR(l);
	return r;
}

int coffer_lock_header(struct coffer_dev *d, struct coffer_lock **ret, struct coffer_err *e)
{
	_cleanup_lock_ struct coffer_lock *disk = NULL, *opal = NULL, *metadata = NULL;
	int r;

	r = lock_disk(d, &disk, e);
	if (r == 0)
		r = lock_opal(d, &opal, e);
	if (r == 0)
		r = coffer_lock_metadata(d, true, &metadata, e);
	if (r < 0)
		return r;
	opal->before = TAKE_PTR(disk);
	metadata->before = TAKE_PTR(opal);
	*ret = TAKE_PTR(metadata);
	return 0;
}

int coffer_lock_memory_hard(struct coffer_dev *d, struct coffer_lock **ret, struct coffer_err *e)
{
	_cleanup_lock_ struct coffer_lock *l = NULL;
	int r;

	r = lock_new(d, COFFER_LOCK_MEMORY_HARD, true, &l, e);
	if (r < 0)
		return r;
	(void)snprintf(l->file.name, sizeof(l->file.name), "LN_memory-hard-access");
	r = take_named(l, WAIT_MEMORY_HARD, NULL, e);
	if (r == 0)
		*ret = TAKE_PTR(l);
	return r;
}

bool coffer_locks_usable(void)
{
	if (faccessat(AT_FDCWD, COFFER_LOCK_DIR, R_OK | W_OK | X_OK, AT_EACCESS) == 0)
		return true;
	return errno == ENOENT && faccessat(AT_FDCWD, "/run", W_OK | X_OK, AT_EACCESS) == 0;
}

void coffer_lock_free(struct coffer_lock *l)
{
	if (!l)
		return;
	coffer_lock_file_release(&l->file, l->exclusive);
	if (l->flocked)
		(void)flock(l->dev->fd, LOCK_UN);
	if (l->own_fd >= 0)
		(void)close(l->own_fd);
	l->dev->locks &= ~(1U << l->kind);
	coffer_lock_free(l->before);
	free(l);
}
