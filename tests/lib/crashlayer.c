/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* crashlayer.c - a disk that shares what did not change with the one below */
#include "crashlayer.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Not for children: nearly every state makes some, and each page would be copied when it is written
 * to the next time. */
static uint8_t *new_memory(uint64_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED || madvise(p, size, MADV_DONTFORK) < 0)
		abort();
	return p;
}

void layer_init(struct layer *l, const uint8_t *below, uint64_t size)
{
	const uint64_t blocks = (size + LAYER_BLOCK - 1) / LAYER_BLOCK;

	*l = (struct layer){.mem = new_memory(size),
		.below = below,
		.size = size,
		.marked = calloc(1, blocks),
		.list = malloc(blocks * sizeof(*l->list))};
	if (!l->marked || !l->list)
		abort();
	memcpy(l->mem, below, size);
}

void layer_free(struct layer *l)
{
	if (l->mem)
		(void)munmap(l->mem, l->size);
	free(l->marked);
	free(l->list);
	*l = (struct layer){0};
}

void layer_mark(struct layer *l, uint64_t off, uint64_t n)
{
	for (uint64_t b = off / LAYER_BLOCK; b * LAYER_BLOCK < off + n; b++) {
		if (l->marked[b])
			continue;
		l->marked[b] = 1;
		l->list[l->n++] = (uint32_t)b;
	}
}

void layer_write(struct layer *l, uint64_t off, const uint8_t *p, uint64_t n)
{
	layer_mark(l, off, n);
	memcpy(l->mem + off, p, n);
}

void layer_reset(struct layer *l)
{
	for (size_t i = 0; i < l->n; i++) {
		const uint64_t off = (uint64_t)l->list[i] * LAYER_BLOCK;
		const uint64_t n = l->size - off < LAYER_BLOCK ? l->size - off : LAYER_BLOCK;

		memcpy(l->mem + off, l->below + off, n);
		l->marked[l->list[i]] = 0;
	}
	l->n = 0;
}

void layer_follow(struct layer *l, uint64_t off, const uint8_t *p, uint64_t n)
{
	memcpy(l->mem + off, p, n);
}
