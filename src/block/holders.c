/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* holders.c - find the holders of a block device or image file */
#include "block/holders.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/loop.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

#include "base/array.h"
#include "base/err.h"
#include "base/names.h"
#include "block/devices.h"
#include "block/mounts.h"
#include "block/processes.h"
#include "io/device_id.h"
#include "io/sysfs.h"

DEFINE_NAMES(coffer_holder_kind_name, enum coffer_holder_kind,
	COFFER_N_HOLDER_KINDS, [COFFER_HOLDER_MOUNT] = "mount", [COFFER_HOLDER_DEVICE] = "device",
	[COFFER_HOLDER_LOOP] = "loop", [COFFER_HOLDER_SWAP] = "swap",
	[COFFER_HOLDER_PROCESS] = "process", [COFFER_HOLDER_REENCRYPTION] = "reencryption")

void coffer_holders_free(struct coffer_holders *l)
{
	free(l->items);
	*l = (struct coffer_holders){0};
}

/* A block device that was visited; the first one is the disk itself, and may be a file. */
struct node {
	struct coffer_device_id id;
	char name[32]; /* "loop0p1"; "": the disk itself */
};

#define BACKING "loop/backing_file"

/* The kernel does not open its file exclusively, and lists it in no holders/ folder. */
struct loop {
	char name[32]; /* "loop0" */
	dev_t dev;
	struct coffer_device_id backing;
};

struct walk {
	struct coffer_holders holders;
	struct node *nodes;
	size_t n;
	struct coffer_pids pids;
	struct coffer_mounts mounts;
	struct coffer_mounts swaps;
	struct loop *loops; /* by number */
	size_t n_loops;
};

static void walk_free(struct walk *w)
{
	coffer_holders_free(&w->holders);
	free(w->nodes);
	coffer_pids_free(&w->pids);
	coffer_mounts_free(&w->mounts);
	coffer_mounts_free(&w->swaps);
	free(w->loops);
}

static int add_holder(struct walk *w, struct coffer_holder h, const char *name, const char *on)
{
	(void)snprintf(h.name, sizeof(h.name), "%s", name);
	(void)snprintf(h.on, sizeof(h.on), "%s", on);
	/* A mount is in each mount namespace that was copied from another. */
	for (size_t i = 0; i < w->holders.n; i++) {
		const struct coffer_holder *other = &w->holders.items[i];

		if (other->kind == h.kind && h.kind != COFFER_HOLDER_PROCESS &&
			h.kind != COFFER_HOLDER_REENCRYPTION && strcmp(other->name, h.name) == 0 &&
			strcmp(other->on, h.on) == 0)
			return 0;
	}
	if (!ARRAY_ROOM(w->holders.items, w->holders.n))
		return -ENOMEM;
	w->holders.items[w->holders.n++] = h;
	return 0;
}

/* -EEXIST: visited already. */
static int add_node(struct walk *w, struct coffer_device_id id, const char *name)
{
	struct node n = {.id = id};

	(void)snprintf(n.name, sizeof(n.name), "%s", name);
	for (size_t i = 0; i < w->n; i++)
		if (coffer_device_id_equal(w->nodes[i].id, id))
			return -EEXIST;
	if (!ARRAY_ROOM(w->nodes, w->n))
		return -ENOMEM;
	w->nodes[w->n++] = n;
	return 0;
}

/* --- loop devices --- */

/* The file that the kernel holds open. Its path may be stale, or of another mount namespace. */
static bool backing_by_kernel(const char *name, dev_t dev, struct coffer_device_id *ret)
{
	_cleanup_close_ int fd = -1;
	struct loop_info64 info;
	char path[64];
	struct stat st;

	(void)snprintf(path, sizeof(path), "/dev/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISBLK(st.st_mode) || st.st_rdev != dev ||
		ioctl(fd, LOOP_GET_STATUS64, &info) < 0)
		return false;
	*ret = info.lo_rdevice
		       ? coffer_device_id_block(info.lo_rdevice)
		       : (struct coffer_device_id){.dev = info.lo_device, .ino = info.lo_inode};
	return true;
}

static int read_loop(struct walk *w, DIR *sys, const char *name, dev_t dev)
{
	struct loop loop = {.dev = dev};
	char path[64], backing[PATH_MAX];
	struct stat st;

	(void)snprintf(loop.name, sizeof(loop.name), "%s", name);
	if (!backing_by_kernel(loop.name, dev, &loop.backing)) {
		(void)snprintf(path, sizeof(path), "%s/" BACKING, loop.name);
		if (!coffer_sysfs_read_line(dirfd(sys), path, backing, sizeof(backing)))
			return 0; /* detached meanwhile */
		if (stat(backing, &st) < 0) {
			w->holders.complete = false;
			return 0;
		}
		loop.backing = coffer_device_id_of(&st);
	}
	if (!ARRAY_ROOM(w->loops, w->n_loops))
		return -ENOMEM;
	w->loops[w->n_loops++] = loop;
	return 0;
}

