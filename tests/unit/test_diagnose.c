/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test_diagnose.c - from facts to findings and repair actions
 *
 * From facts to findings and actions: each kind of action, and each single fact
 * without which it must not be in the list. */
#include "rescue/diagnose.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/findings.h"
#include "tap.h"

#define MIB (UINT64_C(1) << 20)
#define L   (56 * MIB)

static const struct coffer_geometry geometry = {64 * MIB, 4 * MIB, L, 512};

/* A disk to be judged. */
struct disk {
	enum coffer_operation operation;
	struct coffer_facts facts;
	struct coffer_moved_segment segment;
	bool plain_luks2, unknown_content, no_key;
	struct coffer_lost_copy lost;
};

/* --- what the disks have -------------------------------------------------------------------- */

static void both_usable(struct disk *d)
{
	d->facts.header.copy[0] = d->facts.header.copy[1] =
		(struct coffer_copy_facts){.magic = true, .usable = true, .seqid = 9};
	d->facts.header.agree = true;
	d->facts.header.newest = 0;
	d->facts.conversion.geometry = geometry;
	d->facts.conversion.pointer = L;
}

static void torn_copy(struct disk *d, int which, bool magic)
{
	both_usable(d);
	d->facts.header.copy[which].usable = false;
	d->facts.header.copy[which].magic = magic;
	d->facts.header.agree = false;
	d->facts.header.newest = !which;
}

/* A moved segment that cryptsetup has half overwritten, and all that proves it. */
static void torn_segment(struct disk *d)
{
	d->segment.has_copy = d->segment.mirror_agrees = d->segment.unconverted = true;
	d->segment.geometry = geometry;
	d->segment.fs = (struct coffer_fs){.kind = COFFER_FS_EXT, .end = L, .super = 1024};
	d->segment.different = 40;
	d->segment.traces = 1;
}

/* Block 0 tells of a placement, and its record and all that it names are there. */
static void half_placed(struct disk *d)
{
	d->facts.transition_error = 0;
	d->facts.transition.kind = COFFER_RECORD_PLACE;
	d->facts.transition.geometry = geometry;
	d->facts.transition.sectors = 0xff;
	d->facts.has_record[COFFER_RECORD_PLACE] = true;
	d->facts.segment_intact = d->facts.image_intact = true;
}

static void living(struct disk *d, enum coffer_fs_kind kind)
{
	d->segment.has_plain = true;
	d->segment.plain.kind = kind;
}

/* --- rows ---------------------------------------------------------------------------------------
 */

static void nothing(struct disk *d)
{
	(void)d;
}

static void unknown_content(struct disk *d)
{
	d->unknown_content = true;
}

/* Of no header anything, but random bytes. */
static void ambiguous_segment(struct disk *d)
{
	torn_segment(d);
	living(d, COFFER_FS_EXT);
	d->segment.same_fs = true;
	d->segment.traces = 0;
	d->segment.may_be_header = 3;
}

static void saving(struct disk *d)
{
	ambiguous_segment(d);
	d->segment.saved = true;
}

static void nothing_in_place(struct disk *d)
{
	ambiguous_segment(d);
	d->segment.has_plain = d->segment.same_fs = false;
}

static void map_in_segment(struct disk *d)
{
	nothing_in_place(d);
	d->segment.used_map = true;
}

static void segment_lost(struct disk *d)
{
	unknown_content(d);
	d->segment.start_lost = true;
	d->segment.fs = (struct coffer_fs){.kind = COFFER_FS_EXT, .mirror = 4096, .super = 1024};
}

/* An old filesystem's spare superblock, after something that is known. */
static void old_mirror(struct disk *d)
{
	segment_lost(d);
	d->unknown_content = false;
}

static void magic_only(struct disk *d)
{
	d->plain_luks2 = true;
}

static void no_trace(struct disk *d)
{
	torn_segment(d);
	d->segment.traces = 0;
}

/* Only the second copy is usable, of a finished volume, and some of the first one is left. */
static void first_lost(struct disk *d)
{
	torn_copy(d, 0, false);
	d->facts.kind = COFFER_LUKS2_ENCRYPTED;
	d->plain_luks2 = true;
	d->lost = (struct coffer_lost_copy){.same = 3};
}

