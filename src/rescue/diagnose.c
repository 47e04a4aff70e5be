/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* diagnose.c - from the facts of a disk to findings and repair actions: pure, as decide.h is */
#include "rescue/diagnose.h"

#include <assert.h>
#include <errno.h>

#include "base/cleanup.h"
#include "base/findings.h"
#include "header/judge_copies.h"

static const struct {
	const char *name, *text;
} kinds[] = {
	[COFFER_REPAIR_RECOVER_COPY] = {"recover-header-copy",
		"rewrite both header copies from the newest usable one, which stays untouched "
		"until the other one is durable"},
	[COFFER_REPAIR_REDO_PLACEMENT] = {"redo-placement",
		"place the header again from its image; the moved segment is safe in its copy"},
	[COFFER_REPAIR_FINISH_PLACEMENT] = {"finish-placement",
		"write both header copies again, and erase the record of the placement"},
	[COFFER_REPAIR_FINISH_UNDO] = {"finish-undo",
		"finish the abort: write the moved segment back from its copy"},
	[COFFER_REPAIR_UNDO_PLACEMENT] = {"undo-placement",
		"undo the placement, as 'coffer abort' does: write the moved segment back from its "
		"copy"},
	[COFFER_REPAIR_UNDO_BLOCK_0] = {"undo-block-0",
		"write back only the sectors of block 0 that hold the transition block: the header "
		"was never placed, and the filesystem has been used since"},
	[COFFER_REPAIR_UNDO_STOCK_PLACEMENT] = {"undo-stock-placement",
		"write the moved segment back from its copy, and run the filesystem's checker on "
		"the result; unless this overwrites coffer's own header, the overwritten bytes are "
		"kept in the reserve (see recovery.md)"},
	[COFFER_REPAIR_ERASE_TRANSITION] = {"erase-transition-block",
		"erase the transition block: the filesystem keeps nothing there"},
	[COFFER_REPAIR_ERASE_RECORD] = {"erase-record",
		"erase the record and its image, which lie in the unused reserve"},
	[COFFER_REPAIR_RESUME] = {"resume",
		"resume the conversion to its end, as 'coffer encrypt' does; needs a passphrase or "
		"key"},
};
static_assert(ARRAY_SIZE(kinds) == COFFER_N_REPAIRS, "every action has a name");

const char *coffer_repair_kind_name(enum coffer_repair_kind k)
{
	return (unsigned int)k < COFFER_N_REPAIRS ? kinds[k].name : "unknown";
}

struct build {
	const struct coffer_symptoms *s;
	struct coffer_findings *l;
	struct coffer_diagnosis *d;
	int r; /* the first failure */
};

static void find(struct build *b, enum coffer_text t, const struct coffer_argument *arguments,
	const char *const *remedy)
{
	const int r = coffer_findings_add(b->l, t, arguments, remedy);

	b->r = b->r ? b->r : r;
}

/* No action is safe for the last finding. */
static void block(struct build *b)
{
	if (b->r < 0)
		return;
	b->l->items[b->l->n - 1].code = EUCLEAN;
	b->l->items[b->l->n - 1].outcome = COFFER_NEEDS_REPAIR;
}

static void act(struct build *b, enum coffer_repair_kind kind)
{
	struct coffer_repair_action *a = &b->d->actions[b->d->n_actions];

	if (b->d->n_actions == COFFER_MAX_REPAIRS) { /* a bug: nothing may be done then */
		b->r = -EOVERFLOW;
		return;
	}
	*a = (struct coffer_repair_action){.kind = kind, .text = kinds[kind].text};
	b->d->n_actions++;
}

/* --- findings and actions of several stages --- */

/* A conversion that resume finishes; without a key the finding names the command. */
static void find_conversion(
	struct build *b, enum coffer_text t, const struct coffer_argument *arguments)
{
	const bool resume = b->s->can_resume;

	find(b, t, arguments, resume ? NULL : COFFER_RUN("coffer", "encrypt", b->s->device));
	if (resume)
		act(b, COFFER_REPAIR_RESUME);
}

