/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* mover.c - the limits that the benchmark compares coffer with
 *
 * mover move|read|write [OPTION...] FILE
 *
 * move does to FILE what a conversion does to a disk, without the crypto: the first bytes go to the
 * end, a header's room is written over it, then the data moves up by S in steps from its end to its
 * start. A step is durable before two small commits, each with a flush, and only after them may the
 * next step write. Reading goes on all the time. It shares no code with coffer, knows no key and no
 * format, and what it leaves is of no use to anybody.
 *
 * read and write go once through FILE from its start to its end, S bytes at a time.
 *
 * --io-uring moves by one thread and an io_uring instead of threads, with --fixed in buffers that
 * the kernel has pinned once: whether coffer's engine should do so is measured with it.
 *
 * Everything is O_DIRECT. move prints the numbers of its reads, writes and flushes. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mover.h"

void die(const char *what)
{
	fprintf(stderr, "mover: %s: %s\n", what, errno ? strerror(errno) : "no");
	exit(1);
}

static void must_read(int fd, void *buf, size_t n, uint64_t at)
{
	errno = 0;
	if (pread(fd, buf, n, (off_t)at) != (ssize_t)n)
		die("read");
}

static void must_write(int fd, const void *buf, size_t n, uint64_t at)
{
	errno = 0;
	if (pwrite(fd, buf, n, (off_t)at) != (ssize_t)n)
		die("write");
}

void must_flush(struct mover *m)
{
	if (fdatasync(m->fd) < 0)
		die("flush");
	m->flushes++;
}

static unsigned char *buffer(size_t n)
{
	void *p;

	errno = posix_memalign(&p, ALIGN, n);
	if (errno)
		die("memory");
	memset(p, 0x5a, n); /* page faults belong to no measured request */
	return p;
}

static uint64_t plain(const struct mover *m, uint64_t i)
{
	const uint64_t step = i / m->per_step;

	return m->length - (step + 1) * m->shift + i % m->per_step * m->piece;
}

/* The plain bytes of the moved segment are in its copy at the end. */
uint64_t piece_from(const struct mover *m, uint64_t i)
{
	const uint64_t x = plain(m, i);

	return x < m->shift ? m->end - m->shift + x : x;
}

uint64_t piece_to(const struct mover *m, uint64_t i)
{
	return plain(m, i) + m->shift;
}

static void *read_pieces(void *arg)
{
	struct mover *m = arg;

	for (;;) {
		uint64_t i, slot;

		pthread_mutex_lock(&m->mutex);
		i = m->next_read;
		if (i < m->n)
			m->next_read++;
		slot = i % m->slots;
		while (i < m->n && m->full[slot])
			pthread_cond_wait(&m->emptied, &m->mutex);
		pthread_mutex_unlock(&m->mutex);
		if (i >= m->n)
			return NULL;
		/* No step under way writes here: it writes above all that is still to be read. */
		must_read(m->fd, m->buffers + slot * m->piece, m->piece, piece_from(m, i));
		pthread_mutex_lock(&m->mutex);
		m->full[slot] = true;
		m->reads++;
		pthread_cond_broadcast(&m->filled);
		pthread_mutex_unlock(&m->mutex);
	}
}

static void *write_pieces(void *arg)
{
	struct mover *m = arg;

	for (;;) {
		uint64_t i, slot;

		pthread_mutex_lock(&m->mutex);
		i = m->next_write++;
		slot = i % m->slots;
		while (i < m->n && (i >= m->limit || !m->full[slot]))
			pthread_cond_wait(i >= m->limit ? &m->allowed : &m->filled, &m->mutex);
		pthread_mutex_unlock(&m->mutex);
		if (i >= m->n)
			return NULL;
		must_write(m->fd, m->buffers + slot * m->piece, m->piece, piece_to(m, i));
		pthread_mutex_lock(&m->mutex);
		m->full[slot] = false;
		m->writes++;
		pthread_cond_broadcast(&m->emptied);
		if (++m->done == m->limit)
			pthread_cond_signal(&m->moved);
		pthread_mutex_unlock(&m->mutex);
	}
}

void commit(struct mover *m, const void *header)
{
	for (uint64_t at = 0; at <= HEADER_COPY; at += HEADER_COPY) {
		must_write(m->fd, header, COMMIT, at);
		m->writes++;
		must_flush(m);
	}
}

/* Moved-segment copy, read back; record; body and both copies of a header: as a placement does. */
static void place(struct mover *m, unsigned char *buf)
{
	must_read(m->fd, buf, m->shift, 0);
	must_write(m->fd, buf, m->shift, m->end - m->shift);
	must_flush(m);
	must_read(m->fd, buf, m->shift, m->end - m->shift);
	must_write(m->fd, buf, ALIGN, m->length);
	must_flush(m);
	must_write(m->fd, buf, m->shift, 0);
	must_flush(m);
	m->reads += 2;
	m->writes += 3;
	commit(m, buf);
}

static void start(pthread_t *id, void *(*work)(void *), struct mover *m)
{
	errno = pthread_create(id, NULL, work, m);
	if (errno)
		die("thread");
}

