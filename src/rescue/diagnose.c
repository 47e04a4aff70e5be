/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* diagnose.c - what is wrong with a disk, and what may be done about it: pure, as decide.h is */
#include "rescue/diagnose.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/findings.h"
#include "base/quote.h"
#include "convert/preflight.h"
#include "convert/stage.h"

static const char *const names[] = {
	[COFFER_REPAIR_RECOVER_COPY] = "recover-header-copy",
	[COFFER_REPAIR_REDO_PLACEMENT] = "redo-placement",
	[COFFER_REPAIR_FINISH_PLACEMENT] = "finish-placement",
	[COFFER_REPAIR_FINISH_UNDO] = "finish-undo",
	[COFFER_REPAIR_UNDO_PLACEMENT] = "undo-placement",
	[COFFER_REPAIR_UNDO_BLOCK_0] = "undo-block-0",
	[COFFER_REPAIR_UNDO_STOCK_PLACEMENT] = "undo-stock-placement",
	[COFFER_REPAIR_ERASE_TRANSITION] = "erase-transition-block",
	[COFFER_REPAIR_ERASE_RECORD] = "erase-record",
	[COFFER_REPAIR_RESUME] = "resume",
};
static_assert(ARRAY_SIZE(names) == COFFER_N_REPAIRS, "every action has a name");

const char *coffer_repair_kind_name(enum coffer_repair_kind k)
{
	return (unsigned int)k < COFFER_N_REPAIRS ? names[k] : "unknown";
}

/* What diagnose builds up; r remembers the first failure. */
struct build {
	const struct coffer_symptoms *s;
	struct coffer_findings *l;
	struct coffer_diagnosis *d;
	int r;
};

__attribute__((format(printf, 4, 5))) static void find(
	struct build *b, enum coffer_finding_id id, enum coffer_verdict v, const char *fmt, ...)
{
	char text[512];
	va_list ap;
	int r;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	r = coffer_findings_print(b->l, id, v, "%s", text);
	if (b->r == 0)
		b->r = r;
}

__attribute__((format(printf, 3, 4))) static void act(
	struct build *b, enum coffer_repair_kind kind, const char *fmt, ...)
{
	struct coffer_repair_action *a = &b->d->actions[b->d->n_actions];
	va_list ap;

	if (b->d->n_actions == COFFER_MAX_REPAIRS) { /* a mistake in here; nobody is to act on it */
		b->r = -EOVERFLOW;
		return;
	}
	a->kind = kind;
	va_start(ap, fmt);
	(void)vsnprintf(a->text, sizeof(a->text), fmt, ap);
	va_end(ap);
	b->d->n_actions++;
}

/* --- actions that several findings lead to --------------------------------------------------- */

static void act_resume(struct build *b)
{
	if (!b->s->can_resume) {
		coffer_findings_advise(b->l, "coffer encrypt %s", b->s->device);
		return;
	}
	act(b, COFFER_REPAIR_RESUME,
		"go on with the conversion to its end, as 'coffer encrypt' does; this needs a "
		"passphrase or key");
}

static void act_restore_head(struct build *b, const struct coffer_moved_segment *v)
{
	if (b->s->facts->transition_error == 0)
		act(b, COFFER_REPAIR_UNDO_STOCK_PLACEMENT,
			"put the first %" PRIu64 " bytes back from their copy at byte %" PRIu64
			": the %s filesystem is back as it was, not encrypted; what is "
			"overwritten is a header that opens nothing",
			v->geometry.shift, coffer_segment_copy_offset(&v->geometry),
			coffer_fs_name(v->fs.kind));
	else
		act(b, COFFER_REPAIR_UNDO_STOCK_PLACEMENT,
			"put the first %" PRIu64 " bytes back from their copy at byte %" PRIu64
			": the %s filesystem is back, not encrypted; let its checker look at it, "
			"for nothing proves that cryptsetup's copy is complete; what is "
			"overwritten is kept from byte %" PRIu64 " on",
			v->geometry.shift, coffer_segment_copy_offset(&v->geometry),
			coffer_fs_name(v->fs.kind), coffer_gap_offset(&v->geometry));
}

