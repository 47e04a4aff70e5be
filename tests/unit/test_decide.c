/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test_decide.c - which operation a disk needs, held against laws
 *
 * Every combination of a reduced set of facts, judged by laws that are written down anew here:
 * what a disk must show before an action may be taken, not how decide.c gets there. */
#include "convert/decide.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/cleanup.h"
#include "tap.h"

#define MIB (UINT64_C(1) << 20)

static const struct coffer_geometry geometry = {64 * MIB, 4 * MIB, 56 * MIB, 512};

enum law {
	LAW_BLOCK_0,
	LAW_SHRUNK,
	LAW_START,
	LAW_START_WHEN_EMPTY,
	LAW_REDO_PLACEMENT,
	LAW_REDO_PLACEMENT_WHEN,
	LAW_FINISH_PLACEMENT,
	LAW_REDO_RESTORE,
	LAW_CONVERT,
	LAW_END,
	LAW_SYNC,
	LAW_SYNC_WHEN,
	LAW_ENCRYPTED,
	LAW_OTHER,
	LAW_DAMAGED,
	LAW_LOST_RECORD,
	LAW_TWO_VOLUMES,
	LAW_CONTRADICTION,
	LAW_SEQID,
	LAW_STEP_IS_FINAL,
	LAW_WHY,
	LAW_ABORT_NO_STEP,
	LAW_ABORT_SEGMENT,
	LAW_ABORT_PROMISED,
	LAW_ABORT_WHEN,
	LAW_ABORT_NOT,
	LAW_VOLUME,
	N_LAWS,
};
static const char *const law_names[] = {
	[LAW_BLOCK_0] = "a second copy alone counts only with a trace of it in block 0",
	[LAW_SHRUNK] = "a device that is too small is called shrunk, and no other is",
	[LAW_START] = "no start where a LUKS magic or a transition sector was seen",
	[LAW_START_WHEN_EMPTY] = "a start where nothing of the kind was seen",
	[LAW_REDO_PLACEMENT] =
		"no placement again unless moved segment and image are intact, nothing "
		"strange lies there, and no abort is under way",
	[LAW_REDO_PLACEMENT_WHEN] = "but then it is done",
	[LAW_FINISH_PLACEMENT] = "a placement is finished only beside its own header",
	[LAW_REDO_RESTORE] = "a restoration goes on only with its record, and without a usable "
			     "header only with an intact moved segment",
	[LAW_CONVERT] = "steps are done only under a converting header, and not at the end",
	[LAW_END] = "the end is at pointer 0 of a converting header",
	[LAW_SYNC] = "copies are made equal only under a finished header whose other copy is bad "
		     "or behind",
	[LAW_SYNC_WHEN] = "a converting copy beside a finished header is overwritten",
	[LAW_ENCRYPTED] = "encrypted is a usable header without a conversion",
	[LAW_OTHER] = "cryptsetup's is what the newest header says",
	[LAW_DAMAGED] = "damaged is never a header that makes sense, nor an empty disk",
	/* Bug: an abort without its record was done again as a placement */
	[LAW_LOST_RECORD] = "the transition block of an abort without its record is damage",
	[LAW_TWO_VOLUMES] = "copies of two volumes are damage, and nothing is taken back",
	[LAW_CONTRADICTION] = "metadata that contradict themselves are damage",
	[LAW_SEQID] = "a record older than the header counts for nothing",
	[LAW_STEP_IS_FINAL] = "nor does any record after a step",
	[LAW_WHY] = "damage has a reason, the rest has none",
	[LAW_ABORT_NO_STEP] = "an abort implies that no step was committed",
	[LAW_ABORT_SEGMENT] = "an abort of a damaged placement needs an intact moved segment under "
			      "a masked block, or "
			      "one that was begun already",
	[LAW_ABORT_PROMISED] = "a reason promises an abort only where there can be one",
	[LAW_ABORT_WHEN] = "an abort is possible as long as the pointer stands at L",
	[LAW_ABORT_NOT] = "nothing to abort on a disk that is empty, done, small or another's",
	[LAW_VOLUME] = "the volume is the header's, else the transition block's, else none",
};

