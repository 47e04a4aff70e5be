/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* busy.c - refusals that name the holders of a disk, and the way out */
#include "block/busy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

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

int coffer_busy_explain(const char *name, const struct stat *st, struct coffer_err *e)
{
	_cleanup_holders_ struct coffer_holders all = {0};
	struct part processes;
	int r;

	r = coffer_holders_find(st, NULL, &all, e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < all.n; i++)
		if (all.items[i].kind == COFFER_HOLDER_MOUNT ||
			all.items[i].kind == COFFER_HOLDER_DEVICE ||
			all.items[i].kind == COFFER_HOLDER_SWAP)
			return refuse_for(name, &all, &all.items[i], e);
	processes = processes_of(&all, false);
	if (processes.s[0])
		return coffer_err_refuse(
			e, EBUSY, "%s: in use by %s; wait until it ends", name, processes.s);
	return coffer_err_refuse(e, EBUSY,
		"%s: in use; no holder found%s (swap, another mount namespace, or the kernel)",
		name, all.complete ? "" : " among the visible processes");
}

int coffer_busy_explain_locked(const char *name, const struct stat *st, struct coffer_err *e)
{
	_cleanup_holders_ struct coffer_holders all = {0};
	struct part processes;
	int r;

	r = coffer_holders_find(st, NULL, &all, e);
	if (r < 0)
		return r;
	processes = processes_of(&all, true); /* an exclusive lock takes a writable descriptor */
	r = coffer_err_refuse(e, EBUSY, "%s: locked by %s", name,
		processes.s[0] ? processes.s : "another run of coffer or a virtual machine");
	return coffer_err_advise(e, r, "wait until it ends");
}

int coffer_busy_refuse_attached(const char *name, const struct stat *st, struct coffer_err *e)
{
	_cleanup_holders_ struct coffer_holders all = {0};
	const int r = coffer_holders_find_devices(st, &all, e);

	return r < 0 || all.n == 0 ? r : refuse_for(name, &all, &all.items[0], e);
}
