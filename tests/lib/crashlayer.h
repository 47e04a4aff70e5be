/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* crashlayer.h - memory that remembers where it was written to, and can go back at that cost
 *
 * A crash test looks at thousands of disks that differ in a few blocks: what is durable, a state
 * above it, what a run makes of that state. Each is a layer over the one below. */
#pragma once
#include <stddef.h>
#include <stdint.h>

enum {
	LAYER_BLOCK = 4096
};

struct layer {
	uint8_t *mem;	      /* all of it, to be read by anybody */
	const uint8_t *below; /* what it goes back to; not owned */
	uint64_t size;
	uint8_t *marked; /* for each block: it is in the list */
	uint32_t *list;	 /* blocks that may differ from those below */
	size_t n;
};

/* A copy of the @size bytes at @below. */
void layer_init(struct layer *l, const uint8_t *below, uint64_t size);
void layer_free(struct layer *l);

/* [off, off + n) of l->mem is about to be written. */
void layer_mark(struct layer *l, uint64_t off, uint64_t n);
void layer_write(struct layer *l, uint64_t off, const uint8_t *p, uint64_t n);

/* As below again. */
void layer_reset(struct layer *l);

/* What lies below has become @p there: nothing that would be undone. */
void layer_follow(struct layer *l, uint64_t off, const uint8_t *p, uint64_t n);
