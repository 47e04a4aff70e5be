/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* open.c - open a device for a run, or refuse it with the name of its holder and the way out */
#include "block/open.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/quote.h"
#include "block/holders.h"
#include "io/sysfs.h"

enum {
	MANY = 3 /* processes in one sentence */
};

struct part {
	char s[320]; /* of a sentence, or "" */
};

/* ", mounted on /mnt" for the block device @dev, a name with or without its folder. */
static struct part mount_of(const struct coffer_holders *all, const char *dev)
{
	const char *slash = strrchr(dev, '/');
	struct part p = {""};

	for (size_t i = 0; i < all->n && !p.s[0]; i++) {
		const struct coffer_holder *h = &all->items[i];

		if (h->kind == COFFER_HOLDER_MOUNT && strcmp(h->on, slash ? slash + 1 : dev) == 0)
			(void)snprintf(p.s, sizeof(p.s), ", mounted on %s", h->name);
	}
	return p;
}

/* " (home)": the name of a device-mapper device for its tools. */
static struct part label_of(const char *dev)
{
	char path[sizeof(((struct coffer_holder *)NULL)->name) + 32], label[128];
	struct part p = {""};

	(void)snprintf(path, sizeof(path), "/sys/class/block/%s/dm/name", dev);
	if (coffer_sysfs_read_line(AT_FDCWD, path, label, sizeof(label)))
		(void)snprintf(p.s, sizeof(p.s), " (%s)", label);
	return p;
}

/* @h is not a process. */
static int refuse_for(const char *name, const struct coffer_holders *all,
	const struct coffer_holder *h, struct coffer_err *e)
{
	const char *is = h->on[0] ? " is " : "";
	struct part mount;
	int r;

	switch (h->kind) {
	case COFFER_HOLDER_MOUNT:
		r = coffer_err_refuse(e, EBUSY, "%s: %s%smounted on %s", name, h->on, is, h->name);
		if (!h->pid)
			return coffer_err_advise(e, r, "unmount it first");
		coffer_err_append(e, " in the mount namespace of process %d", (int)h->pid);
		return coffer_err_advise(e, r, "unmount it there first, or end that process");
	case COFFER_HOLDER_SWAP:
		r = coffer_err_refuse(e, EBUSY, "%s: %s%sin use as swap", name, h->on, is);
		return coffer_err_advise(
			e, r, "run %s first", coffer_command("swapoff", h->name).s);
	case COFFER_HOLDER_LOOP:
		mount = mount_of(all, h->name);
		r = coffer_err_refuse(
			e, EBUSY, "%s: %s%sattached to %s%s", name, h->on, is, h->name, mount.s);
		if (mount.s[0])
			return coffer_err_advise(e, r, "unmount it first");
		return coffer_err_advise(
			e, r, "run %s first", coffer_command("losetup -d", h->name).s);
	default:
		r = coffer_err_refuse(e, EBUSY, "%s: %s%sin use by %s%s%s", name, h->on, is,
			h->name, label_of(h->name).s, mount_of(all, h->name).s);
		return coffer_err_advise(e, r, "stop that device first");
	}
}

/* "process 812 (cryptsetup), process 813 (coffer)" */
static struct part processes_of(const struct coffer_holders *all, bool writers_only)
{
	struct part p = {""};
	size_t n = 0, named = 0;

	for (size_t i = 0; i < all->n && named < MANY && n < sizeof(p.s); i++) {
		const struct coffer_holder *h = &all->items[i];

		if ((h->kind != COFFER_HOLDER_PROCESS && h->kind != COFFER_HOLDER_REENCRYPTION) ||
			(writers_only && !h->writes))
			continue;
		n += (size_t)snprintf(p.s + n, sizeof(p.s) - n, "%sprocess %d (%s)",
			named ? ", " : "", (int)h->pid, h->name);
		named++;
	}
	return p;
}

/* Name the holder of a disk on which O_EXCL or, if @locked, the OFD lock is refused. */
static int explain(const char *name, const struct stat *st, bool locked, struct coffer_err *e)
{
	_cleanup_holders_ struct coffer_holders all = {0};
	struct part processes;
	int r;

	r = coffer_holders_find(st, NULL, &all, e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < all.n && !locked; i++)
		if (all.items[i].kind == COFFER_HOLDER_MOUNT ||
			all.items[i].kind == COFFER_HOLDER_DEVICE ||
			all.items[i].kind == COFFER_HOLDER_SWAP)
			return refuse_for(name, &all, &all.items[i], e);
	processes = processes_of(&all, locked); /* an exclusive lock takes a writable descriptor */
	if (!processes.s[0] && !locked)
		return coffer_err_refuse(e, EBUSY,
			"%s: in use; no holder found%s (swap, another mount namespace, or the "
			"kernel)",
			name, all.complete ? "" : " among the visible processes");
	r = coffer_err_refuse(e, EBUSY, "%s: %s by %s", name, locked ? "locked" : "in use",
		processes.s[0] ? processes.s : "another run of coffer or a virtual machine");
	return coffer_err_advise(e, r, "wait until it ends");
}

/* O_EXCL keeps out neither a loop device over the disk nor swap on an image file. */
static int refuse_attached(const struct coffer_dev *d, struct stat *ret, struct coffer_err *e)
{
	_cleanup_holders_ struct coffer_holders all = {0};
	int r;

	if (fstat(d->fd, ret) < 0)
		return coffer_err_errno(e, errno, "stat %s", d->name);
	r = coffer_holders_find_devices(ret, &all, e);
	return r < 0 || all.n == 0 ? r : refuse_for(d->name, &all, &all.items[0], e);
}

static int in_use(struct coffer_err *e, int r)
{
	return r == -EBUSY ? coffer_err_id(e, r, COFFER_FINDING_EXCLUSIVE) : r;
}

static int open_for_run(
	const char *path, bool exclusive, struct coffer_dev **ret, struct coffer_err *e)
{
	_cleanup_dev_ struct coffer_dev *d = NULL;
	struct stat st;
	int r;

	r = coffer_dev_open_writing(path, exclusive, &d, e);
	if ((r == -EBUSY || r == -EAGAIN) && stat(path, &st) == 0)
		r = explain(path, &st, r == -EAGAIN, e);
	/* A loop device has a cache of its own over an image file. */
	else if (r == 0 && (exclusive || !d->is_block))
		r = refuse_attached(d, &st, e);
	if (r < 0)
		return in_use(e, r);
	*ret = TAKE_PTR(d);
	return 0;
}

int coffer_dev_open(const char *path, struct coffer_dev **ret, struct coffer_err *e)
{
	return open_for_run(path, true, ret, e);
}

int coffer_dev_open_shared(const char *path, struct coffer_dev **ret, struct coffer_err *e)
{
	return open_for_run(path, false, ret, e);
}

int coffer_dev_check_exclusive(const struct coffer_dev *d, struct coffer_err *e)
{
	struct stat st;
	int r;

	r = refuse_attached(d, &st, e);
	if (r == 0 && coffer_dev_is_locked(d))
		r = explain(d->name, &st, true, e);
	return in_use(e, r);
}
