/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* decide.c - operation, stage and next command of a disk: pure functions of facts read from it */
#include "convert/decide.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/findings_text.h"
#include "base/names.h"

DEFINE_NAMES(coffer_operation_name, enum coffer_operation,
	COFFER_N_OPERATIONS, [COFFER_OP_UNKNOWN] = "unknown", [COFFER_OP_START] = "start",
	[COFFER_OP_REDO_PLACEMENT] = "redo-placement",
	[COFFER_OP_FINISH_PLACEMENT] = "finish-placement", [COFFER_OP_CONVERT] = "convert",
	[COFFER_OP_FINALIZE] = "finalize", [COFFER_OP_SYNC_FINAL] = "sync-final",
	[COFFER_OP_ENCRYPTED] = "encrypted", [COFFER_OP_FINISH_UNDO] = "finish-undo",
	[COFFER_OP_OTHER] = "other-reencryption", [COFFER_OP_SHRUNK] = "shrunk",
	[COFFER_OP_DAMAGED] = "damaged")

#define DAMAGED(...) (snprintf(why, why_size, __VA_ARGS__), COFFER_OP_DAMAGED)

/* No step is committed, so the gap may hold a record; later it is ciphertext and never read as one.
 * A header that was changed since (a higher seqid) outlives its record; a lower seqid is that of a
 * copy that was late when the record was written. */
static bool record_counts(const struct coffer_facts *f, enum coffer_placement_kind kind)
{
	return f->has_record[kind] &&
	       f->record[kind].seqid >= f->header.copy[f->header.newest].seqid;
}

/* The transition block of an undo is written after its record is durable, and before the second
 * header copy is masked. With that copy usable and no record the medium has lost the record. */
static bool is_undo_without_record(const struct coffer_facts *f)
{
	const struct coffer_conversion *c = &f->conversion;

	return f->header.newest == 1 && f->kind == COFFER_LUKS2_CONVERTING && f->kind_error == 0 &&
	       c->pointer == c->geometry.length && !c->hot && f->transition_error == 0 &&
	       f->transition.kind == COFFER_RECORD_UNDO && !f->has_record[COFFER_RECORD_UNDO];
}

static enum coffer_operation decide_converting(
	const struct coffer_facts *f, char *why, size_t why_size)
{
	const struct coffer_conversion *c = &f->conversion;

	if (f->device_size < c->geometry.device)
		return COFFER_OP_SHRUNK;
	if (c->pointer == 0)
		return COFFER_OP_FINALIZE;
	if (c->pointer < c->geometry.length || c->hot)
		return COFFER_OP_CONVERT;
	/* While the header is usable the volume may have been opened and written to: then the undo
	 * begins again with what is there now. To resume the conversion would be as safe: nothing
	 * of [0,S) counts, all of it is at D-S. */
	if (record_counts(f, COFFER_RECORD_UNDO))
		return COFFER_OP_FINISH_UNDO;
	/* It masks blocks of the keyslots first, so no key may open this any more. */
	if (is_undo_without_record(f))
		return DAMAGED("an undo was interrupted, but its record at byte %" PRIu64
			       " is missing or damaged; the moved-segment copy must lie at byte "
			       "%" PRIu64 "; 'coffer abort' undoes the placement",
			coffer_record_offset(&c->geometry, COFFER_RECORD_UNDO),
			coffer_segment_copy_offset(&c->geometry));
	return record_counts(f, COFFER_RECORD_PLACE) ? COFFER_OP_FINISH_PLACEMENT
						     : COFFER_OP_CONVERT;
}

