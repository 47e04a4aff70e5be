/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* mover.h - what the mover's two ways to move have in common */
#pragma once
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

enum {
	ALIGN = 4096,
	MAX_THREADS = 32,
	HEADER_COPY = 64 << 10,
	COMMIT = 8192 /* what differs in a header copy: its binary block and some JSON */
};

struct mover {
	int fd;
	uint64_t shift, end, length; /* S, D and L = D - 2S */
	size_t piece;
	unsigned int readers, writers, ahead;
	bool uring;
	uint64_t reads, writes, flushes;

	/* Pieces are numbered in the order in which they move. Piece i waits in slot i % slots. */
	unsigned char *buffers;
	bool *full;
	uint64_t slots, per_step, n;

	pthread_mutex_t mutex; /* protects full and what follows */
	pthread_cond_t emptied, filled, allowed, moved;
	uint64_t next_read, next_write, done, limit;
};

_Noreturn void die(const char *what);
void must_flush(struct mover *m);
void commit(struct mover *m, const void *header);
/* Where the plain bytes of piece i are read, and where they are written. */
uint64_t piece_from(const struct mover *m, uint64_t i);
uint64_t piece_to(const struct mover *m, uint64_t i);

/* The steps, each with its flush and @header's commit. One thread and an io_uring with so many
 * reads and writes under way as the other way has threads. @fixed: registered buffers. */
void move_by_uring(struct mover *m, const void *header, bool fixed);