static int by_number(const void *a, const void *b)
{
	const dev_t x = ((const struct loop *)a)->dev;
	const dev_t y = ((const struct loop *)b)->dev;

	return (x > y) - (x < y);
}

static int read_loops(struct walk *w)
{
	_cleanup_dir_ DIR *dir = opendir("/sys/block");
	const char *name;
	dev_t dev;

	if (!dir)
		w->holders.complete = false;
	while ((name = coffer_device_next(dir, BACKING, &dev)))
		if (read_loop(w, dir, name, dev) < 0)
			return -ENOMEM;
	if (w->n_loops > 1)
		qsort(w->loops, w->n_loops, sizeof(*w->loops), by_number);
	return 0;
}

/* --- one block device or file --- */

static int add_mounts(struct walk *w, dev_t dev, const char *on)
{
	const struct coffer_device_id id = coffer_device_id_block(dev);

	for (size_t i = 0; i < w->mounts.n; i++) {
		const struct coffer_mount *m = &w->mounts.items[i];
		const struct coffer_holder h = {.kind = COFFER_HOLDER_MOUNT, .pid = m->pid};

		if (coffer_device_id_equal(m->id, id) && add_holder(w, h, m->name, on) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* The table of mounts names only one device of a btrfs on several. */
static int add_btrfs_mounts(struct walk *w, dev_t dev, const char *on)
{
	_cleanup_dir_ DIR *all = opendir("/sys/fs/btrfs");
	char path[NAME_MAX + 128], name[32];
	const char *uuid;

	coffer_device_name(dev, name, sizeof(name));
	while (name[0] && (uuid = coffer_dir_next(all))) {
		_cleanup_dir_ DIR *devices = NULL;
		dev_t other;

		(void)snprintf(path, sizeof(path), "/sys/fs/btrfs/%s/devices", uuid);
		devices = opendir(path);
		if (!devices || faccessat(dirfd(devices), name, F_OK, 0) < 0)
			continue;
		while (coffer_device_next(devices, "dev", &other))
			if (add_mounts(w, other, on) < 0)
				return -ENOMEM;
	}
	return 0;
}

static int add_swaps(struct walk *w, const struct node *at)
{
	const struct coffer_holder h = {.kind = COFFER_HOLDER_SWAP};

	for (size_t i = 0; i < w->swaps.n; i++)
		if (coffer_device_id_equal(w->swaps.items[i].id, at->id) &&
			add_holder(w, h, w->swaps.items[i].name, at->name) < 0)
			return -ENOMEM;
	return 0;
}

static int visit(struct walk *w, struct coffer_device_id id, const char *name);

static int add_loops(struct walk *w, const struct node *at, bool deep)
{
	const struct coffer_holder h = {.kind = COFFER_HOLDER_LOOP};

	for (size_t i = 0; i < w->n_loops; i++) {
		const struct loop *l = &w->loops[i];
		char path[64];

		if (!coffer_device_id_equal(l->backing, at->id))
			continue;
		(void)snprintf(path, sizeof(path), "/dev/%s", l->name);
		if (add_holder(w, h, path, at->name) < 0 ||
			(deep && visit(w, coffer_device_id_block(l->dev), l->name) < 0))
			return -ENOMEM;
	}
	return 0;
}

static int add_stacked(struct walk *w, const struct node *at, bool deep)
{
	const struct coffer_holder h = {.kind = COFFER_HOLDER_DEVICE};
	_cleanup_dir_ DIR *dir = opendir(coffer_device_path(at->id.dev, "/holders").s);
	const char *name;
	dev_t dev;

	while ((name = coffer_device_next(dir, "dev", &dev)))
		if (add_holder(w, h, name, at->name) < 0 ||
			(deep && visit(w, coffer_device_id_block(dev), name) < 0))
			return -ENOMEM;
	return 0;
}

/* The holders of @at; with @deep also theirs. */
static int add_direct(struct walk *w, const struct node *at, bool deep)
{
	if (add_swaps(w, at) < 0)
		return -ENOMEM;
	if (at->id.block && (add_mounts(w, at->id.dev, at->name) < 0 ||
				    add_btrfs_mounts(w, at->id.dev, at->name) < 0 ||
				    add_stacked(w, at, deep) < 0))
		return -ENOMEM;
	return add_loops(w, at, deep);
}

/* One device, its partitions and their holders. It ends: no device is visited twice. */
static int visit(struct walk *w, struct coffer_device_id id, const char *name)
{
	_cleanup_dir_ DIR *dir = NULL;
	struct node at;
	const char *part;
	dev_t dev;
	int r;

	r = add_node(w, id, name);
	if (r < 0)
		return r == -EEXIST ? 0 : r;
	at = w->nodes[w->n - 1]; /* a copy: the array moves when it grows */
	r = add_direct(w, &at, true);
	if (r < 0 || !id.block)
		return r;
	dir = opendir(coffer_device_path(id.dev, "").s);
	while ((part = coffer_device_next(dir, "partition", &dev)))
		if (visit(w, coffer_device_id_block(dev), part) < 0)
			return -ENOMEM;
	return 0;
}

/* The disk around a partition. Its holders hold the partition, too; but what is stacked on them may
 * use another partition only. */
static int visit_whole(struct walk *w, dev_t dev)
{
	struct node whole;
	char name[32];
	int r;

	if (!coffer_device_whole(&dev))
		return 0;
	coffer_device_name(dev, name, sizeof(name));
	r = add_node(w, coffer_device_id_block(dev), name); /* no partition: visited already */
	if (r < 0)
		return r == -EEXIST ? 0 : r;
	whole = w->nodes[w->n - 1];
	return add_direct(w, &whole, false);
}

static int walk_devices(struct walk *w, const struct stat *st)
{
	const struct coffer_device_id id = coffer_device_id_of(st);

	if (coffer_pids_read(&w->pids, &w->holders.complete) < 0 ||
		coffer_mounts_read(&w->pids, &w->mounts, &w->holders.complete) < 0 ||
		coffer_swaps_read(&w->swaps) < 0 || read_loops(w) < 0 || visit(w, id, "") < 0)
		return -ENOMEM;
	if (!id.block)
		return 0;
	if (access(coffer_device_path(id.dev, "").s, F_OK) < 0)
		w->holders.complete = false; /* no sysfs: what is stacked on it is not known */
	return visit_whole(w, id.dev);
}

/* --- processes --- */

/* The lock file @path; false: there is none. It proves no holder: a killed process leaves it. */
static bool find_lock(const char *path, struct coffer_device_id *ret, bool *complete)
{
	struct stat st;

	if (!path || !path[0])
		return false;
	if (lstat(path, &st) < 0) {
		*complete &= errno == ENOENT;
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

	if (!ids)
		return -ENOMEM;
	for (size_t i = 0; i < w->n; i++)
		ids[i] = w->nodes[i].id;
	has_lock = find_lock(lock_path, &lock, &w->holders.complete);
	if (coffer_processes_find(
		    &w->pids, ids, w->n, has_lock ? &lock : NULL, &found, &w->holders.complete) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < found.n; i++) {
		const struct coffer_process *p = &found.items[i];
		const struct coffer_holder h = {
			.kind = p->locks ? COFFER_HOLDER_REENCRYPTION : COFFER_HOLDER_PROCESS,
			.pid = p->pid,
			.writes = p->writes,
		};

		if (add_holder(w, h, p->comm, p->id < w->n ? w->nodes[p->id].name : "") < 0)
			return -ENOMEM;
	}
	return 0;
}

static int find(const struct stat *st, bool processes, const char *lock_path,
	struct coffer_holders *ret, struct coffer_err *e)
{
	_cleanup_(walk_free) struct walk w = {.holders.complete = true};

	if (walk_devices(&w, st) < 0 || (processes && walk_processes(&w, lock_path) < 0))
		return coffer_err_errno(e, ENOMEM, "find holders");
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

/* Is the block device @name ("dm-0") a mapping of the LUKS2 volume @uuid, by cryptsetup's DM UUID?
 */
static bool maps_volume(const char *name, const char *uuid)
{
	char path[NAME_MAX + 64], found[256], want[64] = "CRYPT-LUKS2-";
	size_t n = strlen(want);

	for (const char *c = uuid; *c && n < sizeof(want) - 2; c++)
		if (*c != '-')
			want[n++] = *c;
	want[n++] = '-';
	want[n] = '\0';
	(void)snprintf(path, sizeof(path), "/sys/class/block/%s/dm/uuid", name);
	return coffer_sysfs_read_line(AT_FDCWD, path, found, sizeof(found)) &&
	       strncmp(found, want, n) == 0;
}

bool coffer_holders_only_map(const struct stat *st, const char *uuid)
{
	_cleanup_holders_ struct coffer_holders all = {0};
	bool maps = false;

	if (coffer_holders_find_devices(st, &all, NULL) < 0)
		return false;
	for (size_t i = 0; i < all.n; i++) {
		const struct coffer_holder *h = &all.items[i];

		if (h->on[0])
			continue;
		if (h->kind != COFFER_HOLDER_DEVICE || !maps_volume(h->name, uuid))
			return false;
		maps = true;
	}
	return maps;
}
