/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* scratch.c - a nameless file, to measure the speed of a disk on */
#include "io/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>

#include "base/bytes.h"
#include "base/err.h"

/* A filesystem without nameless files gives it a name for a moment. */
static int open_nameless(const char *folder)
{
	char path[PATH_MAX];
	int fd;

	fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT))
		return fd;
	if (snprintf(path, sizeof(path), "%s/.coffer-XXXXXX", folder) >= (int)sizeof(path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	fd = mkostemp(path, O_CLOEXEC);
	if (fd >= 0)
		(void)unlink(path);
	return fd;
}

static bool in_memory(int fd)
{
	struct statfs s;

	return fstatfs(fd, &s) == 0 && (s.f_type == TMPFS_MAGIC || s.f_type == RAMFS_MAGIC);
}

/* The fraction of the free space; 0: unknown. Within the limit of the process: beyond it the kernel
 * sends a signal. */
static uint64_t free_fraction(int fd)
{
	struct rlimit limit;
	struct statvfs s;
	uint64_t space;

	if (getrlimit(RLIMIT_FSIZE, &limit) < 0 || fstatvfs(fd, &s) < 0 ||
		!mul_u64(s.f_bavail, s.f_frsize, &space))
		return 0;
	return min_u64(space / COFFER_SCRATCH_SHARE, limit.rlim_cur);
}

/* Allocate the space now: allocation during the measurement would look like a slow disk. */
static int allocate(int fd, uint64_t size)
{
	if (fallocate(fd, 0, 0, (off_t)size) == 0)
		return 0;
	if (errno != EOPNOTSUPP && errno != ENOSYS)
		return -1;
	return ftruncate(fd, (off_t)size);
}

int coffer_scratch_open(const char *folder, uint64_t least, uint64_t most,
	const struct coffer_dev *disk, struct coffer_dev **ret, struct coffer_err *e)
{
	_cleanup_close_ int fd = coffer_high_fd(open_nameless(folder));
	const bool memory_ok = !disk->is_block && in_memory(disk->fd);
	char name[PATH_MAX + 32];
	uint64_t size;

	if (fd < 0)
		return coffer_err_errno(e, errno, "create a scratch file in %s", folder);
	if (!memory_ok && in_memory(fd))
		return coffer_err_set(e, ENOTSUP, "%s is in memory, not on a disk", folder);
	size = round_down_u64(min_u64(most, free_fraction(fd)), 4096);
	if (size < least)
		return coffer_err_set(
			e, ENOSPC, "not enough free space in %s for a scratch file", folder);
	if (allocate(fd, size) < 0)
		return coffer_err_errno(e, errno, "create a scratch file in %s", folder);
	(void)snprintf(name, sizeof(name), "the scratch file in %s", folder);
	return coffer_dev_from_fd(TAKE_FD(fd), name, ret, e);
}

int coffer_image_folder(const struct coffer_dev *d, char ret[PATH_MAX])
{
	char *slash;

	if (!realpath(d->name, ret))
		return -errno;
	slash = strrchr(ret, '/');
	if (!slash)
		return -EINVAL;
	slash[slash == ret] = '\0'; /* the root folder keeps its slash */
	return 0;
}

const char *coffer_temp_folder(void)
{
	const char *folder = secure_getenv("TMPDIR");

	return folder && folder[0] == '/' ? folder : "/var/tmp";
}

bool coffer_same_filesystem(const struct coffer_dev *d, const struct coffer_dev *other)
{
	struct stat a, b;

	return !d->is_block && fstat(d->fd, &a) == 0 && fstat(other->fd, &b) == 0 &&
	       a.st_dev == b.st_dev;
}
