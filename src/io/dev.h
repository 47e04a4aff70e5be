/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* dev.h - the device interface: every byte of header, placement and engine goes through it
 *
 * Implementations: devfile.c (block device or image file), and in the tests one that records
 * writes and flushes to replay power cuts, and one that makes the n-th call fail.
 * All offsets and sizes are bytes and multiples of 512. Buffers come from coffer_dev_buffer.
 * read, write and flush may be called from several threads at once; a caller never has two
 * requests on overlapping ranges under way when one of them is a write. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "coffer/err.h"

struct coffer_dev;
struct coffer_judge;

struct coffer_dev_ops {
	/* All or nothing: 0, or -errno with @e set. A short transfer is an error. */
	int (*read)(struct coffer_dev *d, void *buf, size_t n, uint64_t off, struct coffer_err *e);
	int (*write)(struct coffer_dev *d, const void *buf, size_t n, uint64_t off,
		struct coffer_err *e);
	/* What was written before is durable after. An error is final: what was written since the
	 * last good flush may be lost even if a later flush returns 0. */
	int (*flush)(struct coffer_dev *d, struct coffer_err *e);
	/* Transfers bypass the page cache from now on, if the device can do that for multiples of
	 * 4096; else nothing changes. Not while requests are under way. */
	void (*set_direct)(struct coffer_dev *d, bool direct);
	/* The next read of [off, off + n) comes from the disk, as far as the kernel does that;
	 * after a flush only. In direct mode it does so anyway. */
	void (*forget)(struct coffer_dev *d, uint64_t off, uint64_t n);
	/* [off, off + n) may read as anything afterwards. -EOPNOTSUPP or NULL: it cannot. */
	int (*discard)(struct coffer_dev *d, uint64_t off, uint64_t n, struct coffer_err *e);
	void (*close)(struct coffer_dev *d);
};

struct coffer_dev {
	const struct coffer_dev_ops *ops;
	char *name;		    /* as the user wrote it */
	uint64_t size;		    /* when it was opened */
	bool is_block;		    /* block device; else a regular file */
	bool read_only;		    /* opened read-only: other programs may write to it */
	bool no_locks;		    /* take no locks: they are files, and would be created */
	unsigned int major;	    /* of a block device, for the lock's name */
	unsigned int minor;	    /* likewise */
	uint32_t logical_block;	    /* smallest transfer in bytes, 512 or more */
	int fd;			    /* for locks and probes only; -1 where there is none */
	unsigned int locks;	    /* held for this run: bits of luks2/locks.c */
	uint64_t flushes;	    /* that returned 0, for reports; atomic */
	struct coffer_judge *judge; /* libcryptsetup's answers of this run: luks2/judge.h */
};

int coffer_dev_read(struct coffer_dev *d, void *buf, size_t n, uint64_t off, struct coffer_err *e);
int coffer_dev_write(
	struct coffer_dev *d, const void *buf, size_t n, uint64_t off, struct coffer_err *e);
int coffer_dev_flush(struct coffer_dev *d, struct coffer_err *e);
void coffer_dev_set_direct(struct coffer_dev *d, bool direct);
/* Did the device take that? */
bool coffer_dev_is_direct(const struct coffer_dev *d);
void coffer_dev_forget(struct coffer_dev *d, uint64_t off, uint64_t n);
int coffer_dev_discard(struct coffer_dev *d, uint64_t off, uint64_t n, struct coffer_err *e);
void coffer_dev_close(struct coffer_dev *d); /* NULL is fine; the caller has flushed before */
DEFINE_CLEANUP(struct coffer_dev *, dev, coffer_dev_close);
#define _cleanup_dev_ _cleanup_(cleanup_dev)

/* Zeros over [off, off + n), in pieces. */
int coffer_dev_zero(struct coffer_dev *d, uint64_t off, uint64_t n, struct coffer_err *e);

/* A zeroed buffer that suits direct I/O; free with free(). NULL: no memory. */
void *coffer_dev_buffer(size_t n);

/* Move @fd away from 0, 1 and 2: with closed standard streams keys would be read from it and
 * reports written to it. -1 and errno when @fd is negative or cannot be moved. */
int coffer_high_fd(int fd);

/* Open @path (symlinks are followed) for I/O: with O_EXCL on a block device where @exclusive, and
 * an OFD lock on either kind, which keeps other coffers out. block/open.h names who is in the way.
 * Outcome REFUSED with -EBUSY: the kernel says that it is in use; -EAGAIN: another program has the
 * lock; -EROFS, -EACCES, -EPERM, -ETXTBSY; -ENOTBLK: neither block device nor regular file. Other
 * -errno as open(2) gives them. */
int coffer_dev_open_writing(
	const char *path, bool exclusive, struct coffer_dev **ret, struct coffer_err *e);

/* A device over the open file @fd, which it takes over, also when it fails. @name is for messages.
 */
int coffer_dev_from_fd(int fd, const char *name, struct coffer_dev **ret, struct coffer_err *e);

/* Open @path read-only: no lock, and no O_EXCL, which would keep others from mounting it meanwhile.
 * Writes and flushes fail with -EBADF. REFUSED with -ENOTBLK as above. */
int coffer_dev_open_reading(const char *path, struct coffer_dev **ret, struct coffer_err *e);

/* Does a run of coffer hold its lock on @d? The lock is not taken. */
bool coffer_dev_is_locked(const struct coffer_dev *d);
/* REFUSED with -EROFS, -EACCES or -EPERM: this user could not write to it. */
int coffer_dev_check_writable(const struct coffer_dev *d, struct coffer_err *e);