struct tally {
	uint64_t broken;
	uint64_t applied;
};
static struct tally tally[N_LAWS];
static uint64_t seen[COFFER_N_OPERATIONS];

static void show(const struct coffer_facts *f, enum coffer_operation a)
{
	note("action %s, can abort %d", coffer_operation_name(a), coffer_can_abort(a, f));
	note("  newest %d, copies %d%d/%" PRIu64 " %d%d/%" PRIu64 ", kind %d error %d, other "
	     "converting %d, device %" PRIu64,
		f->header.newest, f->header.copy[0].magic, f->header.copy[0].usable,
		f->header.copy[0].seqid, f->header.copy[1].magic, f->header.copy[1].usable,
		f->header.copy[1].seqid, (int)f->kind, f->kind_error, f->other_converting,
		f->device_size);
	note("  pointer %" PRIu64 " hot %d, transition %d kind %d, records %d/%" PRIu64
	     " %d/%" PRIu64 ", moved segment %d image %d masked %d strange %" PRIu64,
		f->conversion.pointer, f->conversion.hot, f->transition_error,
		(int)f->transition.kind, f->has_record[1], f->record[1].seqid, f->has_record[2],
		f->record[2].seqid, f->segment_intact, f->image_intact, f->masks_complete,
		f->body.unexpected);
}

static const struct coffer_facts *current;
static enum coffer_operation current_action;

static void holds(enum law l, bool good)
{
	tally[l].applied++;
	if (good || tally[l].broken++ > 0)
		return;
	note("broken: %s", law_names[l]);
	show(current, current_action);
}

/* A record beside a header: what it says is about that header only if it is not older. */
static bool is_current(const struct coffer_facts *f, enum coffer_placement_kind kind)
{
	return f->has_record[kind] &&
	       !(f->record[kind].seqid < f->header.copy[f->header.newest].seqid);
}

/* The transition block of an abort over a placed header whose second copy is still usable; the
 * record that was durable before that is not there. */
static bool has_lost_record(const struct coffer_facts *f)
{
	return f->header.newest == 1 && f->kind_error == 0 && f->kind == COFFER_LUKS2_CONVERTING &&
	       f->conversion.pointer == geometry.length && !f->conversion.hot &&
	       f->transition_error == 0 && f->transition.kind == COFFER_RECORD_UNDO &&
	       !f->has_record[COFFER_RECORD_UNDO];
}