/* A header copy that is not like the other one. @sync: it may be written before a key was seen to
 * open the volume. Not while nothing is converted: then the place of a copy that cryptsetup never
 * wrote may be the only one that a part of the head has. The conversion's first commit does it. */
static void check_copies(struct build *b, bool sync)
{
	const struct coffer_facts *f = b->s->facts;
	const int other = !f->header.newest;

	if (f->header.agree)
		return;
	if (f->header.copy[other].whole)
		find(b, COFFER_FINDING_HEADER_COPIES, COFFER_VERDICT_BAD,
			"the %s header copy has sequence number %" PRIu64 ", the %s one %" PRIu64,
			other ? "second" : "first", f->header.copy[other].seqid,
			other ? "first" : "second", f->header.copy[f->header.newest].seqid);
	else
		find(b, COFFER_FINDING_HEADER_COPIES, COFFER_VERDICT_BAD,
			f->header.copy[other].refused
				? "the %s header copy says what libcryptsetup refuses"
				: "the %s header copy is not whole",
			other ? "second" : "first");
	if (sync)
		act(b, COFFER_REPAIR_RECOVER_COPY,
			"write the %s header copy as the whole one (sequence number %" PRIu64
			") says; the whole one is not touched before the other is safe on the "
			"disk",
			other ? "second" : "first", f->header.copy[f->header.newest].seqid);
}

/* --- one for each state of the disk ------------------------------------------------------------
 */

bool coffer_lost_copy_is_ours(const struct coffer_lost_copy *l)
{
	return l->checked && !l->foreign && (l->empty || l->same > 0);
}

/* Is the second copy this disk's own, and not a part of a file? Then some of the first one is left,
 * or it was zeroed, and there is nothing else. While nothing is converted, a tool that was cut may
 * have left it so, and the first copy's place may hold the head. */
static bool first_copy_is_lost(const struct coffer_symptoms *s)
{
	const struct coffer_facts *f = s->facts;

	return coffer_lost_copy_is_ours(&s->lost) && f->header.newest == 1 && f->kind_error == 0 &&
	       (f->kind != COFFER_LUKS2_CONVERTING ||
		       f->conversion.pointer < f->conversion.geometry.length);
}

static void diagnose_lost_copy(struct build *b)
{
	const struct coffer_facts *f = b->s->facts;

	if (b->s->lost.empty)
		find(b, COFFER_FINDING_HEADER_COPIES, COFFER_VERDICT_BAD,
			"the first header copy was overwritten with zeros; the second one is whole "
			"(sequence number %" PRIu64 ")",
			f->header.copy[1].seqid);
	else
		find(b, COFFER_FINDING_HEADER_COPIES, COFFER_VERDICT_BAD,
			"the first header copy has lost its magic, %" PRIu64
			" sectors of its metadata are left; the second one is whole (sequence "
			"number %" PRIu64 ")",
			b->s->lost.same, f->header.copy[1].seqid);
	act(b, COFFER_REPAIR_RECOVER_COPY,
		"write the first header copy as the second one says (sequence number %" PRIu64
		"); the second one is not touched before the first is safe on the disk",
		f->header.copy[1].seqid);
	if (f->kind == COFFER_LUKS2_CONVERTING) {
		find(b, COFFER_FINDING_CONVERSION, COFFER_VERDICT_BAD,
			"the second copy tells of a conversion under way");
		act_resume(b);
	}
}

/* A person can look at files; whoever made them knows which of the two it is. Where no filesystem
 * is in place, something may have been encrypted, and to put the copy back would destroy the keys.
 */
