/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* decide.h - operation, stage and next command of a disk: pure functions of facts read from it
 *
 * Law 5: disk.c collects the facts and does not judge them; only this file does. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "coffer/finding.h"
#include "coffer/operation.h"
#include "coffer/stage.h"
#include "convert/conversion.h"
#include "convert/record.h"
#include "luks2/header.h"

struct coffer_facts {
	uint64_t device_size; /* now */
	bool is_file;	      /* not a block device */
	struct coffer_copies header;
	bool block_0_is_ours;	       /* a LUKS magic, or a transition block of the header found */
	bool block_0_is_empty;	       /* zeros */
	bool other_converting;	       /* the other copy is usable and describes a conversion */
	enum coffer_luks2_kind kind;   /* of the newest copy */
	int kind_error;		       /* its metadata contradicts itself: -errno */
	struct coffer_err kind_reason; /* why kind is OTHER, or what contradicts */
	struct coffer_conversion conversion; /* kind CONVERTING, or of the other copy */
	int transition_error;		     /* 0: block 0 has a sector of a transition block */
	struct coffer_record transition;     /* as coffer_transition_find fills it */
	/* Records found in the places that header or transition block give, with the same UUID (and
	 * the id of the transition block, if there is one). */
	bool has_record[COFFER_RECORD_UNDO + 1]; /* by enum coffer_placement_kind */
	struct coffer_record record[COFFER_RECORD_UNDO + 1];
	bool segment_intact; /* the moved-segment copy has the hash in the deciding record */
	bool image_intact;   /* likewise the image */
	bool masks_complete; /* block 0 and masked blocks are such that nothing can mount it */
	struct coffer_placed body;
};

/* Decide. For DAMAGED, @why (at least 1 byte) gets the reason as a sentence. */
enum coffer_operation coffer_decide(const struct coffer_facts *f, char *why, size_t why_size);

/* UUID of the volume whose reencryption lock a run on this disk needs: the header's, else the
 * transition block's; NULL where neither counts. */
const char *coffer_volume_uuid(const struct coffer_facts *f);

/* Can the conversion be undone? Yes as long as no step is committed. */
bool coffer_can_abort(enum coffer_operation a, const struct coffer_facts *f);

/* What the content of a disk without a conversion adds to the facts. */
struct coffer_plain_facts {
	bool luks;  /* libblkid finds LUKS of any version */
	bool luks2; /* LUKS2 among it, yet no header that counts */
	bool ready; /* all preflight checks of 'coffer encrypt' pass */
	bool torn;  /* the moved segment is torn, or may be, and has a copy */
};

enum coffer_stage coffer_stage_of(enum coffer_operation a, const struct coffer_facts *f,
	const struct coffer_plain_facts *plain);

/* What comes next on a disk without a running conversion. */
enum coffer_next {
	COFFER_NEXT_NOTHING,
	COFFER_NEXT_PLAN,
	COFFER_NEXT_ENCRYPT, /* start or resume */
	COFFER_NEXT_ABORT,   /* finish the undo */
	COFFER_NEXT_REPAIR,
	COFFER_NEXT_LOOK, /* coffer repair --dry-run */
	COFFER_NEXT_VERIFY,
	COFFER_NEXT_STOCK_RESUME,      /* cryptsetup reencrypt --resume-only */
	COFFER_NEXT_STOCK_RESUME_FILE, /* the same with --force-offline-reencrypt */
	COFFER_NEXT_STOCK_REPAIR, /* cryptsetup repair: interrupted inside a step, resumes later */
	COFFER_N_NEXTS,
};
enum coffer_next coffer_next_of(enum coffer_stage s, const struct coffer_facts *f);

enum {
	COFFER_NEXT_WORDS = 8 /* of a command, with options, device and NULL */
};
/* The command without options and device, ended by NULL. Returns the number of its words. */
size_t coffer_next_words(enum coffer_next next, const char *ret[COFFER_NEXT_WORDS]);

/* Why coffer does nothing to @device: SHRUNK, OTHER (with the command that continues it), or
 * DAMAGED because of @why. -ENOMEM. */
int coffer_operation_finding(enum coffer_operation op, const struct coffer_facts *f,
	const char *device, const char *why, struct coffer_finding *ret);