/* No header copy is usable, and block 0 says that a placement or an undo is under way. */
static enum coffer_operation decide_transition(
	const struct coffer_facts *f, char *why, size_t why_size)
{
	const struct coffer_geometry *g = &f->transition.geometry;
	const bool has_undo = f->has_record[COFFER_RECORD_UNDO];
	const bool undo = has_undo || f->transition.kind != COFFER_RECORD_PLACE;
	const char *what = undo ? "an undo" : "a placement";

	if (f->device_size < g->device)
		return COFFER_OP_SHRUNK;
	if (!has_undo && (undo || !f->has_record[COFFER_RECORD_PLACE]))
		return DAMAGED("%s was interrupted, but its record at byte %" PRIu64
			       " is missing or damaged; the moved-segment copy must lie at byte "
			       "%" PRIu64,
			what,
			coffer_record_offset(g, undo ? COFFER_RECORD_UNDO : COFFER_RECORD_PLACE),
			coffer_segment_copy_offset(g));
	if (!f->segment_intact)
		return DAMAGED("%s was interrupted, but the moved-segment copy at byte %" PRIu64
			       " does not match its record",
			what, coffer_segment_copy_offset(g));
	if (undo)
		return COFFER_OP_FINISH_UNDO;
	if (!f->image_intact)
		return DAMAGED("a placement was interrupted, but its image at byte %" PRIu64
			       " is damaged; %s",
			coffer_image_offset(g),
			coffer_can_abort(COFFER_OP_DAMAGED, f)
				? "'coffer abort' undoes the placement"
				: "the filesystem may have been used since, so 'coffer abort' does "
				  "not overwrite it");
	if (f->body.unexpected)
		return DAMAGED("a placement was interrupted, but %" PRIu64
			       " sectors (the first at byte %" PRIu64
			       ") hold content that the placement never wrote",
			f->body.unexpected, f->body.first_unexpected);
	return COFFER_OP_REDO_PLACEMENT;
}

/* No header copy is usable. */
static enum coffer_operation decide_no_header(
	const struct coffer_facts *f, char *why, size_t why_size)
{
	const struct coffer_copy_facts *copy = f->header.copy;

	if (f->transition_error == 0)
		return decide_transition(f, why, why_size);
	if (f->transition_error == -EBADMSG)
		return DAMAGED("block 0 has sectors of two different placements");
	if (copy[0].refused || copy[1].refused)
		return DAMAGED("libcryptsetup refuses its LUKS2 header; 'coffer header check' has "
			       "the reason");
	if (copy[0].magic || copy[1].magic)
		return DAMAGED("there is a LUKS2 header, but neither copy is usable");
	return COFFER_OP_START;
}

enum coffer_operation coffer_decide(const struct coffer_facts *f, char *why, size_t why_size)
{
	why[0] = '\0';
	/* A second copy without a trace of coffer or LUKS in block 0 does not count: it may be
	 * bytes of a file, which any user may write, on a filesystem that is in use. */
	if (f->header.newest == 1 && !f->block_0_is_ours)
		return COFFER_OP_START;
	/* To use either would overwrite the only copy of the other, which may be the right one. */
	if (f->header.two_volumes)
		return DAMAGED("its header copies belong to two different volumes, with sequence "
			       "numbers %" PRIu64 " and %" PRIu64,
			f->header.copy[0].seqid, f->header.copy[1].seqid);
	if (f->header.newest < 0)
		return decide_no_header(f, why, why_size);
	if (f->kind_error < 0)
		return DAMAGED("its LUKS2 metadata contradicts itself: %s", f->kind_reason.msg);
	if (f->kind == COFFER_LUKS2_OTHER)
		return COFFER_OP_OTHER;
	if (f->kind == COFFER_LUKS2_CONVERTING)
		return decide_converting(f, why, why_size);
	/* A final commit interrupted between its copies. One that was torn inside the second copy
	 * looks like any torn copy; the next cryptsetup command repairs it. */
	return f->other_converting ? COFFER_OP_SYNC_FINAL : COFFER_OP_ENCRYPTED;
}

const char *coffer_volume_uuid(const struct coffer_facts *f)
{
	if (f->header.newest == 1 && !f->block_0_is_ours)
		return NULL;
	if (f->header.newest >= 0)
		return f->header.uuid;
	return f->transition_error == 0 ? f->transition.uuid : NULL;
}