static void remedy_doubt(struct build *b, const struct coffer_moved_segment *v)
{
	const uint64_t copy = coffer_segment_copy_offset(&v->geometry), n = v->geometry.shift;
	char name[160]; /* three of them fit: a command that is cut short is another command */
	const char *quote;

	if (v->used_map) {
		coffer_findings_advise(b->l,
			"keep a copy of the disk; restore a backup of the header (coffer header "
			"restore)");
		return;
	}
	if (!v->has_plain) {
		coffer_findings_advise(b->l,
			"keep a copy of the disk; if anything on it was encrypted, or a conversion "
			"was under way, its header is damaged: 'coffer header restore' puts a "
			"backup of it back, and to put the copy over it would destroy the keys; if "
			"not, the first bytes are in the copy");
		return;
	}
	coffer_quote(b->s->device, name, sizeof(name));
	if (strcmp(name, "...") == 0)
		(void)snprintf(name, sizeof(name), "DISK");
	quote = coffer_quote_around(name);
	coffer_findings_advise(b->l,
		"keep a copy of the disk, then look at the filesystem with its checker and at its "
		"files; if they are whole, erase the copy: %sdd if=/dev/zero of=%s bs=64K "
		"iflag=count_bytes oflag=seek_bytes conv=notrunc,fsync seek=%" PRIu64
		" count=%" PRIu64
		"%s; if not, put it over the first bytes: %sdd if=%s of=%s bs=64K "
		"iflag=skip_bytes,count_bytes conv=notrunc,fsync skip=%" PRIu64 " count=%" PRIu64
		"%s",
		quote, name, copy, n, quote, quote, name, name, copy, n, quote);
}

static void diagnose_plain(struct build *b)
{
	const struct coffer_moved_segment *v = b->s->segment;
	char why[512], ambiguity[512];

	if (coffer_moved_segment_is_torn(v, why, sizeof(why))) {
		find(b, COFFER_FINDING_MOVED_SEGMENT_TORN, COFFER_VERDICT_BAD,
			"%" PRIu64 " sectors of the first %" PRIu64
			" bytes were overwritten with a LUKS2 header, as cryptsetup leaves it when "
			"the power fails; the %s filesystem they belong to is whole otherwise",
			v->different, v->geometry.shift, coffer_fs_name(v->fs.kind));
		act_restore_head(b, v);
		return;
	}
	if (first_copy_is_lost(b->s)) {
		diagnose_lost_copy(b);
		return;
	}
	if (coffer_moved_segment_is_ambiguous(v, ambiguity, sizeof(ambiguity))) {
		find(b, COFFER_FINDING_MOVED_SEGMENT_AMBIGUOUS, COFFER_VERDICT_BAD, "%s",
			ambiguity);
		remedy_doubt(b, v);
		b->d->no_safe_repair = true;
		return;
	}
	if (b->s->plain_luks2) {
		const bool second = b->s->facts->header.newest == 1;

		find(b, COFFER_FINDING_HEADER_COPIES, COFFER_VERDICT_BAD, "%s%s%s",
			second ? "the first copy of the LUKS2 header is lost"
			       : "there is a magic of LUKS2, but no header to be trusted",
			why[0] ? "; " : "", why);
		if (second)
			coffer_findings_advise(b->l,
				"its second copy is whole: if it is this disk's own, 'cryptsetup "
				"repair' writes the first one from it; keep a copy of the disk "
				"first");
		else
			coffer_findings_advise(b->l,
				"restore a backup of the header (coffer header restore), or "
				"wipe "
				"the magic (wipefs) if it is none; keep a copy of the disk first");
		b->d->no_safe_repair = true;
		return;
	}
	if (why[0])
		find(b, COFFER_FINDING_MOVED_SEGMENT_COPY, COFFER_VERDICT_NOTE,
			"%s; it is left alone", why);
	if (b->s->unknown_content && v->start_lost) {
		find(b, COFFER_FINDING_MOVED_SEGMENT_LOST, COFFER_VERDICT_BAD,
			"nothing that is known is at the start, but a spare superblock of %s "
			"lies at byte %" PRIu64 ", and nowhere a copy of the first bytes",
			coffer_fs_name(v->fs.kind), v->fs.mirror + v->fs.super);
		coffer_findings_advise(b->l,
			"keep a copy of the disk; if that filesystem is not an old one, its "
			"checker may save what is left by that superblock");
		b->d->no_safe_repair = true;
	} else if (b->s->unknown_content)
		find(b, COFFER_FINDING_CONTENT, COFFER_VERDICT_NOTE,
			"it holds nothing that is known: %s", COFFER_LOST_HEADER);
	if (v->has_stale_record) {
		find(b, COFFER_FINDING_STALE_RECORD, COFFER_VERDICT_NOTE,
			"the record of a placement that never began, or was taken back, lies at "
			"byte %" PRIu64 ", behind the filesystem's end",
			coffer_record_offset(&v->stale.geometry, COFFER_RECORD_PLACE));
		act(b, COFFER_REPAIR_ERASE_RECORD,
			"erase that record and the image behind it, %" PRIu64
			" bytes of the unused reserve; the filesystem is not touched",
			COFFER_BLOCK + v->stale.image_size);
	}
}