static void first_zeroed(struct disk *d)
{
	first_lost(d);
	d->lost = (struct coffer_lost_copy){.empty = true};
}

static void first_lost_converting(struct disk *d)
{
	first_lost(d);
	d->facts.kind = COFFER_LUKS2_CONVERTING;
	d->facts.conversion.pointer = L / 2;
}

static void first_lost_placed(struct disk *d)
{
	first_lost_converting(d);
	d->facts.conversion.pointer = L;
}

static void first_unlike(struct disk *d)
{
	first_lost(d);
	d->lost.same = 0;
}

static void first_under_filesystem(struct disk *d)
{
	first_lost(d);
	d->lost.foreign = true;
}

static void first_lost_contradicting(struct disk *d)
{
	first_lost(d);
	d->facts.kind_error = -EBADMSG;
}

static void first_lost_segment_copy(struct disk *d)
{
	first_lost(d);
	no_trace(d);
}

static void torn_with_magic(struct disk *d)
{
	torn_segment(d);
	d->plain_luks2 = true;
}

static void stale_record(struct disk *d)
{
	d->segment.has_stale_record = true;
	d->segment.stale.geometry = geometry;
	d->segment.stale.image_size = 300 * 1024;
}

static void no_key(struct disk *d)
{
	both_usable(d);
	d->no_key = true;
}

static void first_torn(struct disk *d)
{
	torn_copy(d, 0, true);
}

static void second_torn(struct disk *d)
{
	torn_copy(d, 1, true);
}

static void step_done_second_torn(struct disk *d)
{
	torn_copy(d, 1, true);
	d->facts.conversion.pointer = L / 2;
}

static void step_done_second_behind(struct disk *d)
{
	step_done_second_torn(d);
	d->facts.header.copy[1] =
		(struct coffer_copy_facts){.magic = true, .usable = true, .seqid = 8};
}

static void hot(struct disk *d)
{
	both_usable(d);
	d->facts.conversion.hot = true;
}

static void end_pending(struct disk *d)
{
	both_usable(d);
	d->facts.conversion.pointer = 0;
}

static void never_written(struct disk *d)
{
	torn_segment(d);
	torn_copy(d, 1, false);
}

static void never_written_no_copy(struct disk *d)
{
	torn_copy(d, 1, false);
}

static void keyslot(struct disk *d)
{
	both_usable(d);
	torn_segment(d);
	d->segment.keyslot_torn = true;
}

static void keyslot_used(struct disk *d)
{
	keyslot(d);
	d->segment.used = true;
}

static void copy_lost(struct disk *d)
{
	both_usable(d);
	d->segment.copy_lost = true;
	d->segment.geometry = geometry;
}

static void copy_unknown(struct disk *d)
{
	both_usable(d);
	d->segment.copy_unknown = true;
	d->segment.geometry = geometry;
}

static void copy_incomplete(struct disk *d)
{
	both_usable(d);
	torn_segment(d);
	d->segment.unsaved = 2;
}

static void copy_differs_behind(struct disk *d)
{
	both_usable(d);
	torn_segment(d);
	d->segment.unsaved_beyond = 2;
}

static void masked_image_lost(struct disk *d)
{
	half_placed(d);
	d->facts.image_intact = false;
	d->facts.masks_complete = true;
}

static void used_under_mark(struct disk *d)
{
	half_placed(d);
	d->facts.body.unexpected = 5;
}

static void used_but_placed(struct disk *d)
{
	used_under_mark(d);
	d->facts.body.placed = 1;
}

static void used_segment_gone(struct disk *d)
{
	used_under_mark(d);
	d->facts.segment_intact = false;
}

static void used_after_abort(struct disk *d)
{
	used_under_mark(d);
	d->facts.transition.kind = COFFER_RECORD_UNDONE;
}

/* Bug: repair put the copy back that the record's own hash had disproved. */
static void copy_disproved(struct disk *d)
{
	half_placed(d);
	torn_segment(d);
	d->facts.segment_intact = false;
}