bool coffer_can_abort(enum coffer_operation a, const struct coffer_facts *f)
{
	switch (a) {
	case COFFER_OP_REDO_PLACEMENT:
	case COFFER_OP_FINISH_PLACEMENT:
	case COFFER_OP_FINISH_UNDO:
		return true;
	case COFFER_OP_CONVERT:
		/* hot: stock may have written ciphertext, but only from the gap on, where the
		 * plain filesystem has nothing that is not in place as well */
		return f->conversion.pointer == f->conversion.geometry.length;
	case COFFER_OP_DAMAGED:
		/* A placement whose image is lost: the moved segment is all that is needed. But
		 * only if the filesystem cannot have been used since it was saved. */
		return (is_undo_without_record(f) && !f->header.two_volumes) ||
		       (f->header.newest < 0 && f->transition_error == 0 && f->segment_intact &&
			       f->masks_complete && f->transition.kind == COFFER_RECORD_PLACE &&
			       f->has_record[COFFER_RECORD_PLACE] &&
			       f->device_size >= f->transition.geometry.device);
	default:
		return false;
	}
}

/* --- the stage, and the command that comes next --- */

DEFINE_NAMES(coffer_stage_name, enum coffer_stage, COFFER_N_STAGES, [COFFER_STAGE_PLAIN] = "plain",
	[COFFER_STAGE_RESERVED] = "reserved", [COFFER_STAGE_PLACING] = "placing",
	[COFFER_STAGE_PLACED] = "placed", [COFFER_STAGE_CONVERTING] = "converting",
	[COFFER_STAGE_WIPE_PENDING] = "wipe-pending", [COFFER_STAGE_ENCRYPTED] = "encrypted",
	[COFFER_STAGE_UNDOING] = "undoing", [COFFER_STAGE_OTHER] = "other",
	[COFFER_STAGE_SHRUNK] = "shrunk", [COFFER_STAGE_DAMAGED] = "damaged")

enum coffer_stage coffer_stage_of(enum coffer_operation a, const struct coffer_facts *f,
	const struct coffer_plain_facts *plain)
{
	static const enum coffer_stage stages[COFFER_N_OPERATIONS] = {
		[COFFER_OP_UNKNOWN] = COFFER_STAGE_DAMAGED,
		[COFFER_OP_REDO_PLACEMENT] = COFFER_STAGE_PLACING,
		[COFFER_OP_FINISH_PLACEMENT] = COFFER_STAGE_PLACING,
		[COFFER_OP_CONVERT] = COFFER_STAGE_CONVERTING,
		[COFFER_OP_FINALIZE] = COFFER_STAGE_WIPE_PENDING,
		[COFFER_OP_SYNC_FINAL] = COFFER_STAGE_ENCRYPTED,
		[COFFER_OP_ENCRYPTED] = COFFER_STAGE_ENCRYPTED,
		[COFFER_OP_FINISH_UNDO] = COFFER_STAGE_UNDOING,
		[COFFER_OP_OTHER] = COFFER_STAGE_OTHER,
		[COFFER_OP_SHRUNK] = COFFER_STAGE_SHRUNK,
		[COFFER_OP_DAMAGED] = COFFER_STAGE_DAMAGED,
	};

	if (a == COFFER_OP_START)
		return plain->luks2 || plain->torn ? COFFER_STAGE_DAMAGED
		       : plain->luks		   ? COFFER_STAGE_ENCRYPTED
		       : plain->ready		   ? COFFER_STAGE_RESERVED
						   : COFFER_STAGE_PLAIN;
	/* hot: stock has begun a step, so more than the header was written */
	if (a == COFFER_OP_CONVERT && f->conversion.pointer == f->conversion.geometry.length &&
		!f->conversion.hot)
		return COFFER_STAGE_PLACED;
	return (unsigned int)a < COFFER_N_OPERATIONS ? stages[a] : COFFER_STAGE_DAMAGED;
}