static void diagnose_placing(struct build *b)
{
	if (b->s->operation == COFFER_OP_REDO_PLACEMENT) {
		find(b, COFFER_FINDING_PLACEMENT, COFFER_VERDICT_BAD,
			"the LUKS2 header was half placed when the run was cut");
		act(b, COFFER_REPAIR_REDO_PLACEMENT,
			"place the header again from its image; the first bytes are safe in their "
			"copy at byte %" PRIu64,
			coffer_segment_copy_offset(&b->s->facts->transition.geometry));
	} else {
		find(b, COFFER_FINDING_PLACEMENT, COFFER_VERDICT_BAD,
			"the LUKS2 header is placed, but the record of that was not erased");
		act(b, COFFER_REPAIR_FINISH_PLACEMENT,
			"write both header copies again and erase the record");
	}
	act_resume(b);
}

static void remedy_incomplete(struct build *b, const struct coffer_moved_segment *v)
{
	char command[512];

	coffer_quote_command("cryptsetup reencrypt --resume-only --force-offline-reencrypt",
		b->s->device, command, sizeof(command));
	if (v->copy_unknown)
		coffer_findings_advise(b->l,
			"if it is right that nobody knows what was there, go on with %s; if it was "
			"a filesystem, cryptsetup was cut before that copy was on the disk, and "
			"these bytes are lost; keep a copy of the disk first",
			command);
	else if (!v->copy_lost && v->unsaved == 0)
		coffer_findings_advise(b->l,
			"if the volume was used, go on with %s; if it was not, what the copy lacks "
			"may still be behind the header; keep a copy of the disk first",
			command);
	else
		coffer_findings_advise(b->l,
			"what the header has overwritten and the copy lacks is lost; keep a copy "
			"of the disk, then 'wipefs -a' and the filesystem's own checker, with its "
			"spare superblock, may save the rest");
}