static void find_progress(struct build *b)
{
	find_conversion(b, COFFER_TEXT_REPAIR_CONVERTING,
		COFFER_WITH(COFFER_ARG_SIZE("done", b->s->converted),
			COFFER_ARG_SIZE("total", b->s->total)));
}

/* A header copy that differs from the newest one. */
static void diagnose_copies(struct build *b, bool recover)
{
	const struct coffer_copies *c = &b->s->facts->header;
	int r;

	if (c->agree)
		return;
	r = coffer_judge_copy(b->s->facts, !c->newest, NULL, b->l);
	b->r = b->r ? b->r : r;
	if (recover)
		act(b, COFFER_REPAIR_RECOVER_COPY);
}

/* What speaks against a torn moved segment, where something speaks for it. */
static void note_reason(struct build *b, const char *why)
{
	if (why[0])
		find(b, COFFER_TEXT_REPAIR_SEGMENT_COPY,
			COFFER_WITH(COFFER_ARG_TEXT("reason", why)), NULL);
}

/* --- nothing begun --- */

bool coffer_lost_copy_is_ours(const struct coffer_lost_copy *l)
{
	return !l->foreign && (l->empty || l->same > 0);
}

/* Is the second copy this disk's, and not part of a file? Then remains of the first one or zeros
 * are in its place, and nothing else. Not while nothing is converted: an interrupted tool may have
 * left it so, and that place may still hold the moved segment. */
static bool first_copy_is_lost(const struct coffer_symptoms *s)
{
	const struct coffer_facts *f = s->facts;

	return coffer_lost_copy_is_ours(&s->lost) && f->header.newest == 1 && f->kind_error == 0 &&
	       (f->kind != COFFER_LUKS2_CONVERTING ||
		       f->conversion.pointer < f->conversion.geometry.length);
}

static void diagnose_lost_copy(struct build *b)
{
	find(b, COFFER_TEXT_REPAIR_COPY_LOST,
		COFFER_WITH(COFFER_ARG_NUMBER("sectors", b->s->lost.same),
			COFFER_ARG_NUMBER("seqid", b->s->facts->header.copy[1].seqid)),
		NULL);
	act(b, COFFER_REPAIR_RECOVER_COPY);
	if (b->s->facts->kind == COFFER_LUKS2_CONVERTING)
		find_progress(b);
}

static void diagnose_content(struct build *b)
{
	const struct coffer_moved_segment *v = b->s->segment;

	if (b->s->unknown_content && v->start_lost)
		find(b, COFFER_TEXT_REPAIR_SEGMENT_LOST,
			COFFER_WITH(COFFER_ARG_TEXT("filesystem", coffer_fs_name(v->fs.kind)),
				COFFER_ARG_NUMBER("offset", v->fs.mirror + v->fs.super)),
			NULL);
	else if (b->s->unknown_content && b->s->facts->device_size < COFFER_SUPERBLOCK_BYTES)
		find(b, COFFER_TEXT_REPAIR_CONTENT_SMALL,
			COFFER_WITH(COFFER_ARG_SIZE("device_size", b->s->facts->device_size)),
			NULL);
	else if (b->s->unknown_content)
		find(b, COFFER_TEXT_REPAIR_CONTENT_UNKNOWN, NULL,
			COFFER_RUN("coffer", "header", "restore", b->s->device,
				"--header-backup-file", "FILE"));
	if (v->has_stale_record) {
		find(b, COFFER_TEXT_REPAIR_STALE_RECORD,
			COFFER_WITH(COFFER_ARG_NUMBER("offset",
				coffer_record_offset(&v->stale.geometry, COFFER_RECORD_PLACE))),
			NULL);
		act(b, COFFER_REPAIR_ERASE_RECORD);
	}
}

