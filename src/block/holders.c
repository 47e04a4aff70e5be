/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* holders.c - who is at work on a block device or image file */
#include "block/holders.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "base/array.h"
#include "base/err.h"
#include "block/devices.h"
#include "block/loops.h"
#include "block/mounts.h"
#include "block/processes.h"
#include "io/device_id.h"
#include "io/sysfs.h"

static const char *const kind_names[] = {
	[COFFER_HOLDER_MOUNT] = "mount",
	[COFFER_HOLDER_DEVICE] = "device",
	[COFFER_HOLDER_LOOP] = "loop",
	[COFFER_HOLDER_SWAP] = "swap",
	[COFFER_HOLDER_PROCESS] = "process",
	[COFFER_HOLDER_REENCRYPTION] = "reencryption",
};
static_assert(ARRAY_SIZE(kind_names) == COFFER_N_HOLDER_KINDS, "every kind of user has a name");

const char *coffer_holder_kind_name(enum coffer_holder_kind k)
{
	return (unsigned int)k < COFFER_N_HOLDER_KINDS ? kind_names[k] : "unknown";
}

void coffer_holders_free(struct coffer_holders *u)
{
	free(u->items);
	*u = (struct coffer_holders){0};
}

/* A block device that was visited; the first one is what was asked for, and may be a file. */
struct node {
	struct coffer_device_id what;
	char name[32]; /* "loop0p1"; "": what was asked for */
};

struct walk {
	struct coffer_holders holders;
	struct node *nodes;
	size_t n;
	struct coffer_pids pids;
	struct coffer_mounts mounts;
	struct coffer_mounts swaps;
	struct coffer_loops loops;
};

static void walk_free(struct walk *w)
{
	coffer_holders_free(&w->holders);
	free(w->nodes);
	coffer_pids_free(&w->pids);
	coffer_mounts_free(&w->mounts);
	coffer_mounts_free(&w->swaps);
	coffer_loops_free(&w->loops);
}

static int add_holder(struct walk *w, struct coffer_holder u, const char *name, const char *on)
{
	(void)snprintf(u.name, sizeof(u.name), "%s", name);
	(void)snprintf(u.on, sizeof(u.on), "%s", on);
	/* The same mount is seen in each mount namespace that was copied from another. */
	for (size_t i = 0; i < w->holders.n; i++) {
		const struct coffer_holder *v = &w->holders.items[i];

		if (v->kind == u.kind && u.kind != COFFER_HOLDER_PROCESS &&
			u.kind != COFFER_HOLDER_REENCRYPTION && strcmp(v->name, u.name) == 0 &&
			strcmp(v->on, u.on) == 0)
			return 0;
	}
	if (!ARRAY_ROOM(w->holders.items, w->holders.n))
		return -ENOMEM;
	w->holders.items[w->holders.n++] = u;
	return 0;
}

static int add_node(struct walk *w, struct coffer_device_id what, const char *name)
{
	struct node n = {.what = what};

	(void)snprintf(n.name, sizeof(n.name), "%s", name);
	for (size_t i = 0; i < w->n; i++)
		if (coffer_device_id_equal(w->nodes[i].what, what))
			return -EEXIST;
	if (!ARRAY_ROOM(w->nodes, w->n))
		return -ENOMEM;
	w->nodes[w->n++] = n;
	return 0;
}

/* --- sysfs --- */

/* Calls @each for every entry of @path whose @test exists and has the numbers of a block device. */
static int each_device(struct walk *w, const char *path, const char *test,
	int (*each)(struct walk *w, dev_t dev, const char *name, const void *arg), const void *arg)
{
	DIR *dir = opendir(path);
	const struct dirent *d;
	int r = 0;

	while (dir && r == 0 && (d = readdir(dir))) {
		char inner[NAME_MAX + 32];
		dev_t dev;

		if (d->d_name[0] == '.')
			continue;
		(void)snprintf(inner, sizeof(inner), "%s/%s", d->d_name, test);
		if (faccessat(dirfd(dir), inner, F_OK, 0) < 0)
			continue;
		(void)snprintf(inner, sizeof(inner), "%s/dev", d->d_name);
		if (coffer_sysfs_read_dev(dirfd(dir), inner, &dev))
			r = each(w, dev, d->d_name, arg);
	}
	if (dir)
		(void)closedir(dir);
	return r;
}

static void device_path(char *ret, size_t size, dev_t dev, const char *below)
{
	(void)snprintf(ret, size, "/sys/dev/block/%u:%u%s", major(dev), minor(dev), below);
}

/* The kernel's name of a block device, in @link; "": not known. */
static const char *device_name(dev_t dev, char *link, size_t size)
{
	const char *slash;
	char path[64];
	ssize_t n;

	device_path(path, sizeof(path), dev, "");
	n = readlink(path, link, size - 1);
	link[n < 0 ? 0 : n] = '\0';
	slash = strrchr(link, '/');
	return slash ? slash + 1 : link;
}

