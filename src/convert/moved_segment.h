/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* moved_segment.h - the moved-segment check: is the copy at D-S complete, and of what?
 *
 * cryptsetup copies the first S bytes to D-S and writes its header over them, with no flush in
 * between. Interrupted there it leaves first bytes that are half header and half filesystem, and a
 * whole copy that nothing points to. coffer's own placement cannot end so, but repair handles it,
 * and encrypt must not begin on such a disk: the torn first bytes would be copied over the whole
 * ones. moved_segment_read.c collects the facts; this file judges them.
 * "Head" below is what lies in the first S bytes now. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "convert/geometry.h"
#include "convert/record.h"
#include "fs/superblock.h"

struct coffer_moved_segment {
	bool has_head; /* a filesystem begins at byte 0 */
	struct coffer_fs head;
	/* A moved-segment copy at D-S: there is a filesystem's superblock. */
	bool has_copy;
	struct coffer_geometry geometry; /* D, S and L = D-2S that it would belong to */
	struct coffer_fs fs;		 /* in the copy; it ends at L or before */
	bool mirror_agrees;	/* the spare superblock further on is of the same filesystem */
	bool ambiguous;		/* there are several such copies: one may be a part of another */
	bool unconverted;	/* no step can have written into the filesystem */
	bool living;		/* the head is the same filesystem's */
	bool used;		/* ... which was used since the copy was made */
	uint64_t different;	/* sectors of [0,S) that differ from the copy */
	uint64_t unlike_header; /* ... and that no header has at their place */
	uint64_t traces;	/* ... and that only a header has */
	uint64_t overwritten;	/* ... and that a header may have, of any size if no trace has it */
	bool saved;		/* a record of coffer proves that the head is whole */
	bool used_map;		/* one of the differing sectors begins a used map */
	uint64_t copy_size;	/* of that header, from the traces, or the smallest one */
	/* The header is whole, and no step was committed. */
	bool keyslot_torn;   /* a part of a keyslot's area is still the head */
	bool copy_lost;	     /* the copy has no superblock, but further on lies a spare one */
	bool copy_unknown;   /* unknown content lies where the copy must be */
	uint64_t header_end; /* what is written of it ends here, at S or before */
	uint64_t unsaved;    /* sectors below it that no header has, and that the copy lacks */
	uint64_t behind;     /* the same, after it: no header is written there */
	bool own;	     /* coffer placed it, after it had verified the copy */
	/* There is no filesystem at byte 0, but its spare superblock (fs) further on. */
	bool head_lost;
	/* The record of a placement that never began: block 0 has no trace of it. */
	bool has_stale_record;
	struct coffer_record stale;
};

/* Is it certain that the first S bytes are half overwritten, and whole in the copy? @why (at least
 * 1 byte) gets the reason against it; "" when there is no copy at all. */
bool coffer_moved_segment_is_torn(const struct coffer_moved_segment *v, char *why, size_t why_size);

/* There is a copy, and the head holds random bytes: either a part of a header was written over it,
 * or the copy was never complete and those bytes are a file's. This cannot be decided, and to begin
 * would overwrite what may be the only whole one. Or there is a used map whose header is gone.
 * @text (at least 1 byte) describes it. */
bool coffer_moved_segment_is_ambiguous(
	const struct coffer_moved_segment *v, char *text, size_t text_size);

/* A whole header, no step committed: is the moved-segment copy certainly missing or incomplete? To
 * resume would encrypt something else, and to undo would overwrite what is left of the moved
 * segment.
 * @text (at least 1 byte) describes it. */
bool coffer_moved_segment_copy_is_incomplete(
	const struct coffer_moved_segment *v, char *text, size_t text_size);

/* Could the @n bytes at @p, at least 512, be random or ciphertext? Not when fewer than 160 of the
 * 256 values occur: in 512 random bytes that happens once in 10^36 times. */
bool coffer_looks_random(const uint8_t *p, size_t n);

/* Can this sector at byte @at of a device only belong to a LUKS2 header or a transition block? It
 * has a magic in its place, or the beginning of the metadata. @copy_size becomes the size of one
 * header copy where the sector has it. Random bytes, zeros and text prove nothing: files have them
 * too. */
bool coffer_is_header_trace(const uint8_t *sector, uint64_t at, uint64_t *copy_size);

/* Could it belong to a header with copies of @copy_size? After both copies lie random bytes, which
 * cryptsetup writes there; in a placement of coffer (@ours) also zeros, and a used map. */
bool coffer_looks_like_header(const uint8_t *sector, uint64_t at, uint64_t copy_size, bool ours);

/* ... to a header with copies of any size: zeros and text do up to the end of the largest. */
bool coffer_may_be_header(const uint8_t *sector, uint64_t at, bool ours);

/* May the sector belong to a used map? The first one, or ranges in multiples of 512; zeros, too. */
bool coffer_may_be_used_map(const uint8_t *sector);