static void diagnose_placed(struct build *b)
{
	const struct coffer_facts *f = b->s->facts;
	const struct coffer_moved_segment *v = b->s->segment;
	/* A commit leaves a magic in either copy, at every instant. */
	const bool copy_torn = !f->header.agree && !f->header.copy[!f->header.newest].magic;
	char why[512];

	if (v->keyslot_torn || copy_torn) {
		if (v->keyslot_torn)
			find(b, COFFER_FINDING_KEYSLOT, COFFER_VERDICT_BAD,
				"a keyslot is half written, so no key opens the volume; that is "
				"how cryptsetup leaves it when the power fails");
		else
			find(b, COFFER_FINDING_HEADER_COPIES, COFFER_VERDICT_BAD,
				"only one header copy was ever written; that is how cryptsetup "
				"leaves it when the power fails");
		if (coffer_moved_segment_is_torn(v, why, sizeof(why))) {
			act_restore_head(b, v);
			return;
		}
		if (why[0])
			coffer_findings_advise(b->l, "%s", why);
		b->d->no_safe_repair = true;
		return;
	}
	if (coffer_moved_segment_copy_is_incomplete(v, why, sizeof(why))) {
		find(b, COFFER_FINDING_MOVED_SEGMENT_COPY, COFFER_VERDICT_BAD,
			"the header is there, and nothing is encrypted yet, but %s", why);
		remedy_incomplete(b, v);
		b->d->no_safe_repair = true;
		return;
	}
	check_copies(b, false);
	find(b, COFFER_FINDING_CONVERSION, COFFER_VERDICT_BAD,
		"the LUKS2 header is there, and nothing is encrypted yet");
	act_resume(b);
}

static void diagnose_converting(struct build *b)
{
	const struct coffer_conversion *c = &b->s->facts->conversion;

	check_copies(b, true);
	if (c->pointer == 0)
		find(b, COFFER_FINDING_WIPE_PENDING, COFFER_VERDICT_BAD,
			"all data is encrypted, but the copy of the first bytes is not wiped and "
			"the final header not written");
	else
		find(b, COFFER_FINDING_CONVERSION, COFFER_VERDICT_BAD,
			"%" PRIu64 " of %" PRIu64 " bytes are encrypted%s",
			c->geometry.length - c->pointer, c->geometry.length,
			c->hot ? ", and cryptsetup was cut inside a step" : "");
	act_resume(b);
}

static void diagnose_encrypted(struct build *b)
{
	if (b->s->operation == COFFER_OP_SYNC_FINAL)
		find(b, COFFER_FINDING_CONVERSION, COFFER_VERDICT_NOTE,
			"the conversion is done; its final header is in one copy only");
	check_copies(b, true);
}

/* The marks of coffer in block 0 lie where this filesystem keeps nothing. */
static bool mark_is_idle(const struct coffer_facts *f, const struct coffer_moved_segment *v)
{
	uint32_t idle = 0;

	if (v->plain.kind == COFFER_FS_BTRFS)
		idle = 0xff;
	else if (v->plain.kind == COFFER_FS_EXT)
		idle = 0x3; /* the superblock begins at 1024 */
	return v->has_plain && (f->transition.sectors & ~idle) == 0;
}

static bool head_lives_on(const struct coffer_facts *f)
{
	return f->header.newest < 0 && f->transition_error == 0 &&
	       f->transition.kind == COFFER_RECORD_PLACE && f->has_record[COFFER_RECORD_PLACE] &&
	       f->segment_intact && f->image_intact && f->unexpected > 0 && f->placed == 0;
}

/* The record of the copy's own placement names another hash. Part of what the copy lost may still
 * be in its old place, and be lost by putting the copy over it. */
static bool copy_is_disproved(const struct coffer_facts *f)
{
	return f->transition_error == 0 &&
	       (f->has_record[COFFER_RECORD_PLACE] || f->has_record[COFFER_RECORD_UNDO]) &&
	       !f->segment_intact;
}