/* --- one block device or file --- */

static int add_mounts_of(struct walk *w, dev_t dev, const char *name, const void *on)
{
	const struct coffer_device_id what = coffer_device_id_block(dev);
	int r = 0;

	(void)name;
	for (size_t i = 0; i < w->mounts.n && r == 0; i++) {
		const struct coffer_mount *m = &w->mounts.items[i];
		const struct coffer_holder u = {.kind = COFFER_HOLDER_MOUNT, .pid = m->pid};

		if (coffer_device_id_equal(m->what, what))
			r = add_holder(w, u, m->name, on);
	}
	return r;
}

static bool has_entry(const char *path, const char *name)
{
	_cleanup_close_ int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return dir >= 0 && name[0] && faccessat(dir, name, F_OK, 0) == 0;
}

/* Of a btrfs on several devices the table of mounts names only one. */
static int add_btrfs_mounts(struct walk *w, dev_t dev, const char *on)
{
	DIR *dir = opendir("/sys/fs/btrfs");
	const struct dirent *d;
	char path[NAME_MAX + 128], link[PATH_MAX];
	const char *name = device_name(dev, link, sizeof(link));
	int r = 0;

	while (dir && r == 0 && (d = readdir(dir))) {
		if (d->d_name[0] == '.')
			continue;
		(void)snprintf(path, sizeof(path), "/sys/fs/btrfs/%s/devices", d->d_name);
		if (!has_entry(path, name))
			continue;
		r = each_device(w, path, "dev", add_mounts_of, on);
	}
	if (dir)
		(void)closedir(dir);
	return r;
}

static int add_swaps(struct walk *w, const struct node *at)
{
	int r = 0;

	for (size_t i = 0; i < w->swaps.n && r == 0; i++)
		if (coffer_device_id_equal(w->swaps.items[i].what, at->what))
			r = add_holder(w, (struct coffer_holder){.kind = COFFER_HOLDER_SWAP},
				w->swaps.items[i].name, at->name);
	return r;
}

static int visit(struct walk *w, struct coffer_device_id what, const char *name);

static int visit_part(struct walk *w, dev_t dev, const char *name, const void *arg)
{
	(void)arg;
	return visit(w, coffer_device_id_block(dev), name);
}

/* How far to look beyond a device on top of this one. */
struct reach {
	const char *on;
	bool deep;
};

static int add_stacked(struct walk *w, dev_t dev, const char *name, const void *arg)
{
	const struct reach *reach = arg;
	int r;

	r = add_holder(w, (struct coffer_holder){.kind = COFFER_HOLDER_DEVICE}, name, reach->on);
	return r == 0 && reach->deep ? visit(w, coffer_device_id_block(dev), name) : r;
}

static int add_loops(struct walk *w, struct coffer_device_id what, const struct reach *reach)
{
	int r = 0;

	for (size_t i = 0; i < w->loops.n && r == 0; i++) {
		const struct coffer_loop *l = &w->loops.items[i];
		char path[64];

		if (!coffer_device_id_equal(l->backing, what))
			continue;
		(void)snprintf(path, sizeof(path), "/dev/%s", l->name);
		r = add_holder(
			w, (struct coffer_holder){.kind = COFFER_HOLDER_LOOP}, path, reach->on);
		if (r == 0 && reach->deep)
			r = visit(w, coffer_device_id_block(l->dev), l->name);
	}
	return r;
}

/* What uses @at itself; and, where @deep, what is there through its users. */
static int add_direct(struct walk *w, const struct node *at, bool deep)
{
	const struct reach reach = {.on = at->name, .deep = deep};
	char path[64];
	int r;

	r = add_swaps(w, at);
	if (r == 0 && at->what.block) {
		r = add_mounts_of(w, at->what.dev, NULL, at->name);
		if (r == 0)
			r = add_btrfs_mounts(w, at->what.dev, at->name);
		device_path(path, sizeof(path), at->what.dev, "/holders");
		if (r == 0)
			r = each_device(w, path, "dev", add_stacked, &reach);
	}
	return r < 0 ? r : add_loops(w, at->what, &reach);
}

/* One device and all that is there through it. It ends: no device is visited twice. */
static int visit(struct walk *w, struct coffer_device_id what, const char *name)
{
	struct node at;
	char path[64];
	int r;

	r = add_node(w, what, name);
	if (r < 0)
		return r == -EEXIST ? 0 : r;
	at = w->nodes[w->n - 1]; /* a copy: the array moves when it grows */
	r = add_direct(w, &at, true);
	if (r < 0 || !what.block)
		return r;
	device_path(path, sizeof(path), what.dev, "");
	return each_device(w, path, "partition", visit_part, NULL);
}