static void diagnose_plain(struct build *b)
{
	const struct coffer_moved_segment *v = b->s->segment;
	char why[512], ambiguity[512];

	if (coffer_moved_segment_is_torn(v, why, sizeof(why))) {
		find(b, COFFER_TEXT_REPAIR_SEGMENT_TORN,
			COFFER_WITH(COFFER_ARG_NUMBER("sectors", v->different),
				COFFER_ARG_NUMBER("bytes", v->geometry.shift),
				COFFER_ARG_TEXT("filesystem", coffer_fs_name(v->fs.kind))),
			NULL);
		act(b, COFFER_REPAIR_UNDO_STOCK_PLACEMENT);
		return;
	}
	if (first_copy_is_lost(b->s)) {
		diagnose_lost_copy(b);
		return;
	}
	if (coffer_moved_segment_is_ambiguous(v, ambiguity, sizeof(ambiguity))) {
		find(b, COFFER_TEXT_REPAIR_SEGMENT_AMBIGUOUS,
			COFFER_WITH(COFFER_ARG_TEXT("reason", ambiguity),
				COFFER_ARG_NUMBER(
					"offset", coffer_segment_copy_offset(&v->geometry)),
				COFFER_ARG_NUMBER("size", v->geometry.shift)),
			NULL);
		return;
	}
	note_reason(b, why);
	if (b->s->plain_luks2 && b->s->facts->header.newest == 1)
		find(b, COFFER_TEXT_REPAIR_SECOND_COPY, NULL,
			COFFER_RUN("cryptsetup", "repair", b->s->device));
	else if (!b->s->plain_luks2)
		diagnose_content(b);
	else
		find(b, COFFER_TEXT_REPAIR_NO_HEADER, NULL,
			COFFER_RUN("coffer", "header", "restore", b->s->device,
				"--header-backup-file", "FILE"));
}

/* --- begun --- */

static void diagnose_placing(struct build *b)
{
	if (b->s->operation == COFFER_OP_REDO_PLACEMENT)
		act(b, COFFER_REPAIR_REDO_PLACEMENT);
	else
		act(b, COFFER_REPAIR_FINISH_PLACEMENT);
	find_conversion(b, COFFER_TEXT_REPAIR_PLACING, NULL);
}

static void diagnose_placed(struct build *b)
{
	const struct coffer_copies *c = &b->s->facts->header;
	const struct coffer_moved_segment *v = b->s->segment;
	/* A commit leaves a magic in both copies, at every instant. */
	const bool copy_torn = !c->agree && !c->copy[!c->newest].magic;
	bool torn;
	char why[512];

	if (v->keyslot_torn || copy_torn) {
		torn = coffer_moved_segment_is_torn(v, why, sizeof(why));
		if (!torn)
			note_reason(b, why);
		find(b,
			v->keyslot_torn ? COFFER_TEXT_REPAIR_KEYSLOT_TORN
					: COFFER_TEXT_REPAIR_COPY_UNWRITTEN,
			NULL, NULL);
		if (torn)
			act(b, COFFER_REPAIR_UNDO_STOCK_PLACEMENT);
		else
			block(b);
		return;
	}
	if (coffer_moved_segment_copy_is_incomplete(v, why, sizeof(why))) {
		find(b, COFFER_TEXT_REPAIR_SEGMENT_INCOMPLETE,
			COFFER_WITH(COFFER_ARG_TEXT("reason", why)), NULL);
		return;
	}
	/* No copy is rewritten before a key has opened the volume: where cryptsetup never wrote
	 * one, that place may be the only one that holds a part of the moved segment. The
	 * conversion's first commit does it. */
	diagnose_copies(b, false);
	find_conversion(b, COFFER_TEXT_REPAIR_PLACED, NULL);
}

static void diagnose_converting(struct build *b)
{
	diagnose_copies(b, true);
	if (b->s->facts->conversion.pointer == 0)
		find_conversion(b, COFFER_TEXT_REPAIR_WIPE_PENDING, NULL);
	else
		find_progress(b);
}

/* --- damaged --- */

/* Does the filesystem keep nothing where the transition block is? */
static bool transition_is_unused(const struct coffer_facts *f, const struct coffer_moved_segment *v)
{
	uint32_t unused = 0;

	if (v->plain.kind == COFFER_FS_BTRFS)
		unused = 0xff;
	else if (v->plain.kind == COFFER_FS_EXT)
		unused = 0x3; /* the superblock begins at 1024 */
	return v->has_plain && (f->transition.sectors & ~unused) == 0;
}