static void check_actions(const struct coffer_facts *f, enum coffer_operation a)
{
	const bool header = f->header.newest >= 0;
	const bool sane = header && f->kind_error == 0;
	const bool converting = sane && f->kind == COFFER_LUKS2_CONVERTING;
	const bool finished = sane && f->kind == COFFER_LUKS2_ENCRYPTED;
	const bool mask = !header && f->transition_error == 0;
	const bool unknown_content = !header && f->transition_error == -EBADMSG;
	const bool magic = f->header.copy[0].magic || f->header.copy[1].magic;
	const bool untouched =
		converting && f->conversion.pointer == geometry.length && !f->conversion.hot;
	const bool small = (converting || mask) && f->device_size < geometry.device;
	const struct coffer_copy_facts *other = &f->header.copy[f->header.newest == 0 ? 1 : 0];

	holds(LAW_SHRUNK, (a == COFFER_OP_SHRUNK) == small);
	if (a == COFFER_OP_START)
		holds(LAW_START, !header && !magic && !mask && !unknown_content);
	if (!header && !magic && !mask && !unknown_content)
		holds(LAW_START_WHEN_EMPTY, a == COFFER_OP_START);
	if (a == COFFER_OP_REDO_PLACEMENT)
		holds(LAW_REDO_PLACEMENT, mask && f->transition.kind == COFFER_RECORD_PLACE &&
						  f->has_record[COFFER_RECORD_PLACE] &&
						  !f->has_record[COFFER_RECORD_UNDO] &&
						  f->segment_intact && f->image_intact &&
						  f->body.unexpected == 0);
	if (mask && !small && f->transition.kind == COFFER_RECORD_PLACE &&
		f->has_record[COFFER_RECORD_PLACE] && !f->has_record[COFFER_RECORD_UNDO] &&
		f->segment_intact && f->image_intact && f->body.unexpected == 0)
		holds(LAW_REDO_PLACEMENT_WHEN, a == COFFER_OP_REDO_PLACEMENT);
	if (a == COFFER_OP_FINISH_PLACEMENT)
		holds(LAW_FINISH_PLACEMENT, untouched && is_current(f, COFFER_RECORD_PLACE));
	if (a == COFFER_OP_FINISH_UNDO)
		holds(LAW_REDO_RESTORE,
			f->has_record[COFFER_RECORD_UNDO] &&
				(header ? untouched && is_current(f, COFFER_RECORD_UNDO)
					: mask && f->segment_intact));
	if (a == COFFER_OP_CONVERT)
		holds(LAW_CONVERT, converting && f->conversion.pointer > 0);
	holds(LAW_END,
		(a == COFFER_OP_FINALIZE) == (converting && !small && f->conversion.pointer == 0));
	if (a == COFFER_OP_SYNC_FINAL)
		holds(LAW_SYNC,
			finished &&
				(other->usable ? f->other_converting
					       : other->magic &&
							 other->seqid <=
								 f->header.copy[f->header.newest]
									 .seqid));
	if (finished && other->usable && f->other_converting)
		holds(LAW_SYNC_WHEN, a == COFFER_OP_SYNC_FINAL);
	if (a == COFFER_OP_ENCRYPTED)
		holds(LAW_ENCRYPTED, finished);
	holds(LAW_OTHER, (a == COFFER_OP_OTHER) == (sane && f->kind == COFFER_LUKS2_OTHER));
	if (a == COFFER_OP_DAMAGED)
		holds(LAW_DAMAGED, (!sane && (header || magic || mask || unknown_content)) ||
					   has_lost_record(f));
	if (has_lost_record(f) && !small)
		holds(LAW_LOST_RECORD, a == COFFER_OP_DAMAGED);
	if (header && !sane)
		holds(LAW_CONTRADICTION, a == COFFER_OP_DAMAGED);
	if (header && !is_current(f, COFFER_RECORD_PLACE))
		holds(LAW_SEQID, a != COFFER_OP_FINISH_PLACEMENT);
	if (header && !is_current(f, COFFER_RECORD_UNDO))
		holds(LAW_SEQID, a != COFFER_OP_FINISH_UNDO);
	if (header && !untouched)
		holds(LAW_STEP_IS_FINAL, a != COFFER_OP_FINISH_PLACEMENT &&
						 a != COFFER_OP_FINISH_UNDO &&
						 a != COFFER_OP_REDO_PLACEMENT);
}

static void check_abort(const struct coffer_facts *f, enum coffer_operation a)
{
	const bool can = coffer_can_abort(a, f);
	const bool at_start = f->conversion.pointer == geometry.length;

	if (can && f->header.newest >= 0)
		holds(LAW_ABORT_NO_STEP, f->kind_error == 0 && f->kind == COFFER_LUKS2_CONVERTING &&
						 at_start && f->device_size >= geometry.device);
	if (can && f->header.newest < 0)
		holds(LAW_ABORT_NO_STEP, f->transition_error == 0 && f->segment_intact &&
						 f->device_size >= geometry.device);
	if (can && a == COFFER_OP_DAMAGED)
		holds(LAW_ABORT_SEGMENT, (f->segment_intact && f->masks_complete &&
						 f->has_record[COFFER_RECORD_PLACE]) ||
						 has_lost_record(f));
	if (f->header.newest >= 0 && f->kind_error == 0 && f->kind == COFFER_LUKS2_CONVERTING &&
		at_start && f->device_size >= geometry.device)
		holds(LAW_ABORT_WHEN, can);
	if (a == COFFER_OP_START || a == COFFER_OP_FINALIZE || a == COFFER_OP_SYNC_FINAL ||
		a == COFFER_OP_ENCRYPTED || a == COFFER_OP_OTHER || a == COFFER_OP_SHRUNK)
		holds(LAW_ABORT_NOT, !can);
}