/* The disk around a partition. Who uses all of it uses the partition; but what stands on it may
 * be on a part beside ours. */
static int visit_whole(struct walk *w, dev_t dev)
{
	char path[64], link[PATH_MAX];
	struct node whole = {0};
	int r;

	device_path(path, sizeof(path), dev, "/partition");
	if (access(path, F_OK) < 0)
		return 0;
	device_path(path, sizeof(path), dev, "/../dev");
	if (!coffer_sysfs_read_dev(AT_FDCWD, path, &dev))
		return 0;
	whole.what = coffer_device_id_block(dev);
	r = add_node(w, whole.what, device_name(dev, link, sizeof(link)));
	if (r < 0)
		return r == -EEXIST ? 0 : r;
	whole = w->nodes[w->n - 1];
	return add_direct(w, &whole, false);
}

static int walk_devices(struct walk *w, const struct stat *st)
{
	const struct coffer_device_id what = coffer_device_id_of(st);
	char path[64];
	int r;

	r = coffer_pids_read(&w->pids, &w->holders.complete);
	if (r == 0)
		r = coffer_mounts_read(&w->pids, &w->mounts, &w->holders.complete);
	if (r == 0)
		r = coffer_swaps_read(&w->swaps);
	if (r == 0)
		r = coffer_loops_read(&w->loops, &w->holders.complete);
	if (r == 0)
		r = visit(w, what, "");
	if (r < 0 || !what.block)
		return r;
	device_path(path, sizeof(path), what.dev, "");
	if (access(path, F_OK) < 0)
		w->holders.complete = false; /* no sysfs: who knows what is on top of it */
	return visit_whole(w, what.dev);
}

/* --- processes --- */

/* The lock file @path; false when there is none. Its name alone proves nothing: whoever is killed
 * leaves it behind. */
static bool find_lock(const char *path, struct coffer_device_id *ret, bool *complete)
{
	struct stat st;

	if (!path || !path[0])
		return false;
	if (lstat(path, &st) < 0) {
		if (errno != ENOENT)
			*complete = false;
		return false;
	}
	*ret = coffer_device_id_of(&st);
	return true;
}

static int walk_processes(struct walk *w, const char *lock_path)
{
	_cleanup_processes_ struct coffer_processes found = {0};
	_cleanup_free_ struct coffer_device_id *ids = calloc(w->n, sizeof(*ids));
	struct coffer_device_id lock;
	bool has_lock;
	int r;

	if (!ids)
		return -ENOMEM;
	for (size_t i = 0; i < w->n; i++)
		ids[i] = w->nodes[i].what;
	has_lock = find_lock(lock_path, &lock, &w->holders.complete);
	r = coffer_processes_find(
		&w->pids, ids, w->n, has_lock ? &lock : NULL, &found, &w->holders.complete);
	for (size_t i = 0; i < found.n && r == 0; i++) {
		const struct coffer_process *p = &found.items[i];
		const struct coffer_holder u = {
			.kind = p->locks ? COFFER_HOLDER_REENCRYPTION : COFFER_HOLDER_PROCESS,
			.pid = p->pid,
			.writes = p->writes,
		};

		r = add_holder(w, u, p->comm, p->id < w->n ? w->nodes[p->id].name : "");
	}
	return r;
}

static int find(const struct stat *st, bool processes, const char *lock_path,
	struct coffer_holders *ret, struct coffer_err *e)
{
	_cleanup_(walk_free) struct walk w = {.holders.complete = true};
	int r;

	r = walk_devices(&w, st);
	if (r == 0 && processes)
		r = walk_processes(&w, lock_path);
	if (r < 0)
		return coffer_err_errno(e, -r, "look who uses it");
	*ret = w.holders;
	w.holders = (struct coffer_holders){0};
	return 0;
}

int coffer_holders_find(const struct stat *st, const char *lock_path, struct coffer_holders *ret,
	struct coffer_err *e)
{
	return find(st, true, lock_path, ret, e);
}

int coffer_holders_find_devices(
	const struct stat *st, struct coffer_holders *ret, struct coffer_err *e)
{
	return find(st, false, NULL, ret, e);
}

bool coffer_holders_only_map(const struct stat *st, const char *uuid)
{
	_cleanup_holders_ struct coffer_holders all = {0};
	bool maps = false;

	if (coffer_holders_find_devices(st, &all, NULL) < 0)
		return false;
	for (size_t i = 0; i < all.n; i++) {
		const struct coffer_holder *u = &all.items[i];

		if (u->on[0])
			continue;
		if (u->kind != COFFER_HOLDER_DEVICE || !coffer_device_maps_volume(u->name, uuid))
			return false;
		maps = true;
	}
	return maps;
}
