/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* busy.c - refusals that say who uses a disk, and what to do about it */
#include "block/busy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "block/holders.h"
#include "io/sysfs.h"

enum {
	MANY = 3 /* processes in one sentence */
};

static bool is_process(const struct coffer_holder *u)
{
	return u->kind == COFFER_HOLDER_PROCESS || u->kind == COFFER_HOLDER_REENCRYPTION;
}

/* ", mounted on /mnt": of the block device @dev, a name with or without its folder. */
static void tell_mount(const struct coffer_holders *all, const char *dev, char *ret, size_t size)
{
	const char *slash = strrchr(dev, '/');

	ret[0] = '\0';
	for (size_t i = 0; i < all->n && !ret[0]; i++) {
		const struct coffer_holder *u = &all->items[i];

		if (u->kind == COFFER_HOLDER_MOUNT && strcmp(u->on, slash ? slash + 1 : dev) == 0)
			(void)snprintf(ret, size, ", mounted on %s", u->name);
	}
}

/* " (home)": the name that somebody gave to a device of device-mapper, the one that its tools take.
 */
static void tell_label(const char *dev, char *ret, size_t size)
{
	char path[sizeof(((struct coffer_holder *)NULL)->name) + 32], label[128];

	ret[0] = '\0';
	(void)snprintf(path, sizeof(path), "/sys/class/block/%s/dm/name", dev);
	if (coffer_sysfs_read_line(AT_FDCWD, path, label, sizeof(label)))
		(void)snprintf(ret, size, " (%s)", label);
}

/* @u is not a process. */
static int refuse_for(const char *name, const struct coffer_holders *all,
	const struct coffer_holder *u, struct coffer_err *e)
{
	const char *through = u->on[0] ? " is in use: " : "";
	char more[sizeof(u->name) + 32], label[160];

	tell_mount(all, u->name, more, sizeof(more));
	if (u->kind == COFFER_HOLDER_MOUNT && u->pid)
		return coffer_err_advise(e,
			coffer_err_refuse(e, EBUSY,
				"%s%s%s is mounted on %s in the mount namespace of process %d",
				name, through, u->on, u->name, (int)u->pid),
			"unmount it there first, or end that process");
	if (u->kind == COFFER_HOLDER_MOUNT)
		return coffer_err_advise(e,
			coffer_err_refuse(
				e, EBUSY, "%s%s%s is mounted on %s", name, through, u->on, u->name),
			"unmount it first");
	if (u->kind == COFFER_HOLDER_SWAP)
		return coffer_err_advise(e,
			coffer_err_refuse(
				e, EBUSY, "%s%s%s is in use as swap", name, through, u->on),
			"run swapoff %s first", u->name);
	if (u->kind == COFFER_HOLDER_LOOP)
		return coffer_err_advise(e,
			coffer_err_refuse(e, EBUSY, "%s%s%s is attached to %s%s", name, through,
				u->on, u->name, more),
			"detach it first (losetup -d %s)", u->name);
	tell_label(u->name, label, sizeof(label));
	return coffer_err_advise(e,
		coffer_err_refuse(e, EBUSY,
			"%s%s%s is held by the block device %s%s on top of it%s", name, through,
			u->on, u->name, label, more),
		"take that down first");
}

/* The first user of one of @kinds, a set of bits; NULL: there is none. */
static const struct coffer_holder *first_of(const struct coffer_holders *all, unsigned int kinds)
{
	for (size_t i = 0; i < all->n; i++)
		if (kinds & 1U << all->items[i].kind)
			return &all->items[i];
	return NULL;
}

/* "cryptsetup (process 812), coffer (process 813)"; "" for none. */
static void tell_processes(
	const struct coffer_holders *all, bool writers_only, char *ret, size_t size)
{
	size_t used = 0, told = 0;

	ret[0] = '\0';
	for (size_t i = 0; i < all->n && told < MANY && used < size; i++) {
		const struct coffer_holder *u = &all->items[i];

		if (!is_process(u) || (writers_only && !u->writes))
			continue;
		used += (size_t)snprintf(ret + used, size - used, "%s%s (process %d)",
			told ? ", " : "", u->name, (int)u->pid);
		told++;
	}
}

int coffer_busy_explain(const char *name, const struct stat *st, struct coffer_err *e)
{
	_cleanup_holders_ struct coffer_holders all = {0};
	const struct coffer_holder *u;
	char who[256];
	int r;

	r = coffer_holders_find(st, NULL, &all, e);
	if (r < 0)
		return r;
	u = first_of(&all,
		1U << COFFER_HOLDER_MOUNT | 1U << COFFER_HOLDER_DEVICE | 1U << COFFER_HOLDER_SWAP);
	if (u)
		return refuse_for(name, &all, u, e);
	tell_processes(&all, false, who, sizeof(who));
	if (who[0])
		return coffer_err_advise(e,
			coffer_err_refuse(e, EBUSY, "%s is in use: open in %s", name, who),
			"wait until it has ended");
	return coffer_err_refuse(e, EBUSY,
		"%s is in use%s: as swap, by another coffer or cryptsetup, mounted elsewhere, or "
		"by the kernel itself",
		name, all.complete ? "" : " by somebody whom this user cannot see");
}

int coffer_busy_explain_locked(const char *name, const struct stat *st, struct coffer_err *e)
{
	_cleanup_holders_ struct coffer_holders all = {0};
	char who[256];
	int r;

	r = coffer_holders_find(st, NULL, &all, e);
	if (r < 0)
		return r;
	/* An exclusive lock takes a descriptor that may write. */
	tell_processes(&all, true, who, sizeof(who));
	return coffer_err_advise(e,
		coffer_err_refuse(e, EBUSY, "another program is at work on %s (%s)", name,
			who[0] ? who : "a coffer, or a virtual machine"),
		"wait until it has ended");
}

int coffer_busy_refuse_attached(const char *name, const struct stat *st, struct coffer_err *e)
{
	_cleanup_holders_ struct coffer_holders all = {0};
	const int r = coffer_holders_find_devices(st, &all, e);

	return r < 0 || all.n == 0 ? r : refuse_for(name, &all, &all.items[0], e);
}
