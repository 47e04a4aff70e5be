/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* record.h - what makes the placement of a header redoable: transition block, record, image
 *
 * docs/on-disk-format.md has the three formats. All numbers on disk are big-endian.
 * The transition block lies in block 0 while [0,S) is being changed; each of its eight sectors
 * can stand alone, so that a torn block 0 still has the record's place. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/crypto.h"
#include "coffer/err.h"
#include "convert/geometry.h"

enum coffer_placement_kind {
	COFFER_RECORD_PLACE = 1,  /* the header replaces the moved segment */
	COFFER_RECORD_UNDO = 2,	  /* the moved segment comes back */
	COFFER_RECORD_UNDONE = 3, /* transition block only: it is back but for the masked blocks */
	COFFER_RECORD_SAVE = 4,	  /* record only: it is being copied; segment_hash is its own */
};

#define COFFER_ID_SIZE	   16
#define COFFER_MAX_EXTENTS 64
#define COFFER_MAX_MASKED  16
#define COFFER_MAX_IMAGE   (UINT64_C(32) << 20)

struct coffer_extent {
	uint64_t offset; /* on the device, multiple of 4096 */
	uint64_t length; /* bytes, multiple of 4096, not 0 */
};

struct coffer_record {
	enum coffer_placement_kind kind;
	uint8_t id[COFFER_ID_SIZE]; /* random; ties record and transition block together */
	struct coffer_geometry geometry;
	char uuid[41];	    /* of the LUKS2 header that is placed or taken away */
	uint32_t sectors;   /* transition block only: bit n: sector n of block 0 is one of it */
	uint64_t seqid;	    /* of that header: a header with a higher one has lived on */
	uint64_t copy_size; /* of one copy of that header */
	bool keep; /* UNDO: what is overwritten is kept in the gap, see coffer_place_undo_stock */
	uint64_t image_size;
	uint32_t n_extents; /* where the image's bytes go, in order; all else in [0,S) is zero */
	struct coffer_extent extents[COFFER_MAX_EXTENTS];
	uint32_t n_masked; /* blocks below S, zeroed so that no tool knows the content */
	uint64_t masked[COFFER_MAX_MASKED];
	uint8_t image_hash[COFFER_SHA256_SIZE];
	uint8_t segment_hash[COFFER_SHA256_SIZE]; /* of the moved-segment copy */
};

/* A PLACE record begins the gap and its image follows it; an UNDO record is the gap's last block,
 * so that writing one never harms the other. A SAVE record lies there as well: nothing can be
 * undone before something is placed. */
static inline uint64_t coffer_record_offset(
	const struct coffer_geometry *g, enum coffer_placement_kind kind)
{
	return kind == COFFER_RECORD_PLACE ? coffer_gap_offset(g)
					   : coffer_segment_copy_offset(g) - COFFER_BLOCK;
}

static inline uint64_t coffer_image_offset(const struct coffer_geometry *g)
{
	return coffer_gap_offset(g) + COFFER_BLOCK;
}

/* Does an image of @size bytes fit between the two records? */
bool coffer_image_fits(const struct coffer_geometry *g, uint64_t size);

/* -ENOMEM and -EIO (libcrypto) only. */
int coffer_record_encode(const struct coffer_record *r, uint8_t block[COFFER_BLOCK]);
int coffer_transition_encode(const struct coffer_record *r, uint8_t block[COFFER_BLOCK]);

/* -ENODATA: no record; -EBADMSG: damaged or impossible; -ENOMEM, -EIO (libcrypto): unknown. */
int coffer_record_decode(const uint8_t block[COFFER_BLOCK], struct coffer_record *ret);

/* Read all eight sectors of block 0; of kinds under one id the later one counts. @ret gets what is
 * common to record and transition block, and sectors. -ENODATA: none is a valid transition sector;
 * -EBADMSG: two of them contradict each other; -ENOMEM, -EIO (libcrypto): unknown. */
int coffer_transition_find(const uint8_t block[COFFER_BLOCK], struct coffer_record *ret);

/* Does byte @offset lie in a masked block? */
bool coffer_record_masks(const struct coffer_record *r, uint64_t offset);

/* Bytes [offset, offset + n) of the wanted [0,S): zeros where the image has none. */
void coffer_image_expand(const struct coffer_record *r, const uint8_t *image, uint64_t offset,
	uint8_t *buf, size_t n);

/* Sectors of [0,S) that differ from the moved-segment copy. */
struct coffer_placed {
	uint64_t unexpected; /* neither image, transition block nor masked block */
	uint64_t first_unexpected;
	uint64_t placed; /* the image's, outside block 0 and masked blocks */
};
/* Add those of [offset, offset + n), which @disk, @segment and @image hold, to @sum. -ENOMEM and
 * -EIO (libcrypto) only. */
int coffer_placement_compare(const struct coffer_record *r, uint64_t offset, const uint8_t *disk,
	const uint8_t *segment, const uint8_t *image, size_t n, struct coffer_placed *sum);
