/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* decide.h - what to do with a disk: a pure function of facts read from it (law 5)
 *
 * os and story collect the facts without judging them; this is the only place that judges. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "coffer/operation.h"
#include "convert/conversion.h"
#include "convert/record.h"
#include "luks2/header.h"

struct coffer_facts {
	uint64_t device_size; /* now */
	struct coffer_copies header;
	bool block_0_is_ours;  /* block 0 has a LUKS magic, or a transition sector of the header
				  found */
	bool block_0_is_empty; /* zeros */
	bool other_converting; /* the other copy is whole and tells of a conversion */
	enum coffer_luks2_kind kind;	     /* of the newest copy */
	int kind_error;			     /* its metadata contradict themselves: -errno */
	struct coffer_err kind_reason;	     /* why kind is OTHER, or what contradicts */
	struct coffer_conversion conversion; /* kind CONVERTING, or of the other copy */
	int transition_error;		     /* 0: block 0 has a transition sector */
	struct coffer_transition transition;
	/* Records that were found where header or transition block say they must be, with the same
	 * UUID (and the same id as the transition block, where that is there). */
	bool has_record[COFFER_RECORD_UNDO + 1]; /* by enum coffer_placement_kind */
	struct coffer_record record[COFFER_RECORD_UNDO + 1];
	bool segment_intact; /* the head copy has the hash that the deciding record names */
	bool image_intact;   /* likewise the image */
	bool masks_whole;    /* block 0 and all veils are such that nothing can mount the head */
	uint64_t unexpected; /* sectors of [0,S) that no placement wrote */
	uint64_t first_unexpected;
	uint64_t placed; /* sectors behind block 0 that only a placement can have written */
};

/* Decide. For DAMAGED, @why (at least 1 byte) gets the reason as a sentence. */
enum coffer_operation coffer_decide(const struct coffer_facts *f, char *why, size_t why_size);

/* UUID of the volume that a run on this disk works for, whose reencryption lock it needs: the
 * header's, else the transition block's; NULL where neither counts. */
const char *coffer_volume_uuid(const struct coffer_facts *f);

/* May the conversion still be undone? Yes as long as no step was committed. */
bool coffer_can_abort(enum coffer_operation a, const struct coffer_facts *f);
