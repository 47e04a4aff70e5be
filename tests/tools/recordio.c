/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* recordio.c - what a program writes to one file, and when it flushes
 *
 *     LD_PRELOAD=librecordio.so RECORDIO_FILE=disk.img RECORDIO_LOG=log PROGRAM...
 *
 * The file or block device is known by its inode or device number, so names, duplicates and any
 * number of descriptors do not matter. What succeeded is appended to the log, as records
 *
 *     u32 kind (1 write, 2 flush, 3 not understood); u32 zero; u64 offset; u64 length; the data
 *
 * in the machine's byte order. A record of kind 3 has the name of the call as data: the log then is
 * incomplete. Calls that bypass the C library are not seen, so whoever reads the log lets it act
 * on a copy of the file and compares the outcomes. Two threads that write at once would make the
 * order of the log a guess: the programs recorded with it have one.
 *
 * With RECORDIO_KILL="KIND N" the program is killed by SIGKILL before its N-th flush, write, or
 * header (a write to byte 0), counted from 1; with "KIND N torn" after one half of that write. No
 * log is needed then. It takes a tenth of what strace's injection takes.
 *
 * With RECORDIO_SHORT="UNIT" each pread and pwrite of more than UNIT bytes transfers only a part,
 * in whole units, for certain. With "UNIT KIND N" only the N-th "read" or "write" does, and all
 * further ones of that kind fail with EIO: a device that breaks in the middle of a transfer. */
#undef _FILE_OFFSET_BITS /* it would give two functions below the same name */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define SHIM	   __attribute__((visibility("default")))
#define REAL(name) ((__typeof__(&name))real(#name))

/* The C library has each call with offsets under two names; here they are one function. */
_Static_assert(sizeof(off_t) == sizeof(off64_t), "a machine with offsets of 64 bits");
#define SAME(name, as) SHIM __typeof__(name) name __attribute__((alias(#as)))

enum kind {
	KIND_WRITE = 1,
	KIND_FLUSH,
	KIND_UNKNOWN,
};

struct record {
	uint32_t kind, zero;
	uint64_t offset, length;
};

static int log_fd = -1;
static bool is_watching;
static struct stat watched;

static struct {
	char kind[16], torn[8];
	int n; /* 0: nothing is killed */
	atomic_int seen;
} victim;

static struct {
	size_t unit; /* 0: nothing is cut short */
	char kind[16];
	int n; /* 0: each one */
	atomic_int seen;
} brief;

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "recordio: %s: %s\n", what, strerror(errno));
	_exit(125);
}

static void *real(const char *name)
{
	void *p = dlsym(RTLD_NEXT, name);

	if (!p)
		die(name);
	return p;
}

__attribute__((constructor)) static void start(void)
{
	const char *file = getenv("RECORDIO_FILE"), *log = getenv("RECORDIO_LOG");
	const char *killed = getenv("RECORDIO_KILL"), *cut = getenv("RECORDIO_SHORT");

	if (!file || (!log && !killed && !cut))
		return;
	if (stat(file, &watched) < 0)
		die(file);
	is_watching = true;
	if (killed && sscanf(killed, "%15s %d %7s", victim.kind, &victim.n, victim.torn) < 2)
		die(killed);
	if (cut &&
		(sscanf(cut, "%zu %15s %d", &brief.unit, brief.kind, &brief.n) == 2 || !brief.unit))
		die(cut);
	if (!log)
		return;
	log_fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (log_fd < 0)
		die(log);
}

static bool is_watched(int fd)
{
	struct stat st;
	int saved = errno;
	bool r = false;

	if (is_watching && fstat(fd, &st) == 0)
		r = S_ISBLK(watched.st_mode)
			    ? S_ISBLK(st.st_mode) && st.st_rdev == watched.st_rdev
			    : st.st_dev == watched.st_dev && st.st_ino == watched.st_ino;
	errno = saved;
	return r;
}

