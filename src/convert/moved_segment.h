/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* moved_segment.h - the moved-segment check: is the copy at D-S complete, and of what?
 *
 * cryptsetup copies the first S bytes to D-S and writes its header over them, without a flush in
 * between. Interrupted there, it leaves first bytes that are partly header and partly filesystem,
 * and a copy that nothing points to. encrypt must not start on such a disk: it would copy the torn
 * bytes over the complete ones. moved_segment_read.c collects the facts, this file judges them. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "convert/geometry.h"
#include "convert/record.h"
#include "fs/superblock.h"

struct coffer_moved_segment {
	bool has_plain; /* a filesystem begins at byte 0 */
	struct coffer_fs plain;
	/* A filesystem's superblock lies where the copy of a conversion of this layout would. */
	bool has_copy;
	struct coffer_geometry geometry;
	struct coffer_fs fs;	/* in the copy; it ends at L or before */
	bool mirror_agrees;	/* its backup superblock further on is of the same filesystem */
	bool several;		/* copies at several places: one may be a part of another */
	bool unconverted;	/* no step can have written into the filesystem */
	bool same_fs;		/* the filesystem at byte 0 is the copy's */
	bool used;		/* ... and was used since the copy was made */
	uint64_t different;	/* sectors of [0,S) that differ from the copy */
	uint64_t unlike_header; /* ... and that no header has at their place */
	uint64_t traces;	/* ... and that only a header has */
	uint64_t may_be_header; /* ... and that a header may have, of any size without a trace */
	uint64_t copy_size;	/* of that header's copies, from the traces; or the smallest */
	bool saved;		/* a record of coffer proves that [0,S) is complete */
	bool used_map;		/* one of the differing sectors begins a used map */
	/* The header is usable, and no step is committed. */
	bool own;		 /* coffer placed the header, after it had verified the copy */
	bool keyslot_torn;	 /* sectors of a keyslot's area are still the filesystem's */
	bool copy_lost;		 /* no superblock in the copy, but a spare one further on */
	bool copy_unknown;	 /* unknown content lies where the copy must be */
	uint64_t header_end;	 /* what is written of the header ends here, at S or before */
	uint64_t unsaved;	 /* sectors before it that no header has, and that the copy lacks */
	uint64_t unsaved_beyond; /* the same, from there on: no header is written there */
	/* No filesystem begins at byte 0, but its backup superblock (fs) lies further on. */
	bool start_lost;
	/* The record of a placement that block 0 has no trace of. */
	bool has_stale_record;
	struct coffer_record stale;
};

struct coffer_disk;

/* Collect the facts, as far as the examined @disk leaves a question open. Only reads. */
int coffer_moved_segment_read(
	const struct coffer_disk *disk, struct coffer_moved_segment *ret, struct coffer_err *e);

/* NEEDS_REPAIR with -EUCLEAN: an interrupted cryptsetup has left a disk on which nothing may start
 * or resume, since it would lose the only complete first bytes. Else 0. */
int coffer_moved_segment_refuse(
	const struct coffer_disk *disk, const struct coffer_moved_segment *v, struct coffer_err *e);

/* Are the first S bytes certainly torn, and complete in the copy? @why (at least 1 byte) says so,
 * or gets the reason against it; "" without a copy. */
bool coffer_moved_segment_is_torn(const struct coffer_moved_segment *v, char *why, size_t why_size);

/* There is a copy, and [0,S) has random bytes: either a header was partly written over it, or the
 * copy was never complete and those bytes are a file's. Or there is a used map without its header.
 * @text (at least 1 byte) says it. */
bool coffer_moved_segment_is_ambiguous(
	const struct coffer_moved_segment *v, char *text, size_t text_size);

/* A usable header, no step committed: is the copy certainly missing or incomplete? To resume would
 * encrypt something else, and to undo would overwrite what is left of the moved segment. */
bool coffer_moved_segment_copy_is_incomplete(
	const struct coffer_moved_segment *v, char *text, size_t text_size);

/* Could the @n bytes at @p, at least 512, be random or ciphertext? Not with fewer than 160 of the
 * 256 values: in 512 random bytes that happens once in 10^36 times. */
bool coffer_looks_random(const uint8_t *p, size_t n);

/* Can this sector at byte @at of a device only belong to a LUKS2 header or a transition block? It
 * has a magic in its place, or the beginning of the metadata; other content files have, too.
 * *copy_size becomes the size of one header copy where the sector has it. */
bool coffer_is_header_trace(const uint8_t *sector, uint64_t at, uint64_t *copy_size);

/* Could it belong to a header with copies of @copy_size? After both copies lie random bytes, which
 * cryptsetup writes there; in a placement of coffer (@ours) also zeros, and a used map. */
bool coffer_looks_like_header(const uint8_t *sector, uint64_t at, uint64_t copy_size, bool ours);

/* ... to a header with copies of any size: zeros and text may, up to the end of the largest. */
bool coffer_may_be_header(const uint8_t *sector, uint64_t at, bool ours);

/* May it belong to a used map? Its first sector, or ranges in multiples of 512; zeros, too. */
bool coffer_may_be_used_map(const uint8_t *sector);