static void diagnose_damaged(struct build *b)
{
	const struct coffer_facts *f = b->s->facts;
	const struct coffer_moved_segment *v = b->s->segment;
	char why[512] = "";

	find(b, COFFER_FINDING_DAMAGE, COFFER_VERDICT_BAD, "%s", b->s->reason);
	if (f->header.two_volumes) {
		coffer_findings_advise(b->l,
			"keep a copy of the disk before any program that mends headers reads it: "
			"cryptsetup goes by the one with the higher number and overwrites the "
			"other; if there is a backup of the right one, it comes back with 'coffer "
			"header restore'");
		b->d->no_safe_repair = true;
	} else if (coffer_can_abort(COFFER_OP_DAMAGED, f)) {
		act(b, COFFER_REPAIR_UNDO_PLACEMENT,
			"give the plain filesystem back, as 'coffer abort' does: its first bytes "
			"%s their copy at byte %" PRIu64,
			/* with the record their hash is lost as well */
			f->header.newest >= 0 ? "come back from" : "are whole in",
			coffer_segment_copy_offset(&f->transition.geometry));
	} else if (head_lives_on(f)) {
		act(b, COFFER_REPAIR_UNDO_BLOCK_0,
			"put back the sectors of block 0 that hold coffer's mark, and nothing "
			"else: the header was never placed, and the filesystem was used since");
	} else if (f->header.newest < 0 && f->transition_error == 0 &&
		   f->transition.kind == COFFER_RECORD_UNDONE && mark_is_idle(f, v)) {
		act(b, COFFER_REPAIR_ERASE_TRANSITION,
			"erase coffer's mark from block 0: the %s filesystem is back and keeps "
			"nothing there",
			coffer_fs_name(v->plain.kind));
	} else if (f->header.newest < 0 && !copy_is_disproved(f) &&
		   coffer_moved_segment_is_torn(v, why, sizeof(why))) {
		act_restore_head(b, v);
	} else {
		if (f->header.newest < 0 && why[0])
			coffer_findings_advise(
				b->l, "%s; keep a copy of the disk before you try anything", why);
		else
			coffer_findings_advise(b->l,
				"keep a copy of the disk before you try anything; a backup of the "
				"header, if there is one, comes back with 'coffer "
				"header restore'");
		b->d->no_safe_repair = true;
	}
}

static void diagnose_foreign(struct build *b)
{
	const struct coffer_facts *f = b->s->facts;

	b->d->foreign = true;
	if (b->s->operation == COFFER_OP_OTHER) {
		find(b, COFFER_FINDING_CONVERSION, COFFER_VERDICT_BAD, "%s", f->kind_reason.msg);
		coffer_findings_advise(b->l, "%s %s",
			coffer_next_command(coffer_next_of(COFFER_STAGE_OTHER, f)), b->s->device);
		return;
	}
	find(b, COFFER_FINDING_SIZE, COFFER_VERDICT_BAD,
		"the device has %" PRIu64 " bytes now, but holds a conversion of %" PRIu64,
		f->device_size,
		f->header.newest >= 0 ? f->conversion.geometry.device
				      : f->transition.geometry.device);
	coffer_findings_advise(b->l, "give it its size back, then run the same command again");
}

int coffer_diagnose(
	const struct coffer_symptoms *s, struct coffer_findings *l, struct coffer_diagnosis *ret)
{
	struct coffer_diagnosis d = {0};
	struct build b = {.s = s, .l = l, .d = &d};

	switch (s->operation) {
	case COFFER_OP_START:
		diagnose_plain(&b);
		break;
	case COFFER_OP_REDO_PLACEMENT:
	case COFFER_OP_FINISH_PLACEMENT:
		diagnose_placing(&b);
		break;
	case COFFER_OP_CONVERT:
		if (s->facts->conversion.pointer == s->facts->conversion.geometry.length &&
			!s->facts->conversion.hot)
			diagnose_placed(&b);
		else
			diagnose_converting(&b);
		break;
	case COFFER_OP_FINALIZE:
		diagnose_converting(&b);
		break;
	case COFFER_OP_SYNC_FINAL:
	case COFFER_OP_ENCRYPTED:
		diagnose_encrypted(&b);
		break;
	case COFFER_OP_FINISH_UNDO:
		find(&b, COFFER_FINDING_UNDO, COFFER_VERDICT_BAD,
			"an abort was half done when it was cut");
		act(&b, COFFER_REPAIR_FINISH_UNDO,
			"finish the abort: the plain filesystem's first bytes come back from their "
			"copy");
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
	*ret = d;
	return b.r;
}
