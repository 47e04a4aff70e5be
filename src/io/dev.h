/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* dev.h - the device interface: all reads and writes of a disk go through it
 *
 * Implementations: devfile.c (block device or image file), and in the tests one that records
 * writes and flushes to replay power cuts, and one whose n-th call fails.
 * Offsets and sizes are bytes and multiples of 512. Buffers come from coffer_dev_buffer.
 * read, write and flush may be called from several threads at once, but never with overlapping
 * ranges if one of the calls is a write. */
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
	/* Earlier writes are durable afterwards. An error is final: what was written since the last
	 * good flush may be lost even if a later flush returns 0. */
	int (*flush)(struct coffer_dev *d, struct coffer_err *e);
	/* Bypass the page cache, if the device can do that for multiples of 4096; otherwise nothing
	 * changes. Not while requests are under way. */
	void (*set_direct)(struct coffer_dev *d, bool direct);
	/* Drop [off, off + n) from the page cache, if the kernel does so; only after a flush. */
	void (*forget)(struct coffer_dev *d, uint64_t off, uint64_t n);
	/* The content of [off, off + n) is undefined afterwards. -EOPNOTSUPP, or NULL: cannot. */
	int (*discard)(struct coffer_dev *d, uint64_t off, uint64_t n, struct coffer_err *e);
	void (*close)(struct coffer_dev *d);
};

struct coffer_dev {
	const struct coffer_dev_ops *ops;
	char *name;		    /* as the caller gave it */
	uint64_t size;		    /* when it was opened */
	bool is_block;		    /* block device; else a regular file */
	bool read_only;		    /* other programs may write to it */
	bool no_locks;		    /* take none: they are files, and would be created */
	unsigned int major;	    /* of a block device, for the lock's name */
	unsigned int minor;	    /* likewise */
	uint32_t logical_block;	    /* smallest transfer in bytes, 512 or more */
	int fd;			    /* for locks and probes only; -1: none */
	unsigned int locks;	    /* held for this run: bits of luks2/locks.c */
	uint64_t flushes;	    /* successful ones, for reports; atomic */
	struct coffer_judge *judge; /* libcryptsetup's answers of this run: luks2/judge.h */
};

int coffer_dev_read(struct coffer_dev *d, void *buf, size_t n, uint64_t off, struct coffer_err *e);
int coffer_dev_write(
	struct coffer_dev *d, const void *buf, size_t n, uint64_t off, struct coffer_err *e);
int coffer_dev_flush(struct coffer_dev *d, struct coffer_err *e);
void coffer_dev_set_direct(struct coffer_dev *d, bool direct);
bool coffer_dev_is_direct(const struct coffer_dev *d);
void coffer_dev_forget(struct coffer_dev *d, uint64_t off, uint64_t n);
int coffer_dev_discard(struct coffer_dev *d, uint64_t off, uint64_t n, struct coffer_err *e);
void coffer_dev_close(struct coffer_dev *d); /* NULL is fine; the caller has flushed before */
DEFINE_CLEANUP(struct coffer_dev *, dev, coffer_dev_close);
#define _cleanup_dev_ _cleanup_(cleanup_dev)

/* Zeros over [off, off + n), in pieces. */
int coffer_dev_zero(struct coffer_dev *d, uint64_t off, uint64_t n, struct coffer_err *e);

/* A zeroed buffer for direct I/O, for free(). NULL: no memory. */
void *coffer_dev_buffer(size_t n);

/* Move @fd above 2: with closed standard streams it would otherwise be one of them. -1 and errno if
 * @fd is negative or cannot be moved. */
int coffer_high_fd(int fd);

/* Open @path (symlinks are followed) for writing, with an OFD lock that keeps other runs of coffer
 * out, and with O_EXCL if it is a block device and @exclusive. block/open.h names the holders.
 * REFUSED with -EBUSY: in use, says the kernel; -EAGAIN: another program has the lock; -EROFS,
 * -EACCES, -EPERM, -ETXTBSY; -ENOTBLK: neither block device nor regular file. Others as open(2). */
int coffer_dev_open_writing(
	const char *path, bool exclusive, struct coffer_dev **ret, struct coffer_err *e);

/* A device over the open file @fd, which it owns even if it fails. @name is for messages. */
int coffer_dev_from_fd(int fd, const char *name, struct coffer_dev **ret, struct coffer_err *e);

/* Open @path read-only, without lock and O_EXCL, so others may mount it meanwhile. Writes and
 * flushes fail with -EBADF. REFUSED with -ENOTBLK as above. */
int coffer_dev_open_reading(const char *path, struct coffer_dev **ret, struct coffer_err *e);

/* Does a run of coffer hold its lock on @d? The lock is not taken. */
bool coffer_dev_is_locked(const struct coffer_dev *d);
/* REFUSED with -EROFS, -EACCES or -EPERM: this user could not write to it. */
int coffer_dev_check_writable(const struct coffer_dev *d, struct coffer_err *e);
