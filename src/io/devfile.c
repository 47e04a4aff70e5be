/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* devfile.c - the device interface over a block device or an image file */
#include "io/dev.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/err.h"

enum {
	DIRECT_ALIGN = 4096 /* for O_DIRECT: the largest block size in common use */
};

static int size_now(const struct coffer_dev *d, uint64_t *ret)
{
	struct stat st;

	if (d->is_block)
		return ioctl(d->fd, BLKGETSIZE64, ret) < 0 ? -errno : 0;
	if (fstat(d->fd, &st) < 0)
		return -errno;
	*ret = (uint64_t)st.st_size;
	return 0;
}

/* Is the device as large as the run knows it? What was beyond a new end is lost, flushed or not,
 * and the next write there would make an image file grow again, with a hole. */
static int check_size(const struct coffer_dev *d, struct coffer_err *e)
{
	uint64_t now;
	int r;

	r = size_now(d, &now);
	if (r < 0)
		return coffer_err_errno(e, -r, "read the size of %s", d->name);
	if (now >= d->size)
		return 0;
	/* An unplugged disk has no size, and may come back as it was. */
	if (d->is_block && now == 0)
		return coffer_err_set(e, EIO, "%s was removed", d->name);
	return coffer_err_needs_repair(e, ENXIO,
		"%s shrank during the run from %" PRIu64 " to %" PRIu64
		" bytes; enlarge it to its old size, with its old content if that was kept",
		d->name, d->size, now);
}

static int read_ended(const struct coffer_dev *d, uint64_t off, struct coffer_err *e)
{
	const int r = d->read_only ? 0 : check_size(d, e);

	if (r < 0)
		return r;
	return coffer_err_set(e, EIO, "read %s: it ends at byte %" PRIu64, d->name, off);
}

static int file_read(struct coffer_dev *d, void *buf, size_t n, uint64_t off, struct coffer_err *e)
{
	size_t done = 0;

	while (done < n) {
		ssize_t k = pread(d->fd, (char *)buf + done, n - done, (off_t)(off + done));

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return coffer_err_errno(
				e, errno, "read %s at byte %" PRIu64, d->name, off + done);
		if (k == 0)
			return read_ended(d, off + done, e);
		done += (size_t)k;
	}
	return 0;
}

static int write_failed(struct coffer_dev *d, int code, uint64_t off, struct coffer_err *e)
{
	/* A block device gives ENOSPC beyond its end. */
	const int r = d->is_block && code == ENOSPC ? check_size(d, e) : 0;

	if (r < 0)
		return r;
	(void)coffer_err_errno(e, code, "write %s at byte %" PRIu64, d->name, off);
	if (code == ENOSPC || code == EDQUOT)
		coffer_err_append(e, "; free some space %s",
			d->is_block ? "in its storage pool" : "on the filesystem that holds it");
	return -code;
}

static int file_write(
	struct coffer_dev *d, const void *buf, size_t n, uint64_t off, struct coffer_err *e)
{
	size_t done = 0;
	int r;

	if (d->read_only)
		return coffer_err_set(e, EBADF, "write %s: it was opened for reading", d->name);
	/* An image file would grow; a conversion never writes beyond the device's end. */
	if (off > d->size || n > d->size - off)
		return coffer_err_set(
			e, ENOSPC, "write %s: byte %" PRIu64 " is beyond its end", d->name, off);
	r = d->is_block ? 0 : check_size(d, e);
	if (r < 0)
		return r;
	while (done < n) {
		ssize_t k = pwrite(d->fd, (const char *)buf + done, n - done, (off_t)(off + done));

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return write_failed(d, errno, off + done, e);
		if (k == 0)
			return coffer_err_set(e, EIO, "write %s: no byte accepted at byte %" PRIu64,
				d->name, off + done);
		done += (size_t)k;
	}
	return 0;
}