static void put(const void *data, size_t n)
{
	const char *p = data;

	while (n > 0) {
		ssize_t r = REAL(write)(log_fd, p, n);

		if (r <= 0)
			die("write the log");
		p += r;
		n -= (size_t)r;
	}
}

static void note(enum kind kind, off_t at, const void *data, size_t n)
{
	struct record r = {.kind = kind, .offset = (uint64_t)at, .length = n};
	int saved = errno;

	if (log_fd < 0)
		return;
	put(&r, sizeof(r));
	put(data, n);
	errno = saved;
}

static void note_unknown(const char *call)
{
	note(KIND_UNKNOWN, 0, call, strlen(call));
}

/* A descriptor that flushes by itself, or appends, does what its writes do not show. */
static void note_write(int fd, off_t at, const void *data, ssize_t n)
{
	int flags = fcntl(fd, F_GETFL);

	if (n <= 0)
		return;
	if (flags < 0 || (flags & (O_APPEND | O_SYNC | O_DSYNC)))
		note_unknown("write with O_APPEND, O_SYNC or O_DSYNC");
	note(KIND_WRITE, at, data, (size_t)n);
}

static void note_writev(int fd, off_t at, const struct iovec *v, int n_v, ssize_t n)
{
	for (int i = 0; i < n_v && n > 0; i++) {
		ssize_t part = v[i].iov_len < (size_t)n ? (ssize_t)v[i].iov_len : n;

		note_write(fd, at, v[i].iov_base, part);
		at += part;
		n -= part;
	}
}

static _Noreturn void end(void)
{
	kill(getpid(), SIGKILL);
	for (;;)
		pause();
}

static bool is_its_turn(const char *kind)
{
	return victim.n && strcmp(victim.kind, kind) == 0 &&
	       atomic_fetch_add(&victim.seen, 1) + 1 == victim.n;
}

/* Ends the program when this flush is the one. */
static void maybe_end_at_flush(int fd)
{
	if (is_watched(fd) && is_its_turn("flush"))
		end();
}

/* The same for a write; half of it, in whole sectors, may be done. */
static void maybe_end_at_write(int fd, const void *data, size_t n, off_t at)
{
	if (!is_its_turn("write") && !(at == 0 && is_its_turn("header")))
		return;
	n = n / 2 / 512 * 512;
	/* EINVAL: direct I/O that wants larger pieces; then nothing of it is done. */
	if (victim.torn[0] && n > 0 && REAL(pwrite)(fd, data, n, at) < 0 && errno != EINVAL)
		die("write one half");
	end();
}

/* How much of a transfer of @n bytes is done; -1: it fails. */
static ssize_t share_of(size_t n, const char *kind)
{
	const size_t half = n / 2 / (brief.unit ? brief.unit : 1) * brief.unit;
	const size_t some = half > brief.unit ? half : brief.unit;
	int seen;

	if (!brief.unit || (brief.n && strcmp(brief.kind, kind) != 0))
		return (ssize_t)n;
	seen = brief.n ? atomic_fetch_add(&brief.seen, 1) + 1 : 0;
	if (seen < brief.n)
		return (ssize_t)n;
	if (seen > brief.n || (brief.n && n <= brief.unit)) {
		errno = EIO;
		return -1;
	}
	return (ssize_t)(n > some ? some : n);
}

static off_t where(int fd)
{
	off_t at = lseek(fd, 0, SEEK_CUR);

	if (at < 0)
		die("lseek");
	return at;
}

SHIM ssize_t write(int fd, const void *data, size_t n)
{
	off_t at;
	ssize_t r;

	if (!is_watched(fd))
		return REAL(write)(fd, data, n);
	at = where(fd);
	maybe_end_at_write(fd, data, n, at);
	r = REAL(write)(fd, data, n);
	note_write(fd, at, data, r);
	return r;
}

