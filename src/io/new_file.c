/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* new_file.c - create a file complete and durable or not at all; read an entire file */
#include "io/new_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "base/crypto.h"
#include "base/err.h"

enum {
	MODE = 0400
};

int coffer_new_file_open(const char *path, struct coffer_new_file *ret, struct coffer_err *e)
{
	_cleanup_new_file_ struct coffer_new_file f = {.folder = -1, .path = strdup(path)};
	_cleanup_free_ char *folder = strdup(path);
	char *slash = folder ? strrchr(folder, '/') : NULL;
	struct stat st;

	f.name = strdup(slash ? slash + 1 : path);
	if (!f.path || !folder || !f.name)
		return coffer_err_errno(e, ENOMEM, "create %s", path);
	if (slash)
		slash[slash == folder] = '\0';
	if (!f.name[0] || strcmp(f.name, ".") == 0 || strcmp(f.name, "..") == 0)
		return coffer_err_set(e, EISDIR, "'%s' is not a file name", path);
	f.folder = coffer_high_fd(
		open(slash ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOCTTY));
	if (f.folder < 0)
		return coffer_err_errno(e, errno, "open the directory of %s", path);
	if (fstatat(f.folder, f.name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return coffer_err_refuse(
			e, EEXIST, "%s exists; coffer does not overwrite it", path);
	if (errno != ENOENT)
		return coffer_err_errno(e, errno, "stat %s", path);
	*ret = f;
	f = (struct coffer_new_file){.folder = -1};
	return 0;
}

void coffer_new_file_close(struct coffer_new_file *f)
{
	cleanup_close(&f->folder);
	free(f->name);
	free(f->path);
	*f = (struct coffer_new_file){.folder = -1};
}

static int write_all(int fd, const uint8_t *p, size_t n)
{
	for (size_t at = 0; at < n;) {
		const ssize_t k = write(fd, p + at, n - at);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return -errno;
		if (k == 0)
			return -EIO;
		at += (size_t)k;
	}
	return 0;
}

/* vfat has no second link, NFS no rename that refuses to replace. */
static int give_name(const struct coffer_new_file *f, const char *temporary)
{
	if (renameat2(f->folder, temporary, f->folder, f->name, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -errno;
	if (linkat(f->folder, temporary, f->folder, f->name, 0) < 0)
		return -errno;
	return unlinkat(f->folder, temporary, 0) < 0 ? -errno : 0;
}

/* Write the bytes, durably, to a file with a name of its own. */
static int write_temporary(
	const struct coffer_new_file *f, const char *temporary, const void *p, size_t n)
{
	int fd, r;

	fd = coffer_high_fd(openat(f->folder, temporary,
		O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, MODE));
	if (fd < 0)
		return -errno;
	r = write_all(fd, p, n);
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	/* NFS reports a failed write at close. */
	if (close(fd) < 0 && r == 0)
		r = -errno;
	if (r < 0)
		(void)unlinkat(f->folder, temporary, 0);
	return r;
}

int coffer_new_file_write(
	const struct coffer_new_file *f, const void *p, size_t n, struct coffer_err *e)
{
	_cleanup_free_ char *temporary = NULL;
	uint64_t random;
	int r;

	if (coffer_random(&random, sizeof(random)) < 0 ||
		asprintf(&temporary, ".coffer-%016" PRIx64, random) < 0)
		return coffer_err_errno(e, ENOMEM, "create %s", f->path);
	r = write_temporary(f, temporary, p, n);
	if (r < 0)
		return coffer_err_errno(e, -r, "write %s", f->path);
	r = give_name(f, temporary);
	if (r < 0) {
		(void)unlinkat(f->folder, temporary, 0);
		if (r == -EEXIST)
			return coffer_err_refuse(
				e, EEXIST, "%s exists; coffer does not overwrite it", f->path);
		return coffer_err_errno(e, -r, "name %s", f->path);
	}
	if (fsync(f->folder) < 0) {
		r = coffer_err_errno(e, errno, "flush the directory of %s", f->path);
		(void)unlinkat(f->folder, f->name, 0);
	}
	return r;
}

int coffer_file_read(
	const char *path, uint64_t limit, uint8_t **ret, uint64_t *ret_n, struct coffer_err *e)
{
	_cleanup_dev_ struct coffer_dev *d = NULL;
	_cleanup_free_ uint8_t *buf = NULL;
	int r;

	r = coffer_dev_open_reading(path, &d, e);
	if (r == -ENOTBLK || (r == 0 && d->is_block))
		return coffer_err_refuse(e, EINVAL, "%s is not a regular file", path);
	if (r < 0)
		return r;
	if (d->size > limit)
		return coffer_err_refuse(e, EFBIG,
			"%s: %" PRIu64 " bytes, expected at most %" PRIu64, path, d->size, limit);
	buf = coffer_dev_buffer(d->size + 1);
	if (!buf)
		return coffer_err_errno(e, ENOMEM, "read %s", path);
	r = coffer_dev_read(d, buf, d->size, 0, e);
	if (r < 0)
		return r;
	*ret_n = d->size;
	*ret = TAKE_PTR(buf);
	return 0;
}