/* Was the filesystem used under a transition block, with no header placed? */
static bool is_used_under_transition(const struct coffer_facts *f)
{
	return f->transition.kind == COFFER_RECORD_PLACE && f->has_record[COFFER_RECORD_PLACE] &&
	       f->segment_intact && f->image_intact && f->body.unexpected > 0 &&
	       f->body.placed == 0;
}

/* Does the record of the copy's own placement have another hash? What the copy lost may still be in
 * its old place, and would be overwritten. */
static bool copy_is_disproved(const struct coffer_facts *f)
{
	return f->transition_error == 0 &&
	       (f->has_record[COFFER_RECORD_PLACE] || f->has_record[COFFER_RECORD_UNDO]) &&
	       !f->segment_intact;
}

static void act_on_damage(struct build *b)
{
	const struct coffer_facts *f = b->s->facts;
	const struct coffer_moved_segment *v = b->s->segment;
	const bool no_header = f->header.newest < 0;
	const bool transition = no_header && f->transition_error == 0;
	char why[512] = "";

	if (f->header.two_volumes)
		return;
	if (coffer_can_abort(COFFER_OP_DAMAGED, f))
		act(b, COFFER_REPAIR_UNDO_PLACEMENT);
	else if (transition && is_used_under_transition(f))
		act(b, COFFER_REPAIR_UNDO_BLOCK_0);
	else if (transition && f->transition.kind == COFFER_RECORD_UNDONE &&
		 transition_is_unused(f, v))
		act(b, COFFER_REPAIR_ERASE_TRANSITION);
	else if (no_header && !copy_is_disproved(f) &&
		 coffer_moved_segment_is_torn(v, why, sizeof(why)))
		act(b, COFFER_REPAIR_UNDO_STOCK_PLACEMENT);
	else
		note_reason(b, why);
}

static void diagnose_damaged(struct build *b)
{
	act_on_damage(b);
	find(b, COFFER_TEXT_REPAIR_DAMAGE, COFFER_WITH(COFFER_ARG_TEXT("reason", b->s->reason)),
		NULL);
	if (b->d->n_actions == 0)
		block(b);
}

static void diagnose_foreign(struct build *b)
{
	struct coffer_finding f;
	int r;

	r = coffer_operation_finding(b->s->operation, b->s->facts, b->s->device, "", &f);
	if (r == 0)
		r = coffer_findings_put(b->l, &f);
	b->r = b->r ? b->r : r;
}

int coffer_diagnose(
	const struct coffer_symptoms *s, struct coffer_findings *l, struct coffer_diagnosis *ret)
{
	const struct coffer_conversion *c = &s->facts->conversion;
	struct build b = {.s = s, .l = l, .d = ret};

	*ret = (struct coffer_diagnosis){0};
	switch (s->operation) {
	case COFFER_OP_START:
		diagnose_plain(&b);
		break;
	case COFFER_OP_REDO_PLACEMENT:
	case COFFER_OP_FINISH_PLACEMENT:
		diagnose_placing(&b);
		break;
	case COFFER_OP_CONVERT:
		if (c->pointer == c->geometry.length && !c->hot)
			diagnose_placed(&b);
		else
			diagnose_converting(&b);
		break;
	case COFFER_OP_FINALIZE:
		diagnose_converting(&b);
		break;
	case COFFER_OP_SYNC_FINAL:
	case COFFER_OP_ENCRYPTED:
		diagnose_copies(&b, true);
		break;
	case COFFER_OP_FINISH_UNDO:
		find(&b, COFFER_TEXT_REPAIR_UNDOING, NULL, NULL);
		act(&b, COFFER_REPAIR_FINISH_UNDO);
		break;
	case COFFER_OP_DAMAGED:
		diagnose_damaged(&b);
		break;
	case COFFER_OP_OTHER:
	case COFFER_OP_SHRUNK:
	case COFFER_OP_UNKNOWN:
	case COFFER_N_OPERATIONS:
		diagnose_foreign(&b);
		break;
	}
	return b.r;
}
