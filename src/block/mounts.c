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

struct seen {
	ino_t *items;
	size_t n;
};

/* -EEXIST: known already. */
static int note_namespace(struct seen *s, ino_t ns)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->items[i] == ns)
			return -EEXIST;
	if (!ARRAY_ROOM(s->items, s->n))
		return -ENOMEM;
	s->items[s->n++] = ns;
	return 0;
}

static int add_namespace(struct coffer_mounts *m, struct seen *s, pid_t pid, bool *complete)
{
	struct stat st;
	char path[64];
	bool read;
	int r;

	(void)snprintf(path, sizeof(path), "/proc/%d/ns/mnt", (int)pid);
	if (stat(path, &st) < 0) {
		if (errno != ENOENT && errno != ESRCH)
			*complete = false;
		return 0;
	}
	r = note_namespace(s, st.st_ino);
	if (r < 0)
		return r == -EEXIST ? 0 : r;
	(void)snprintf(path, sizeof(path), "/proc/%d/mountinfo", (int)pid);
	r = coffer_mounts_add(m, path, pid, &read);
	if (r == 0 && !read)
		s->n--; /* it has ended; another process of this namespace may be readable */
	return r;
}

int coffer_mounts_read(const struct coffer_pids *pids, struct coffer_mounts *ret, bool *complete)
{
	_cleanup_mounts_ struct coffer_mounts m = {0};
	struct seen seen = {0};
	struct stat st;
	bool read;
	int r;

	r = coffer_mounts_add(&m, "/proc/self/mountinfo", 0, &read);
	if (!read || stat("/proc/self/ns/mnt", &st) < 0)
		*complete = false;
	else if (r == 0)
		r = note_namespace(&seen, st.st_ino);
	for (size_t i = 0; i < pids->n && r == 0; i++)
		r = add_namespace(&m, &seen, pids->items[i], complete);
	free(seen.items);
	if (r < 0)
		return r;
	*ret = m;
	m = (struct coffer_mounts){0};
	return 0;
}

int coffer_swaps_read(struct coffer_mounts *ret)
{
	_cleanup_(cleanup_table) struct libmnt_table *table = mnt_new_table();
	_cleanup_mounts_ struct coffer_mounts m = {0};
	int r;

	if (!table)
		return -ENOMEM;
	/* A kernel without swap has no such file. */
	if (mnt_table_parse_swaps(table, "/proc/swaps") == 0) {
		r = add_table(&m, table, 0, true);
		if (r < 0)
			return r;
	}
	*ret = m;
	m = (struct coffer_mounts){0};
	return 0;
}

void coffer_mounts_free(struct coffer_mounts *m)
{
	for (size_t i = 0; i < m->n; i++)
		free(m->items[i].name);
	free(m->items);
	*m = (struct coffer_mounts){0};
}