static void check_volume(const struct coffer_facts *f)
{
	const char *uuid = coffer_volume_uuid(f);
	const char *wanted = f->header.newest >= 0	? f->header.uuid
			     : f->transition_error == 0 ? f->transition.uuid
							: NULL;

	holds(LAW_VOLUME, uuid == wanted);
}

static void check_facts(const struct coffer_facts *f)
{
	char why[512];
	const enum coffer_operation a = coffer_decide(f, why, sizeof(why));

	current = f;
	current_action = a;
	seen[a]++;
	check_actions(f, a);
	check_abort(f, a);
	check_volume(f);
	holds(LAW_WHY, (a == COFFER_OP_DAMAGED) == (why[0] != '\0'));
	/* Bug: said of a disk whose transition block was not yet complete, which abort refuses. */
	if (strstr(why, "'coffer abort' undoes the placement"))
		holds(LAW_ABORT_PROMISED, coffer_can_abort(a, f));
}

/* The same facts, but block 0 is a living filesystem's: the second copy may be bytes of a file. */
static void check_block_0(struct coffer_facts *f)
{
	char why[512];

	if (f->header.newest != 1)
		return;
	f->block_0_is_ours = false;
	holds(LAW_BLOCK_0, coffer_decide(f, why, sizeof(why)) == COFFER_OP_START &&
				   !coffer_can_abort(COFFER_OP_START, f));
	holds(LAW_VOLUME, !coffer_volume_uuid(f));
	f->block_0_is_ours = true;
}

/* The same facts, but each copy is of a volume of its own. */
static void check_two_volumes(struct coffer_facts *f)
{
	enum coffer_operation a;
	char why[512];

	if (!f->header.copy[0].usable || !f->header.copy[1].usable)
		return;
	f->header.two_volumes = true;
	a = coffer_decide(f, why, sizeof(why));
	holds(LAW_TWO_VOLUMES, a == COFFER_OP_DAMAGED && why[0] && !coffer_can_abort(a, f));
	f->header.two_volumes = false;
}

/* --- the facts, one digit of a number each --- */

static unsigned int digit(uint64_t *n, unsigned int base)
{
	const unsigned int d = (unsigned int)(*n % base);

	*n /= base;
	return d;
}

/* The two copies: nothing, a magic, or usable; and the newest of those that are usable. */
static bool set_copies(struct coffer_facts *f, uint64_t *n)
{
	static const uint64_t seqids[][2] = {{7, 7}, {8, 7}, {7, 8}, {9, 7}, {7, 9}};
	const unsigned int s = digit(n, ARRAY_SIZE(seqids));

	for (unsigned int i = 0; i < 2; i++) {
		const unsigned int state = digit(n, 3);

		f->header.copy[i].magic = state > 0;
		f->header.copy[i].usable = state > 1;
		f->header.copy[i].seqid = state > 0 ? seqids[s][i] : 0;
	}
	if (f->header.copy[0].usable && f->header.copy[1].usable)
		f->header.newest = f->header.copy[1].seqid > f->header.copy[0].seqid;
	else
		f->header.newest = f->header.copy[0].usable ? 0 : f->header.copy[1].usable ? 1 : -1;
	f->other_converting = digit(n, 2);
	return !f->other_converting || (f->header.copy[0].usable && f->header.copy[1].usable);
}

