/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* mounts.c - mounts and swap, by libmount */
#include "block/mounts.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

#include <libmount.h>

#include "base/array.h"

DEFINE_CLEANUP(struct libmnt_table *, table, mnt_unref_table);
DEFINE_CLEANUP(struct libmnt_iter *, iter, mnt_free_iter);

/* A btrfs has a number that no device has, and names one of its devices as the source. The source
 * of other filesystems is ignored: an ordinary user can mount a tmpfs with any source in a
 * namespace of its own. So is one outside /dev: it may be on a network filesystem whose server does
 * not answer. */
static bool mounted_device(struct libmnt_fs *fs, struct coffer_device_id *ret)
{
	const char *source = mnt_fs_get_source(fs), *type = mnt_fs_get_fstype(fs);
	const dev_t dev = mnt_fs_get_devno(fs);
	struct stat st;

	*ret = coffer_device_id_block(dev);
	if (major(dev) != 0)
		return true;
	if (!type || strcmp(type, "btrfs") != 0 || !source || strncmp(source, "/dev/", 5) != 0 ||
		stat(source, &st) < 0 || !S_ISBLK(st.st_mode))
		return false;
	*ret = coffer_device_id_of(&st);
	return true;
}

static bool swapped_id(struct libmnt_fs *fs, struct coffer_device_id *ret)
{
	const char *source = mnt_fs_get_source(fs);
	struct stat st;

	if (!source || stat(source, &st) < 0)
		return false;
	*ret = coffer_device_id_of(&st);
	return true;
}

static int add(struct coffer_mounts *m, struct coffer_device_id id, pid_t pid, const char *name)
{
	char *copy = strdup(name ? name : "");

	if (!copy || !ARRAY_ROOM(m->items, m->n)) {
		free(copy);
		return -ENOMEM;
	}
	m->items[m->n++] = (struct coffer_mount){.id = id, .pid = pid, .name = copy};
	return 0;
}

static int add_table(struct coffer_mounts *m, struct libmnt_table *table, pid_t pid, bool swaps)
{
	_cleanup_(cleanup_iter) struct libmnt_iter *it = mnt_new_iter(MNT_ITER_FORWARD);
	struct libmnt_fs *fs;
	int r = 0;

	if (!it)
		return -ENOMEM;
	while (r == 0 && mnt_table_next_fs(table, it, &fs) == 0) {
		struct coffer_device_id id;

		if (swaps && swapped_id(fs, &id))
			r = add(m, id, pid, mnt_fs_get_source(fs));
		else if (!swaps && mounted_device(fs, &id))
			r = add(m, id, pid, mnt_fs_get_target(fs));
	}
	return r;
}

int coffer_mounts_add(struct coffer_mounts *m, const char *path, pid_t pid, bool *ret_read)
{
	_cleanup_(cleanup_table) struct libmnt_table *table = mnt_new_table_from_file(path);

	*ret_read = table != NULL;
	return table ? add_table(m, table, pid, false) : 0;
}

/* --- mount namespaces --- */

struct namespaces {
	ino_t *items;
	size_t n;
};

/* The mounts in the namespace of @pid, 0 for our own, unless they were read. */
static int add_namespace(
	struct coffer_mounts *m, struct namespaces *seen, pid_t pid, bool *complete)
{
	char process[32] = "self", path[64];
	struct stat st;
	bool read;
	int r;

	if (pid)
		(void)snprintf(process, sizeof(process), "%d", (int)pid);
	(void)snprintf(path, sizeof(path), "/proc/%s/ns/mnt", process);
	if (stat(path, &st) < 0) {
		*complete &= pid && (errno == ENOENT || errno == ESRCH);
		if (pid)
			return 0;
		st.st_ino = 0; /* a kernel without namespaces */
	}
	for (size_t i = 0; i < seen->n; i++)
		if (seen->items[i] == st.st_ino)
			return 0;
	(void)snprintf(path, sizeof(path), "/proc/%s/mountinfo", process);
	r = coffer_mounts_add(m, path, pid, &read);
	if (r < 0)
		return r;
	*complete &= read || pid;
	if (!read) /* it has ended; another process of this namespace may be readable */
		return 0;
	if (!ARRAY_ROOM(seen->items, seen->n))
		return -ENOMEM;
	seen->items[seen->n++] = st.st_ino;
	return 0;
}

int coffer_mounts_read(const struct coffer_pids *pids, struct coffer_mounts *ret, bool *complete)
{
	struct namespaces seen = {0};
	int r;

	r = add_namespace(ret, &seen, 0, complete);
	for (size_t i = 0; i < pids->n && r == 0; i++)
		r = add_namespace(ret, &seen, pids->items[i], complete);
	free(seen.items);
	return r;
}

int coffer_swaps_read(struct coffer_mounts *ret)
{
	_cleanup_(cleanup_table) struct libmnt_table *table = mnt_new_table();

	if (!table)
		return -ENOMEM;
	/* A kernel without swap has no such file. */
	return mnt_table_parse_swaps(table, "/proc/swaps") == 0 ? add_table(ret, table, 0, true)
								: 0;
}

void coffer_mounts_free(struct coffer_mounts *m)
{
	for (size_t i = 0; i < m->n; i++)
		free(m->items[i].name);
	free(m->items);
	*m = (struct coffer_mounts){0};
}