static int file_flush(struct coffer_dev *d, struct coffer_err *e)
{
	if (d->read_only)
		return coffer_err_set(e, EBADF, "flush %s: it was opened for reading", d->name);
	/* Not retried: after a failed fsync the kernel no longer knows which pages were not
	 * written, and a second call would return 0 for lost data. */
	if (fdatasync(d->fd) < 0)
		return coffer_err_errno(e, errno, "flush %s", d->name);
	return check_size(d, e); /* nothing beyond a new end is durable */
}

static void file_set_direct(struct coffer_dev *d, bool direct)
{
	const int flags = fcntl(d->fd, F_GETFL);
	_cleanup_free_ void *probe = coffer_dev_buffer(DIRECT_ALIGN);

	if (flags < 0 || !probe || d->logical_block > DIRECT_ALIGN)
		return;
	/* Some filesystems accept the flag and refuse the transfer, so one read decides. */
	if (fcntl(d->fd, F_SETFL, direct ? flags | O_DIRECT : flags & ~O_DIRECT) < 0)
		return;
	if (direct && pread(d->fd, probe, DIRECT_ALIGN, 0) != DIRECT_ALIGN)
		(void)fcntl(d->fd, F_SETFL, flags & ~O_DIRECT);
}

static void file_forget(struct coffer_dev *d, uint64_t off, uint64_t n)
{
	(void)posix_fadvise(d->fd, (off_t)off, (off_t)n, POSIX_FADV_DONTNEED);
}

static int file_discard(struct coffer_dev *d, uint64_t off, uint64_t n, struct coffer_err *e)
{
	const uint64_t range[2] = {off, n};
	const int how = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
	int r;

	if (d->read_only || off > d->size || n > d->size - off)
		return coffer_err_set(
			e, EBADF, "discard %s: byte %" PRIu64 " is beyond its end", d->name, off);
	r = d->is_block ? ioctl(d->fd, BLKDISCARD, range)
			: fallocate(d->fd, how, (off_t)off, (off_t)n);
	if (r < 0)
		return coffer_err_errno(e, errno, "discard %s at byte %" PRIu64, d->name, off);
	return 0;
}

static void file_close(struct coffer_dev *d)
{
	if (d->fd >= 0)
		(void)close(d->fd); /* everything was flushed: an error of close is irrelevant */
	free(d->judge);
	free(d->name);
	free(d);
}

static const struct coffer_dev_ops file_ops = {
	.read = file_read,
	.write = file_write,
	.flush = file_flush,
	.set_direct = file_set_direct,
	.forget = file_forget,
	.discard = file_discard,
	.close = file_close,
};

static int read_geometry(struct coffer_dev *d, const struct stat *st, struct coffer_err *e)
{
	int logical = 0;

	d->is_block = S_ISBLK(st->st_mode);
	d->logical_block = 512;
	if (!d->is_block) {
		d->size = (uint64_t)st->st_size;
		return 0;
	}
	d->major = major(st->st_rdev);
	d->minor = minor(st->st_rdev);
	if (ioctl(d->fd, BLKGETSIZE64, &d->size) < 0 || ioctl(d->fd, BLKSSZGET, &logical) < 0)
		return coffer_err_errno(e, errno, "read the size of %s", d->name);
	d->logical_block = (uint32_t)logical;
	return 0;
}

static int check_writable(const struct coffer_dev *d, struct coffer_err *e)
{
	int read_only = 0;

	if (d->is_block && ioctl(d->fd, BLKROGET, &read_only) < 0)
		return coffer_err_errno(e, errno, "read the read-only flag of %s", d->name);
	if (read_only)
		return coffer_err_refuse(e, EROFS, "%s is read-only", d->name);
	return 0;
}

/* Keep other runs of coffer out until the descriptor is closed. Not with flock: on an image file
 * that is cryptsetup's metadata lock, and luksDump would wait for the whole run. */
static int lock(struct coffer_dev *d, struct coffer_err *e)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	if (fcntl(d->fd, F_OFD_SETLK, &lock) == 0)
		return 0;
	if (errno == EAGAIN || errno == EACCES)
		return coffer_err_refuse(e, EAGAIN, "another program has %s locked", d->name);
	return coffer_err_errno(e, errno, "lock %s", d->name);
}