/* What a header tells; without one it tells nothing. */
static bool set_header(struct coffer_facts *f, uint64_t *n)
{
	static const uint64_t pointers[] = {0, 4 * MIB, 30 * MIB, 56 * MIB - 512, 56 * MIB};
	const unsigned int kind = digit(n, 3), error = digit(n, 2), hot = digit(n, 2);
	const unsigned int pointer = digit(n, ARRAY_SIZE(pointers));

	f->kind = (enum coffer_luks2_kind)kind;
	f->kind_error = error ? -EBADMSG : 0;
	(void)snprintf(f->kind_reason.msg, sizeof(f->kind_reason.msg), "absurd");
	f->conversion.hot = hot;
	f->conversion.pointer = pointers[pointer];
	if (f->kind == COFFER_LUKS2_CONVERTING)
		f->conversion.geometry = geometry;
	else if (hot || pointer) /* only a conversion has these */
		return false;
	return f->header.newest >= 0 || (kind == 0 && !error && !hot && !pointer);
}

static bool set_placement(struct coffer_facts *f, uint64_t *n)
{
	static const int errors[] = {-ENODATA, 0, -EBADMSG};
	static const uint64_t seqids[] = {6, 7, 8, 9};

	f->transition_error = errors[digit(n, ARRAY_SIZE(errors))];
	f->transition.kind = (enum coffer_placement_kind)(COFFER_RECORD_PLACE + digit(n, 3));
	f->transition.geometry = geometry;
	for (unsigned int kind = COFFER_RECORD_PLACE; kind <= COFFER_RECORD_UNDO; kind++) {
		f->has_record[kind] = digit(n, 2);
		f->record[kind].seqid = seqids[digit(n, ARRAY_SIZE(seqids))];
		f->record[kind].geometry = geometry;
		if (!f->has_record[kind] && f->record[kind].seqid != seqids[0])
			return false;
	}
	f->segment_intact = digit(n, 2);
	f->image_intact = digit(n, 2);
	f->masks_complete = digit(n, 2);
	f->body.unexpected = digit(n, 2);
	/* Without a transition block its kind means nothing. */
	return f->transition_error == 0 || f->transition.kind == COFFER_RECORD_PLACE;
}

static void set_size(struct coffer_facts *f, uint64_t *n)
{
	static const uint64_t sizes[] = {64 * MIB, 64 * MIB - 512, 65 * MIB};

	f->device_size = sizes[digit(n, ARRAY_SIZE(sizes))];
}

int main(void)
{
	uint64_t combinations = 0;
	static struct coffer_facts f; /* of 20 KiB */

	/* The copies and the header in the outer loops, so that whole ranges that make no sense
	 * are left out at once. */
	for (uint64_t copies = 0; copies < 5 * 3 * 3 * 2; copies++) {
		for (uint64_t header = 0; header < UINT64_C(3) * 2 * 2 * 5 * 3; header++) {
			uint64_t n = copies;

			memset(&f, 0, sizeof(f));
			f.block_0_is_ours = true;
			if (!set_copies(&f, &n))
				continue;
			n = header;
			set_size(&f, &n);
			if (!set_header(&f, &n))
				continue;
			for (uint64_t rest = 0; rest < UINT64_C(3) * 3 * 8 * 8 * 16; rest++) {
				n = rest;
				if (!set_placement(&f, &n))
					continue;
				check_facts(&f);
				check_block_0(&f);
				check_two_volumes(&f);
				combinations++;
			}
		}
	}
	note("%" PRIu64 " combinations", combinations);
	for (unsigned int l = 0; l < N_LAWS; l++)
		ok(tally[l].broken == 0 && tally[l].applied > 0, "%s", law_names[l]);
	for (unsigned int a = COFFER_OP_START; a < COFFER_N_OPERATIONS; a++)
		ok(seen[a] > 0, "%s: is decided %" PRIu64 " times",
			coffer_operation_name((enum coffer_operation)a), seen[a]);
	return done_testing();
}