enum coffer_next coffer_next_of(enum coffer_stage s, const struct coffer_facts *f)
{
	static const enum coffer_next nexts[COFFER_N_STAGES] = {
		[COFFER_STAGE_PLAIN] = COFFER_NEXT_PLAN,
		[COFFER_STAGE_RESERVED] = COFFER_NEXT_ENCRYPT,
		[COFFER_STAGE_PLACING] = COFFER_NEXT_ENCRYPT,
		[COFFER_STAGE_PLACED] = COFFER_NEXT_ENCRYPT,
		[COFFER_STAGE_CONVERTING] = COFFER_NEXT_ENCRYPT,
		[COFFER_STAGE_WIPE_PENDING] = COFFER_NEXT_ENCRYPT,
		[COFFER_STAGE_ENCRYPTED] = COFFER_NEXT_VERIFY,
		[COFFER_STAGE_UNDOING] = COFFER_NEXT_ABORT,
		[COFFER_STAGE_OTHER] = COFFER_NEXT_STOCK_RESUME,
		[COFFER_STAGE_DAMAGED] = COFFER_NEXT_LOOK,
	};

	/* newest < 0: LUKS1, which has one header */
	if (s == COFFER_STAGE_ENCRYPTED && f->header.newest < 0)
		return COFFER_NEXT_NOTHING;
	if (s == COFFER_STAGE_ENCRYPTED && !f->header.agree)
		return COFFER_NEXT_REPAIR;
	if (s == COFFER_STAGE_OTHER && f->conversion.hot)
		return COFFER_NEXT_STOCK_REPAIR;
	if (s == COFFER_STAGE_OTHER && f->is_file)
		return COFFER_NEXT_STOCK_RESUME_FILE;
	return (unsigned int)s < COFFER_N_STAGES ? nexts[s] : COFFER_NEXT_NOTHING;
}

size_t coffer_next_words(enum coffer_next next, const char *ret[COFFER_NEXT_WORDS])
{
	static const char *const commands[COFFER_N_NEXTS][COFFER_NEXT_WORDS] = {
		[COFFER_NEXT_PLAN] = {"coffer", "plan"},
		[COFFER_NEXT_ENCRYPT] = {"coffer", "encrypt"},
		[COFFER_NEXT_ABORT] = {"coffer", "abort"},
		[COFFER_NEXT_REPAIR] = {"coffer", "repair"},
		[COFFER_NEXT_LOOK] = {"coffer", "repair", "--dry-run"},
		[COFFER_NEXT_VERIFY] = {"coffer", "verify"},
		[COFFER_NEXT_STOCK_RESUME] = {"cryptsetup", "reencrypt", "--resume-only"},
		[COFFER_NEXT_STOCK_RESUME_FILE] = {"cryptsetup", "reencrypt", "--resume-only",
			"--force-offline-reencrypt"},
		[COFFER_NEXT_STOCK_REPAIR] = {"cryptsetup", "repair"},
	};
	size_t n = 0;

	memcpy(ret, commands[next], sizeof(commands[next]));
	while (ret[n])
		n++;
	return n;
}

int coffer_operation_finding(enum coffer_operation op, const struct coffer_facts *f,
	const char *device, const char *why, struct coffer_finding *ret)
{
	const uint64_t size = f->header.newest >= 0 ? f->conversion.geometry.device
						    : f->transition.geometry.device;
	const char *words[COFFER_NEXT_WORDS];

	if (op == COFFER_OP_SHRUNK)
		return coffer_finding_make(ret, COFFER_TEXT_SHRUNK,
			COFFER_WITH(COFFER_ARG_NUMBER("device_bytes", f->device_size),
				COFFER_ARG_NUMBER("conversion_bytes", size)),
			NULL);
	if (op == COFFER_OP_DAMAGED)
		return coffer_finding_make(ret, COFFER_TEXT_DAMAGED,
			COFFER_WITH(COFFER_ARG_TEXT("reason", why)),
			COFFER_RUN("coffer", "repair", "--dry-run", device));
	words[coffer_next_words(coffer_next_of(COFFER_STAGE_OTHER, f), words)] = device;
	return coffer_finding_make(ret, COFFER_TEXT_OTHER,
		COFFER_WITH(COFFER_ARG_TEXT("reason", f->kind_reason.msg)), words);
}
