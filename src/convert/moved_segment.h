/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* moved_segment.h - what the rest of a disk says where its header says nothing that counts
 *
 * cryptsetup copies the first S bytes to D-S and writes its header over them, with no flush in
 * between. Cut there it leaves a head that is half header and half filesystem, and a whole copy
 * that nothing points to. coffer's own placement cannot end so, but repair knows what to do, and
 * encrypt must not take it for a disk to begin on: the torn head would be copied over the whole
 * one. The story collects the evidence; whether it is enough is decided here. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "convert/geometry.h"
#include "convert/record.h"
#include "fs/superblock.h"

struct coffer_moved_segment {
	bool has_head; /* what begins at byte 0 is a filesystem: head tells which */
	struct coffer_fs head;
	/* A copy of a head at D-S: there is a filesystem's superblock. */
	bool has_copy;
	struct coffer_geometry geometry; /* D, S and L = D-2S that it would belong to */
	struct coffer_fs fs;		 /* as the copy tells; it ends at L or before */
	bool mirror_agrees;	/* the superblock's copy further behind is of the same filesystem */
	bool ambiguous;		/* there are more of the kind: one may be a part of the other */
	bool unconverted;	/* no step can have written into the filesystem */
	bool living;		/* the head is the same filesystem's */
	bool used;		/* ... which is not the copy's: it was used since */
	uint64_t different;	/* sectors of [0,S) that are not the copy's */
	uint64_t unlike_header; /* ... and that no header has either, at their place */
	uint64_t traces;	/* ... and that only a header has */
	uint64_t overwritten;	/* ... and that a header may have, one of any size if none tells */
	bool saved;		/* a record of coffer's says that the head is whole */
	bool used_map;		/* ... and one of them begins a map of what is used */
	uint64_t copy_size;	/* of that header, as the traces tell, or the smallest one */
	/* The header is whole, and no step was committed. */
	bool keyslot_torn;   /* a part of a keyslot's area is still the head */
	bool copy_lost;	     /* the copy has no superblock, but further behind lies a spare one */
	bool copy_unknown;   /* nothing that anybody knows lies where the copy must be */
	uint64_t header_end; /* what is written of it ends here, at S or before */
	uint64_t unsaved;    /* sectors below it that are no header's, and that the copy lacks */
	uint64_t behind;     /* the same, from it on: no header is written there */
	bool own;	     /* coffer placed it, and had verified the copy */
	/* There is no filesystem at byte 0, but its spare superblock (fs) further behind. */
	bool head_lost;
	/* The record of a placement that never began: block 0 has no trace of it. */
	bool has_stale_record;
	struct coffer_record stale;
};

/* Is it certain that the first S bytes are half written and are to be taken from the copy? @why
 * (at least 1 byte) gets what speaks against it; "" when there is no copy at all. */
bool coffer_moved_segment_is_torn(const struct coffer_moved_segment *v, char *why, size_t why_size);

/* There is a copy, and parts of the head may have been overwritten with a header of which nothing
 * shows but random bytes; or the copy was never complete, and the head is whole: those bytes are a
 * file's. Nobody can tell, and to begin would overwrite what may be the only whole head. Or there
 * is a map of what is used, whose header is gone. @text (at least 1 byte) says what is where. */
bool coffer_moved_segment_is_ambiguous(
	const struct coffer_moved_segment *v, char *text, size_t text_size);

/* A whole header, no step committed: is the copy of the head certainly missing, or not complete? To
 * go on would encrypt something else, and to put it back would overwrite what is left of the head.
 * @text (at least 1 byte) says what is where. */
bool coffer_moved_segment_copy_is_incomplete(
	const struct coffer_moved_segment *v, char *text, size_t text_size);

/* Could the @n bytes at @p, at least 512, be random or ciphertext? No when fewer than 160 of the
 * 256 values occur: in 512 random bytes that happens once in 10^36 times. */
bool coffer_looks_random(const uint8_t *p, size_t n);

/* Can this sector at byte @at of a device only be a LUKS2 header's, or a transition block's? A
 * magic in its place, or the beginning of the metadata. @copy_size becomes the size of one header
 * copy where the sector tells. Random bytes, zeros and text prove nothing: files have them too. */
bool coffer_is_header_trace(const uint8_t *sector, uint64_t at, uint64_t *copy_size);

/* Could it be one, in a header with copies of @copy_size? Behind both copies lie random bytes, for
 * that is what cryptsetup writes there; in a placement of coffer's (@ours) also zeros, and a map of
 * what is used. */
bool coffer_looks_like_header(const uint8_t *sector, uint64_t at, uint64_t copy_size, bool ours);

/* ... in a header with copies of some size, where nothing tells which: zeros and text are so up to
 * the end of the largest. */
bool coffer_may_be_header(const uint8_t *sector, uint64_t at, bool ours);

/* A sector of a used map: its first one, or ranges in multiples of 512, as zeros are, too. */
bool coffer_may_be_used_map(const uint8_t *sector);