static void abort_disproved(struct disk *d)
{
	copy_disproved(d);
	d->facts.has_record[COFFER_RECORD_PLACE] = false;
	d->facts.has_record[COFFER_RECORD_UNDO] = true;
}

static void record_lost(struct disk *d)
{
	copy_disproved(d);
	d->facts.has_record[COFFER_RECORD_PLACE] = false;
}

static void neither_usable(struct disk *d)
{
	d->facts.header.copy[0].magic = d->facts.header.copy[1].magic = true;
}

static void mark(struct disk *d, enum coffer_fs_kind kind, uint32_t sectors)
{
	half_placed(d);
	d->facts.segment_intact = false;
	d->facts.transition.kind = COFFER_RECORD_UNDONE;
	d->facts.transition.sectors = sectors;
	living(d, kind);
}

static void mark_btrfs(struct disk *d)
{
	mark(d, COFFER_FS_BTRFS, 0xff);
}

static void mark_ext4(struct disk *d)
{
	mark(d, COFFER_FS_EXT, 0x3);
}

static void mark_ext4_super(struct disk *d)
{
	mark(d, COFFER_FS_EXT, 0x7);
}

static void mark_xfs(struct disk *d)
{
	mark(d, COFFER_FS_XFS, 0x1);
}

static void mark_of_place(struct disk *d)
{
	mark_btrfs(d);
	d->facts.transition.kind = COFFER_RECORD_PLACE;
}

static void hot_other(struct disk *d)
{
	both_usable(d);
	d->facts.conversion.hot = true;
}

#define NONE COFFER_N_REPAIRS
enum ends {
	GOES,
	NO_SAFE_REPAIR,
	FOREIGN
};