static void move_by_threads(struct mover *m, const void *header)
{
	pthread_t ids[2 * MAX_THREADS];
	unsigned int n = 0;

	for (unsigned int i = 0; i < m->readers; i++)
		start(&ids[n++], read_pieces, m);
	for (unsigned int i = 0; i < m->writers; i++)
		start(&ids[n++], write_pieces, m);
	for (uint64_t end = m->per_step; end <= m->n; end += m->per_step) {
		pthread_mutex_lock(&m->mutex);
		m->limit = end;
		pthread_cond_broadcast(&m->allowed);
		while (m->done < end)
			pthread_cond_wait(&m->moved, &m->mutex);
		pthread_mutex_unlock(&m->mutex);
		must_flush(m);
		commit(m, header);
	}
	for (unsigned int i = 0; i < n; i++)
		pthread_join(ids[i], NULL);
}

static void move(struct mover *m, bool fixed)
{
	unsigned char *big = buffer(m->shift);

	m->length = m->end - 2 * m->shift;
	m->per_step = m->shift / m->piece;
	m->n = m->length / m->piece;
	m->slots = m->per_step * (m->ahead + 1);
	errno = 0;
	if (m->end < 3 * m->shift || m->length % m->shift || m->shift % m->piece)
		die("the data is no multiple of S, or S none of a piece");
	m->buffers = buffer(m->slots * m->piece);
	m->full = calloc(m->slots, sizeof(*m->full));
	if (!m->full)
		die("memory");

	place(m, big);
#ifdef HAVE_LIBURING
	if (m->uring)
		move_by_uring(m, big, fixed);
#else
	(void)fixed;
#endif
	if (!m->uring)
		move_by_threads(m, big);
	must_write(
		m->fd, big, m->shift, m->end - m->shift); /* the wipe of the moved-segment copy */
	m->writes++;
	must_flush(m);
	commit(m, big);
	printf("%llu reads, %llu writes, %llu flushes\n", (unsigned long long)m->reads,
		(unsigned long long)m->writes, (unsigned long long)m->flushes);
	free(m->buffers);
	free(m->full);
	free(big);
}

static void go_through(struct mover *m, bool writing)
{
	unsigned char *buf = buffer(m->shift);

	for (uint64_t at = 0; at < m->end; at += m->shift) {
		const size_t n = m->end - at < m->shift ? (size_t)(m->end - at) : m->shift;

		if (writing)
			must_write(m->fd, buf, n, at);
		else
			must_read(m->fd, buf, n, at);
	}
	if (writing)
		must_flush(m);
	free(buf);
}

static unsigned int number(const char *text, unsigned int max)
{
	char *end;
	const unsigned long n = strtoul(text, &end, 10);

	errno = 0;
	if (*end || n < 1 || n > max)
		die(text);
	return (unsigned int)n;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"readers", required_argument, NULL, 'r'},
		{"writers", required_argument, NULL, 'w'}, {"ahead", required_argument, NULL, 'a'},
		{"piece-kib", required_argument, NULL, 'p'},
		{"shift-mib", required_argument, NULL, 's'}, {"io-uring", no_argument, NULL, 'u'},
		{"fixed", no_argument, NULL, 'f'}, {0}};
	struct mover m = {.shift = 16 << 20,
		.piece = 1 << 20,
		.readers = 4,
		.writers = 4,
		.ahead = 4,
		.mutex = PTHREAD_MUTEX_INITIALIZER,
		.emptied = PTHREAD_COND_INITIALIZER,
		.filled = PTHREAD_COND_INITIALIZER,
		.allowed = PTHREAD_COND_INITIALIZER,
		.moved = PTHREAD_COND_INITIALIZER};
	const char *verb = argc > 1 ? argv[1] : "";
	bool fixed = false;
	off_t end;
	int c;

	optind = 2;
	while ((c = argc > 1 ? getopt_long(argc, argv, "", options, NULL) : -1) >= 0) {
		if (c == 'r')
			m.readers = number(optarg, MAX_THREADS);
		else if (c == 'w')
			m.writers = number(optarg, MAX_THREADS);
		else if (c == 'a')
			m.ahead = number(optarg, 64);
		else if (c == 'p')
			m.piece = (size_t)number(optarg, 512 << 10) << 10;
		else if (c == 's')
			m.shift = (uint64_t)number(optarg, 512) << 20;
#ifdef HAVE_LIBURING
		else if (c == 'u')
			m.uring = true;
#endif
		else if (c == 'f')
			fixed = true;
		else
			return 2;
	}
	if (optind + 1 != argc) {
		fprintf(stderr,
			"usage: mover move|read|write [--readers N] [--writers N] [--ahead STEPS]"
			" [--piece-kib N] [--shift-mib N] [--io-uring [--fixed]] FILE\n");
		return 2;
	}
	m.fd = open(argv[optind],
		(strcmp(verb, "read") == 0 ? O_RDONLY : O_RDWR) | O_DIRECT | O_CLOEXEC);
	end = m.fd < 0 ? -1 : lseek(m.fd, 0, SEEK_END);
	if (end < 0)
		die(argv[optind]);
	m.end = (uint64_t)end;
	if (strcmp(verb, "move") == 0)
		move(&m, fixed);
	else if (strcmp(verb, "read") == 0 || strcmp(verb, "write") == 0)
		go_through(&m, verb[0] == 'w');
	else
		die("no such verb");
	if (close(m.fd) < 0)
		die("close");
	return 0;
}