static int open_failed(const char *name, int code, bool writing, struct coffer_err *e)
{
	if (writing && code == EBUSY)
		return coffer_err_refuse(e, code, "%s is in use", name);
	if (writing && (coffer_err_is_no_access(-code) || code == ETXTBSY))
		return coffer_err_refuse(
			e, code, "%s cannot be opened for writing: %s", name, strerror(code));
	return coffer_err_errno(e, code, "open %s", name);
}

static struct coffer_dev *dev_new(const char *name)
{
	_cleanup_dev_ struct coffer_dev *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->ops = &file_ops;
	d->fd = -1;
	d->name = strdup(name ? name : ""); /* a library is called with NULL, too */
	return d->name ? TAKE_PTR(d) : NULL;
}

/* Open @path, if it can be encrypted. @exclusive adds O_EXCL on block devices: the kernel then
 * refuses one that is mounted or held, and new mounts and holders until the descriptor is closed.
 */
static int open_path(const char *path, bool writing, bool exclusive, struct coffer_dev **ret,
	struct coffer_err *e)
{
	_cleanup_dev_ struct coffer_dev *d = dev_new(path);
	int flags = (writing ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
	struct stat named, st;
	int r;

	if (!d)
		return coffer_err_errno(e, ENOMEM, "open %s", path);
	d->read_only = !writing;
	if (!d->name[0])
		return coffer_err_set(e, EINVAL, "the name of the device or image is empty");
	if (stat(d->name, &named) < 0)
		return coffer_err_errno(e, errno, "%s", d->name);
	if (!S_ISBLK(named.st_mode) && !S_ISREG(named.st_mode))
		return coffer_err_refuse(
			e, ENOTBLK, "%s is neither a block device nor an image file", d->name);
	if (S_ISBLK(named.st_mode) && exclusive)
		flags |= O_EXCL;
	d->fd = coffer_high_fd(open(d->name, flags));
	if (d->fd < 0)
		return open_failed(d->name, errno, writing, e);
	if (fstat(d->fd, &st) < 0)
		return coffer_err_errno(e, errno, "stat %s", d->name);
	/* O_EXCL was chosen for the file that had this name: it must still be the same one. */
	if (st.st_dev != named.st_dev || st.st_ino != named.st_ino || st.st_mode != named.st_mode)
		return coffer_err_refuse(e, ESTALE, "%s was replaced while it was opened", d->name);
	r = read_geometry(d, &st, e);
	if (r < 0)
		return r;
	if (writing) {
		r = check_writable(d, e);
		if (r < 0)
			return r;
		r = lock(d, e);
		if (r < 0)
			return r;
	}
	*ret = TAKE_PTR(d);
	return 0;
}

int coffer_dev_open_writing(
	const char *path, bool exclusive, struct coffer_dev **ret, struct coffer_err *e)
{
	return open_path(path, true, exclusive, ret, e);
}

int coffer_dev_open_reading(const char *path, struct coffer_dev **ret, struct coffer_err *e)
{
	return open_path(path, false, false, ret, e);
}

int coffer_dev_from_fd(int fd, const char *name, struct coffer_dev **ret, struct coffer_err *e)
{
	_cleanup_close_ int mine = fd;
	_cleanup_dev_ struct coffer_dev *d = dev_new(name);
	struct stat st;
	int r;

	if (!d)
		return coffer_err_errno(e, ENOMEM, "open %s", name);
	d->fd = TAKE_FD(mine);
	if (fstat(d->fd, &st) < 0)
		return coffer_err_errno(e, errno, "stat %s", name);
	r = read_geometry(d, &st, e);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(d);
	return 0;
}

bool coffer_dev_is_locked(const struct coffer_dev *d)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	return fcntl(d->fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

int coffer_dev_check_writable(const struct coffer_dev *d, struct coffer_err *e)
{
	int r;

	r = check_writable(d, e);
	if (r < 0 || faccessat(AT_FDCWD, d->name, R_OK | W_OK, AT_EACCESS) == 0)
		return r;
	return open_failed(d->name, errno, true, e);
}