static const struct row {
	const char *name;
	enum coffer_operation operation;
	void (*make)(struct disk *d);
	const char *finding; /* the last one; NULL: there is none */
	enum coffer_repair_kind want[2];
	enum ends ends;
	const char *advice; /* a part of the last one's; "": any */
} rows[] = {
	{"plain", COFFER_OP_START, nothing, NULL, {NONE, NONE}, GOES, ""},
	{"plain, torn moved segment", COFFER_OP_START, torn_segment, "moved-segment-torn",
		{COFFER_REPAIR_UNDO_STOCK_PLACEMENT, NONE}, GOES, ""},
	{"plain, torn moved segment, a magic", COFFER_OP_START, torn_with_magic,
		"moved-segment-torn", {COFFER_REPAIR_UNDO_STOCK_PLACEMENT, NONE}, GOES, ""},
	{"plain, another one after it", COFFER_OP_START, no_trace, "moved-segment-copy",
		{NONE, NONE}, GOES, ""},
	{"plain, a magic only", COFFER_OP_START, magic_only, "header-copies", {NONE, NONE},
		NO_SAFE_REPAIR, "coffer header restore"},
	{"first copy lost", COFFER_OP_START, first_lost, "header-primary",
		{COFFER_REPAIR_RECOVER_COPY, NONE}, GOES, ""},
	{"first copy zeroed", COFFER_OP_START, first_zeroed, "header-primary",
		{COFFER_REPAIR_RECOVER_COPY, NONE}, GOES, ""},
	{"first copy lost, converting", COFFER_OP_START, first_lost_converting, "conversion",
		{COFFER_REPAIR_RECOVER_COPY, COFFER_REPAIR_RESUME}, GOES, ""},
	{"first copy lost, nothing converted", COFFER_OP_START, first_lost_placed, "header-primary",
		{NONE, NONE}, NO_SAFE_REPAIR, "cryptsetup repair"},
	{"first copy lost, nothing of it is left", COFFER_OP_START, first_unlike, "header-primary",
		{NONE, NONE}, NO_SAFE_REPAIR, "cryptsetup repair"},
	{"first copy lost, a filesystem's signature", COFFER_OP_START, first_under_filesystem,
		"header-primary", {NONE, NONE}, NO_SAFE_REPAIR, "cryptsetup repair"},
	{"first copy lost, metadata contradict themselves", COFFER_OP_START,
		first_lost_contradicting, "header-primary", {NONE, NONE}, NO_SAFE_REPAIR,
		"cryptsetup repair"},
	{"first copy lost, segment copy not wiped", COFFER_OP_START, first_lost_segment_copy,
		"header-primary", {COFFER_REPAIR_RECOVER_COPY, NONE}, GOES, ""},
	{"plain, ambiguous moved segment", COFFER_OP_START, ambiguous_segment,
		"moved-segment-ambiguous", {NONE, NONE}, NO_SAFE_REPAIR, "Ambiguous moved segment"},
	{"plain, ambiguous, no filesystem in place", COFFER_OP_START, nothing_in_place,
		"moved-segment-ambiguous", {NONE, NONE}, NO_SAFE_REPAIR, "Ambiguous moved segment"},
	{"plain, a map of what is used", COFFER_OP_START, map_in_segment, "moved-segment-ambiguous",
		{NONE, NONE}, NO_SAFE_REPAIR, "Ambiguous moved segment"},
	{"plain, coffer was saving", COFFER_OP_START, saving, NULL, {NONE, NONE}, GOES, ""},
	{"plain, its start is lost", COFFER_OP_START, segment_lost, "moved-segment-lost",
		{NONE, NONE}, NO_SAFE_REPAIR, "backup superblock"},
	{"plain, an old spare superblock", COFFER_OP_START, old_mirror, NULL, {NONE, NONE}, GOES,
		""},
	{"Bug: plain, something unknown: no advice", COFFER_OP_START, unknown_content, "content",
		{NONE, NONE}, GOES, "coffer header restore disk"},
	{"plain, a record", COFFER_OP_START, stale_record, "stale-record",
		{COFFER_REPAIR_ERASE_RECORD, NONE}, GOES, ""},
	{"partly placed", COFFER_OP_REDO_PLACEMENT, half_placed, "placement",
		{COFFER_REPAIR_REDO_PLACEMENT, COFFER_REPAIR_RESUME}, GOES, ""},
	{"placed, its record left", COFFER_OP_FINISH_PLACEMENT, both_usable, "placement",
		{COFFER_REPAIR_FINISH_PLACEMENT, COFFER_REPAIR_RESUME}, GOES, ""},
	{"abort half done", COFFER_OP_FINISH_UNDO, both_usable, "undo",
		{COFFER_REPAIR_FINISH_UNDO, NONE}, GOES, ""},
	{"placed", COFFER_OP_CONVERT, both_usable, "conversion", {COFFER_REPAIR_RESUME, NONE}, GOES,
		""},
	{"placed, no key", COFFER_OP_CONVERT, no_key, "conversion", {NONE, NONE}, GOES,
		"coffer encrypt disk"},
	{"placed, first copy torn by a commit", COFFER_OP_CONVERT, first_torn, "conversion",
		{COFFER_REPAIR_RESUME, NONE}, GOES, ""},
	{"placed, a copy never written", COFFER_OP_CONVERT, never_written, "header-copies",
		{COFFER_REPAIR_UNDO_STOCK_PLACEMENT, NONE}, GOES, ""},
	{"placed, a copy never written, no segment copy", COFFER_OP_CONVERT, never_written_no_copy,
		"header-copies", {NONE, NONE}, NO_SAFE_REPAIR, ""},
	{"placed, keyslot torn", COFFER_OP_CONVERT, keyslot, "keyslot",
		{COFFER_REPAIR_UNDO_STOCK_PLACEMENT, NONE}, GOES, ""},
	{"placed, keyslot torn, used since", COFFER_OP_CONVERT, keyslot_used, "keyslot",
		{NONE, NONE}, NO_SAFE_REPAIR, "recovery.md"},
	{"placed, segment copy not known", COFFER_OP_CONVERT, copy_unknown, "moved-segment-copy",
		{NONE, NONE}, NO_SAFE_REPAIR, "Incomplete copy"},
	{"placed, segment copy not complete", COFFER_OP_CONVERT, copy_incomplete,
		"moved-segment-copy", {NONE, NONE}, NO_SAFE_REPAIR, "Incomplete copy"},
	{"placed, segment copy differs after the header", COFFER_OP_CONVERT, copy_differs_behind,
		"moved-segment-copy", {NONE, NONE}, NO_SAFE_REPAIR, "Incomplete copy"},
	{"placed, segment copy lost", COFFER_OP_CONVERT, copy_lost, "moved-segment-copy",
		{NONE, NONE}, NO_SAFE_REPAIR, "Incomplete copy"},
	{"inside stock's first step", COFFER_OP_CONVERT, hot, "conversion",
		{COFFER_REPAIR_RESUME, NONE}, GOES, ""},
	{"converting, second copy torn", COFFER_OP_CONVERT, step_done_second_torn, "conversion",
		{COFFER_REPAIR_RECOVER_COPY, COFFER_REPAIR_RESUME}, GOES, ""},
	{"converting, second copy out of date", COFFER_OP_CONVERT, step_done_second_behind,
		"conversion", {COFFER_REPAIR_RECOVER_COPY, COFFER_REPAIR_RESUME}, GOES, ""},
	{"end pending", COFFER_OP_FINALIZE, end_pending, "wipe-pending",
		{COFFER_REPAIR_RESUME, NONE}, GOES, ""},
	{"encrypted", COFFER_OP_ENCRYPTED, both_usable, NULL, {NONE, NONE}, GOES, ""},
	{"encrypted, first copy torn", COFFER_OP_ENCRYPTED, first_torn, "header-primary",
		{COFFER_REPAIR_RECOVER_COPY, NONE}, GOES, ""},
	{"encrypted, second copy torn", COFFER_OP_ENCRYPTED, second_torn, "header-secondary",
		{COFFER_REPAIR_RECOVER_COPY, NONE}, GOES, ""},
	{"encrypted, a copy that converts", COFFER_OP_SYNC_FINAL, step_done_second_behind,
		"header-secondary", {COFFER_REPAIR_RECOVER_COPY, NONE}, GOES, ""},
	{"damaged, image lost under the masked block", COFFER_OP_DAMAGED, masked_image_lost,
		"damage", {COFFER_REPAIR_UNDO_PLACEMENT, NONE}, GOES, ""},
	{"damaged, used under the transition block", COFFER_OP_DAMAGED, used_under_mark, "damage",
		{COFFER_REPAIR_UNDO_BLOCK_0, NONE}, GOES, ""},
	{"damaged, used, but partly placed", COFFER_OP_DAMAGED, used_but_placed, "damage",
		{NONE, NONE}, NO_SAFE_REPAIR, "copy the disk"},
	{"damaged, used, segment copy gone", COFFER_OP_DAMAGED, used_segment_gone, "damage",
		{NONE, NONE}, NO_SAFE_REPAIR, "copy the disk"},
	{"damaged, used, the transition block of an abort", COFFER_OP_DAMAGED, used_after_abort,
		"damage", {NONE, NONE}, NO_SAFE_REPAIR, "copy the disk"},
	{"damaged, segment copy disproved", COFFER_OP_DAMAGED, copy_disproved, "damage",
		{NONE, NONE}, NO_SAFE_REPAIR, "copy the disk"},
	{"damaged, segment copy disproved in an abort", COFFER_OP_DAMAGED, abort_disproved,
		"damage", {NONE, NONE}, NO_SAFE_REPAIR, "copy the disk"},
	{"damaged, record lost, moved segment proved by the rest", COFFER_OP_DAMAGED, record_lost,
		"damage", {COFFER_REPAIR_UNDO_STOCK_PLACEMENT, NONE}, GOES, ""},
	{"damaged, torn moved segment", COFFER_OP_DAMAGED, torn_segment, "damage",
		{COFFER_REPAIR_UNDO_STOCK_PLACEMENT, NONE}, GOES, ""},
	{"damaged, neither copy usable", COFFER_OP_DAMAGED, neither_usable, "damage", {NONE, NONE},
		NO_SAFE_REPAIR, "coffer header restore"},
	{"damaged, an idle transition block on btrfs", COFFER_OP_DAMAGED, mark_btrfs, "damage",
		{COFFER_REPAIR_ERASE_TRANSITION, NONE}, GOES, ""},
	{"damaged, an idle transition block on ext4", COFFER_OP_DAMAGED, mark_ext4, "damage",
		{COFFER_REPAIR_ERASE_TRANSITION, NONE}, GOES, ""},
	{"damaged, a transition block on ext4's superblock", COFFER_OP_DAMAGED, mark_ext4_super,
		"damage", {NONE, NONE}, NO_SAFE_REPAIR, "copy the disk"},
	{"damaged, a transition block on xfs", COFFER_OP_DAMAGED, mark_xfs, "damage", {NONE, NONE},
		NO_SAFE_REPAIR, "copy the disk"},
	{"damaged, a mark of a placement on btrfs", COFFER_OP_DAMAGED, mark_of_place, "damage",
		{NONE, NONE}, NO_SAFE_REPAIR, "copy the disk"},
	{"cryptsetup's", COFFER_OP_OTHER, both_usable, "conversion", {NONE, NONE}, FOREIGN,
		"cryptsetup reencrypt --resume-only disk"},
	{"cryptsetup's, inside a step", COFFER_OP_OTHER, hot_other, "conversion", {NONE, NONE},
		FOREIGN, "cryptsetup repair disk"},
	{"smaller", COFFER_OP_SHRUNK, both_usable, "size", {NONE, NONE}, FOREIGN, "its old size"},
};