SHIM ssize_t pwrite(int fd, const void *data, size_t n, off_t at)
{
	bool is_it = is_watched(fd);
	ssize_t r = (ssize_t)n;

	if (is_it) {
		maybe_end_at_write(fd, data, n, at);
		r = share_of(n, "write");
	}
	if (r >= 0)
		r = REAL(pwrite)(fd, data, (size_t)r, at);
	if (is_it)
		note_write(fd, at, data, r);
	return r;
}

SAME(pwrite64, pwrite);

SHIM ssize_t pread(int fd, void *data, size_t n, off_t at)
{
	ssize_t r = is_watched(fd) ? share_of(n, "read") : (ssize_t)n;

	return r < 0 ? r : REAL(pread)(fd, data, (size_t)r, at);
}

SAME(pread64, pread);

SHIM ssize_t writev(int fd, const struct iovec *v, int n_v)
{
	off_t at;
	ssize_t r;

	if (!is_watched(fd))
		return REAL(writev)(fd, v, n_v);
	at = where(fd);
	r = REAL(writev)(fd, v, n_v);
	note_writev(fd, at, v, n_v, r);
	return r;
}

SHIM ssize_t pwritev(int fd, const struct iovec *v, int n_v, off_t at)
{
	ssize_t r = REAL(pwritev)(fd, v, n_v, at);

	if (is_watched(fd))
		note_writev(fd, at, v, n_v, r);
	return r;
}

SAME(pwritev64, pwritev);

SHIM int fsync(int fd)
{
	int r;

	maybe_end_at_flush(fd);
	r = REAL(fsync)(fd);
	if (r == 0 && is_watched(fd))
		note(KIND_FLUSH, 0, "", 0);
	return r;
}

SHIM int fdatasync(int fd)
{
	int r;

	maybe_end_at_flush(fd);
	r = REAL(fdatasync)(fd);
	if (r == 0 && is_watched(fd))
		note(KIND_FLUSH, 0, "", 0);
	return r;
}

/* It starts writeback and empties no drive's cache: no flush, and nothing that a log must tell. */
SHIM int sync_file_range(int fd, off64_t at, off64_t n, unsigned int flags)
{
	return REAL(sync_file_range)(fd, at, n, flags);
}

SHIM int syncfs(int fd)
{
	int r = REAL(syncfs)(fd);

	if (log_fd >= 0)
		note_unknown("syncfs");
	return r;
}

SHIM void sync(void)
{
	REAL(sync)();
	if (log_fd >= 0)
		note_unknown("sync");
}

SHIM ssize_t pwritev2(int fd, const struct iovec *v, int n_v, off_t at, int flags)
{
	ssize_t r = REAL(pwritev2)(fd, v, n_v, at, flags);

	if (!is_watched(fd))
		return r;
	if (flags != 0 || at < 0)
		note_unknown("pwritev2 with flags or at the file's position");
	note_writev(fd, at, v, n_v, r);
	return r;
}

SAME(pwritev64v2, pwritev2);

SHIM int ftruncate(int fd, off_t n)
{
	if (is_watched(fd))
		note_unknown("ftruncate");
	return REAL(ftruncate)(fd, n);
}

SAME(ftruncate64, ftruncate);

SHIM int fallocate(int fd, int mode, off_t at, off_t n)
{
	if (is_watched(fd))
		note_unknown("fallocate");
	return REAL(fallocate)(fd, mode, at, n);
}

SAME(fallocate64, fallocate);

SHIM int posix_fallocate(int fd, off_t at, off_t n)
{
	if (is_watched(fd))
		note_unknown("posix_fallocate");
	return REAL(posix_fallocate)(fd, at, n);
}

SAME(posix_fallocate64, posix_fallocate);

SHIM void *mmap(void *addr, size_t n, int prot, int flags, int fd, off_t at)
{
	if (fd >= 0 && (prot & PROT_WRITE) && (flags & MAP_SHARED) && is_watched(fd))
		note_unknown("mmap");
	return REAL(mmap)(addr, n, prot, flags, fd, at);
}

SAME(mmap64, mmap);
