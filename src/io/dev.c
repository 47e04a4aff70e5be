/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* dev.c - the device interface: all reads and writes of a disk go through it */
#include "io/dev.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#include "base/bytes.h"
#include "base/err.h"

enum {
	DIRECT_ALIGN = 4096,
	HUGE_PAGE = 2 << 20,
	ZERO_PIECE = 1 << 20
};

int coffer_dev_read(struct coffer_dev *d, void *buf, size_t n, uint64_t off, struct coffer_err *e)
{
	return d->ops->read(d, buf, n, off, e);
}

int coffer_dev_write(
	struct coffer_dev *d, const void *buf, size_t n, uint64_t off, struct coffer_err *e)
{
	return d->ops->write(d, buf, n, off, e);
}

int coffer_dev_flush(struct coffer_dev *d, struct coffer_err *e)
{
	const int r = d->ops->flush(d, e);

	if (r == 0)
		__atomic_add_fetch(&d->flushes, 1, __ATOMIC_RELAXED);
	return r;
}

void coffer_dev_set_direct(struct coffer_dev *d, bool direct)
{
	d->ops->set_direct(d, direct);
}

bool coffer_dev_is_direct(const struct coffer_dev *d)
{
	const int flags = d->fd < 0 ? -1 : fcntl(d->fd, F_GETFL);

	return flags >= 0 && (flags & O_DIRECT) != 0;
}

void coffer_dev_forget(struct coffer_dev *d, uint64_t off, uint64_t n)
{
	d->ops->forget(d, off, n);
}

int coffer_dev_discard(struct coffer_dev *d, uint64_t off, uint64_t n, struct coffer_err *e)
{
	if (!d->ops->discard)
		return -EOPNOTSUPP;
	return d->ops->discard(d, off, n, e);
}

void coffer_dev_close(struct coffer_dev *d)
{
	if (d)
		d->ops->close(d);
}

int coffer_high_fd(int fd)
{
	int high, saved;

	if (fd < 0 || fd > STDERR_FILENO)
		return fd;
	high = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	saved = errno;
	(void)close(fd);
	errno = saved;
	return high;
}

void *coffer_dev_buffer(size_t n)
{
	const bool huge = n >= HUGE_PAGE;
	void *p = NULL;

	if (posix_memalign(&p, huge ? HUGE_PAGE : DIRECT_ALIGN, n) != 0)
		return NULL;
	/* Direct I/O pins each page: of huge ones there are 512 times fewer. */
	if (huge)
		(void)madvise(p, n, MADV_HUGEPAGE);
	memset(p, 0, n);
	return p;
}

int coffer_dev_zero(struct coffer_dev *d, uint64_t off, uint64_t n, struct coffer_err *e)
{
	_cleanup_free_ void *zeros = coffer_dev_buffer(min_u64(n, ZERO_PIECE));

	if (!zeros)
		return coffer_err_errno(e, ENOMEM, "erase %s", d->name);
	for (uint64_t at = 0; at < n; at += ZERO_PIECE) {
		const int r = coffer_dev_write(d, zeros, min_u64(n - at, ZERO_PIECE), off + at, e);

		if (r < 0)
			return r;
	}
	return 0;
}