static void check_row(const struct row *row, bool seen[COFFER_N_REPAIRS])
{
	struct disk *d = calloc(1, sizeof(*d));
	struct coffer_findings l = {0};
	struct coffer_diagnosis got;
	const struct coffer_finding *last;
	bool good;
	int r;

	if (!d)
		abort();
	d->operation = row->operation;
	d->facts.device_size = geometry.device;
	d->facts.header.newest = -1;
	d->facts.transition_error = -ENODATA;
	row->make(d);
	r = coffer_diagnose(&(const struct coffer_symptoms){.device = "disk",
				    .operation = d->operation,
				    .facts = &d->facts,
				    .segment = &d->segment,
				    .plain_luks2 = d->plain_luks2,
				    .unknown_content = d->unknown_content,
				    .lost = d->lost,
				    .reason = "the reason",
				    .can_resume = !d->no_key},
		&l, &got);
	last = l.n > 0 ? &l.items[l.n - 1] : NULL;
	good = r == 0 && !row->finding == !last;
	if (good && last)
		good = strcmp(coffer_finding_name(last->id), row->finding) == 0 &&
		       (last->code != 0) == (row->ends != GOES) &&
		       (last->outcome == COFFER_NEEDS_REPAIR) == (row->ends == NO_SAFE_REPAIR) &&
		       (last->outcome == COFFER_REFUSED) == (row->ends == FOREIGN) &&
		       strstr(last->advice, row->advice);
	for (size_t i = 0; i < ARRAY_SIZE(row->want); i++) {
		good = good && (i < got.n_actions ? got.actions[i].kind : NONE) == row->want[i];
		if (row->want[i] != NONE)
			seen[row->want[i]] = true;
	}
	for (size_t i = 0; i < got.n_actions; i++)
		good = good && got.actions[i].text[0];
	ok(good && got.n_actions <= ARRAY_SIZE(row->want), "%s: %s%s%s%s%s", row->name,
		last ? coffer_finding_name(last->id) : "nothing found",
		got.n_actions > 0 ? ", " : "",
		got.n_actions > 0 ? coffer_repair_kind_name(got.actions[0].kind) : "",
		got.n_actions > 1 ? ", then " : "",
		got.n_actions > 1 ? coffer_repair_kind_name(got.actions[1].kind) : "");
	if (!good && last)
		note("%s: %s (%s)", coffer_finding_name(last->id), last->text, last->advice);
	coffer_findings_free(&l);
	free(d);
}

int main(void)
{
	bool seen[COFFER_N_REPAIRS] = {false};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		check_row(&rows[i], seen);
	for (enum coffer_repair_kind k = 0; k < COFFER_N_REPAIRS; k++)
		ok(seen[k], "a row asks for %s", coffer_repair_kind_name(k));
	ok(strcmp(coffer_repair_kind_name(COFFER_N_REPAIRS), "unknown") == 0, "no such action");
	return done_testing();
}
