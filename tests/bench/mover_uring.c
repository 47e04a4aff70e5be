/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* mover_uring.c - the mover's reads and writes by io_uring */
#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>

#include "mover.h"

struct ring {
	struct mover *m;
	struct io_uring uring;
	bool fixed;
	unsigned int reading, writing;
};

/* What is on its way, as the ring hands it back: the piece, and whether it is a write. */
static void *tag(uint64_t i, bool write)
{
	return (void *)(uintptr_t)(i << 1 | write);
}

static void submit(struct ring *r, uint64_t i, bool write)
{
	const struct mover *m = r->m;
	struct io_uring_sqe *sqe = io_uring_get_sqe(&r->uring);
	void *buf = m->buffers + i % m->slots * m->piece;
	const uint64_t at = write ? piece_to(m, i) : piece_from(m, i);

	errno = 0;
	if (!sqe)
		die("io_uring is full");
	if (r->fixed && write)
		io_uring_prep_write_fixed(sqe, m->fd, buf, (unsigned int)m->piece, at, 0);
	else if (r->fixed)
		io_uring_prep_read_fixed(sqe, m->fd, buf, (unsigned int)m->piece, at, 0);
	else if (write)
		io_uring_prep_write(sqe, m->fd, buf, (unsigned int)m->piece, at);
	else
		io_uring_prep_read(sqe, m->fd, buf, (unsigned int)m->piece, at);
	io_uring_sqe_set_data(sqe, tag(i, write));
}

/* As much as may be under way: reads into slots that are empty, writes of this step. */
static void fill(struct ring *r)
{
	struct mover *m = r->m;

	while (r->reading < m->readers && m->next_read < m->n &&
		m->next_read < m->done + m->slots && !m->full[m->next_read % m->slots]) {
		submit(r, m->next_read++, false);
		r->reading++;
	}
	while (r->writing < m->writers && m->next_write < m->limit &&
		m->full[m->next_write % m->slots]) {
		submit(r, m->next_write++, true);
		r->writing++;
	}
	errno = 0;
	if (io_uring_submit(&r->uring) < 0)
		die("io_uring_submit");
}

static void reap(struct ring *r)
{
	struct mover *m = r->m;
	struct io_uring_cqe *cqe;
	uint64_t i;
	bool write;

	errno = 0;
	if (io_uring_wait_cqe(&r->uring, &cqe) < 0)
		die("io_uring_wait_cqe");
	i = (uintptr_t)io_uring_cqe_get_data(cqe) >> 1;
	write = (uintptr_t)io_uring_cqe_get_data(cqe) & 1;
	if (cqe->res != (int)m->piece)
		die(write ? "write" : "read");
	io_uring_cqe_seen(&r->uring, cqe);
	m->full[i % m->slots] = !write;
	if (write) {
		r->writing--;
		m->writes++;
		m->done++;
	} else {
		r->reading--;
		m->reads++;
	}
}

void move_by_uring(struct mover *m, const void *header, bool fixed)
{
	struct ring r = {.m = m, .fixed = fixed};
	const struct iovec all = {m->buffers, m->slots * m->piece};

	errno = 0;
	if (io_uring_queue_init(2 * MAX_THREADS, &r.uring, 0) < 0)
		die("io_uring_queue_init");
	if (fixed && io_uring_register_buffers(&r.uring, &all, 1) < 0)
		die("io_uring_register_buffers");
	for (m->limit = m->per_step; m->limit <= m->n; m->limit += m->per_step) {
		while (m->done < m->limit) {
			fill(&r);
			reap(&r);
		}
		/* What was asked to be read goes on meanwhile. */
		must_flush(m);
		commit(m, header);
	}
	io_uring_queue_exit(&r.uring);
}
