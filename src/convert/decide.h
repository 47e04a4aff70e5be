/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* decide.h - what to do with a disk: a pure function of facts read from it (law 5)
 *
 * disk.c collects the facts and does not judge them; only this file does. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "coffer/operation.h"
#include "convert/conversion.h"
#include "convert/record.h"
#include "luks2/header.h"

struct coffer_facts {
	uint64_t device_size; /* now */
	bool is_file;	      /* not a block device */
	struct coffer_copies header;
	bool block_0_is_ours;	       /* a LUKS magic, or a transition block of the header found */
	bool block_0_is_empty;	       /* zeros */
	bool other_converting;	       /* the other copy is whole and describes a conversion */
	enum coffer_luks2_kind kind;   /* of the newest copy */
	int kind_error;		       /* its metadata contradicts itself: -errno */
	struct coffer_err kind_reason; /* why kind is OTHER, or what contradicts */
	struct coffer_conversion conversion; /* kind CONVERTING, or of the other copy */
	int transition_error;		     /* 0: block 0 has a sector of a transition block */
	struct coffer_transition transition;
	/* Records found in the places that header or transition block give, with the same UUID (and
	 * the id of the transition block, if there is one). */
	bool has_record[COFFER_RECORD_UNDO + 1]; /* by enum coffer_placement_kind */
	struct coffer_record record[COFFER_RECORD_UNDO + 1];
	bool segment_intact; /* the moved-segment copy has the hash in the deciding record */
	bool image_intact;   /* likewise the image */
	bool masks_whole;    /* block 0 and masked blocks are such that nothing can mount it */
	uint64_t unexpected; /* sectors of [0,S) that no placement wrote */
	uint64_t first_unexpected;
	uint64_t placed; /* sectors after block 0 that only a placement can have written */
};

/* Decide. For DAMAGED, @why (at least 1 byte) gets the reason as a sentence. */
enum coffer_operation coffer_decide(const struct coffer_facts *f, char *why, size_t why_size);

/* UUID of the volume whose reencryption lock a run on this disk needs: the header's, else the
 * transition block's; NULL where neither counts. */
const char *coffer_volume_uuid(const struct coffer_facts *f);

/* Can the conversion be undone? Yes as long as no step is committed. */
bool coffer_can_abort(enum coffer_operation a, const struct coffer_facts *f);
