/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* crashjudge.c - what must come out of a disk after a power cut */
#include "crashjudge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "convert/disk.h"
#include "lib/on_device.h"
#include "convert/moved_segment.h"
#include "report/status.h"
#include "rescue/repair.h"
#include "stock.h"

struct coffer_facts state_facts(struct lab *l, enum coffer_operation *operation)
{
	struct crashdev *d = lab_device(l);

	d->dev.read_only = true;
	return facts_of_device(d, operation);
}

static int encrypt_state(struct lab *l, struct coffer_err *e)
{
	const struct coffer_encrypt_options o = options(l->row);

	return coffer_encrypt_dev(&lab_device(l)->dev, &o, NULL, e);
}

static int abort_state(struct lab *l, struct coffer_err *e)
{
	const struct coffer_encrypt_options o = options(l->row);

	return coffer_abort_dev(&lab_device(l)->dev, &o, NULL, e);
}

static bool has_fs(const struct lab *l)
{
	return l->row->content != CRASH_MARKERS;
}

/* --- encrypt, abort, stock --- */

/* What a run asks first: is there something that an interruption has left, and nobody may write
 * over?
 */
static void check_beginning(struct lab *l)
{
	struct coffer_dev *d = &lab_device(l)->dev;
	struct coffer_disk disk = {0};
	struct coffer_moved_segment v = {0};
	struct coffer_err e = {0};

	layer_reset(&l->work);
	if (coffer_disk_examine(d, &disk, &e) < 0 || coffer_moved_segment_read(&disk, &v, &e) < 0 ||
		coffer_moved_segment_refuse(&disk, &v, &e) < 0)
		lab_fail(l, "it may not begin anew", e.msg);
	coffer_disk_reset(&disk);
	coffer_dev_close(d);
}

/* Where a run begins from the beginning, what it does then is what it does on any disk: it is run
 * on a part of these. That it may begin, and that the filesystem is back, or was never touched, is
 * asked of each. */
static bool begins_anew(struct lab *l, enum coffer_operation operation)
{
	char why[256] = "";

	if (operation != COFFER_OP_START && operation != COFFER_OP_FINISH_UNDO)
		return false;
	if (operation == COFFER_OP_START && !lab_plain_equals(l, l->state.mem, why))
		lab_fail(l, "nothing was begun", why);
	if (operation == COFFER_OP_START)
		check_beginning(l);
	l->tally->untouched += operation == COFFER_OP_START;
	return l->tally->states % l->effort.anew != 0;
}

static void check_encrypt(struct lab *l, enum coffer_operation operation)
{
	struct coffer_err e = {0};
	char why[256] = "";

	if (begins_anew(l, operation))
		return;
	layer_reset(&l->work);
	/* Where all is done, there is nothing to run. */
	if (operation != COFFER_OP_ENCRYPTED && encrypt_state(l, &e) < 0)
		lab_fail(l, coffer_operation_name(operation), e.msg);
	else if (!lab_finished_well(l, l->work.mem, why))
		lab_fail(l, coffer_operation_name(operation), why);
	else
		l->tally->coffer++;
}

static void check_abort(
	struct lab *l, enum coffer_operation operation, const struct coffer_facts *f)
{
	struct coffer_err e = {0};
	char why[256] = "";

	if (!coffer_can_abort(operation, f))
		return;
	if (abort_state(l, &e) < 0)
		lab_fail(l, "abort", e.msg);
	else if (!lab_plain_equals(l, l->work.mem, why))
		lab_fail(l, "abort", why);
	else
		l->tally->aborted++;
}

/* Stock goes on, where the header says that a conversion is under way. */
static void check_stock(struct lab *l, const struct coffer_facts *f)
{
	struct tally *t = l->tally;
	char why[256] = "libcryptsetup does not finish it";
	static unsigned int programs; /* of all scenarios */
	bool program, mend, done;

	if (f->header.newest < 0 || f->kind != COFFER_LUKS2_CONVERTING ||
		f->conversion.pointer == 0 || f->has_record[COFFER_RECORD_UNDO] ||
		t->states % l->effort.stock != 0)
		return;
	program = t->stock % l->effort.program == 0;
	/* Who is careful runs 'cryptsetup repair' first. A scenario may have one such state only.
	 */
	mend = program && programs++ % 2 == 0;
	layer_reset(&l->work);
	layer_mark(&l->work, 0, l->size);
	done = program ? oracle_stock_resume(l->work.mem, l->size, PASSWORD, mend, why)
		       : stock_resume(l->work.mem, l->size, 0);
	if (!done || !lab_volume_equals(l, l->work.mem, why) ||
		!lab_shows_nothing(l, l->work.mem, why))
		lab_fail(l,
			mend	  ? "cryptsetup repair"
			: program ? "cryptsetup"
				  : "libcryptsetup",
			why);
	else
		t->stock++;
	t->program += program;
	t->mended += mend;
}

/* --- what status and repair say of a state, and whether it is true --- */

static int repair_state(struct lab *l, bool dry_run, struct crash_log *ret_log,
	struct coffer_repair_result **ret, struct coffer_err *e)
{
	const struct coffer_repair_options o = {.device = "test-disk",
		.dry_run = dry_run,
		.threads = 1,
		.callbacks = {.passphrase = crash_ask}};
	struct crashdev *d = lab_device(l);

	d->dev.read_only = dry_run;
	d->recording = dry_run; /* a write would be in the log */
	crashdev_keep(d, ret_log);
	return coffer_repair_dev(&d->dev, &o, ret, e);
}

static bool same_actions(const struct coffer_repair_result *a, const struct coffer_repair_result *b)
{
	bool same = a->n_actions == b->n_actions && a->findings.n == b->findings.n;

	for (size_t i = 0; same && i < a->n_actions; i++)
		same = a->actions[i].kind == b->actions[i].kind &&
		       strcmp(a->actions[i].text, b->actions[i].text) == 0;
	for (size_t i = 0; same && i < a->findings.n; i++)
		same = a->findings.items[i].id == b->findings.items[i].id &&
		       strcmp(a->findings.items[i].text, b->findings.items[i].text) == 0;
	return same;
}

/* Is the disk what its stage says: the encrypted content, or the plain one? */
static bool is_at(struct lab *l, enum coffer_stage stage, char why[256])
{
	if (stage == COFFER_STAGE_ENCRYPTED)
		return lab_volume_equals(l, l->work.mem, why);
	if (stage == COFFER_STAGE_PLAIN || stage == COFFER_STAGE_RESERVED)
		return lab_plain_equals(l, l->work.mem, why);
	(void)snprintf(why, 256, "it ended at stage %s", coffer_stage_name(stage));
	return false;
}

/* What was left behind by repair: a disk that is right and asks for nothing more. */
static bool repaired_well(struct lab *l, const struct coffer_repair_result *said,
	const struct coffer_repair_result *done, char why[256])
{
	struct coffer_repair_result *again = NULL;
	struct coffer_err e = {0};
	struct crashdev *d;
	bool good = false;

	if (!same_actions(said, done) || done->n_done != said->n_actions) {
		(void)snprintf(why, 256, "it did not do what the dry run said");
		return false;
	}
	if (!is_at(l, done->changed ? done->stage_after : said->status->stage, why))
		return false;
	d = crashdev_over(&l->work);
	d->dev.read_only = true;
	if (coffer_repair_dev(&d->dev,
		    &(struct coffer_repair_options){.device = "test-disk", .dry_run = true}, &again,
		    &e) < 0)
		(void)snprintf(why, 256, "then: %.240s", e.msg);
	else if (again->n_actions > 0)
		(void)snprintf(why, 256, "more is to be done: %.200s", again->actions[0].text);
	else
		good = true;
	coffer_repair_free(again);
	return good;
}

/* These stages were run by check_encrypt on this very state: a part of them is enough. */
static bool only_resumes(const struct lab *l, const struct coffer_repair_result *said)
{
	return said->n_actions > 0 &&
	       said->actions[said->n_actions - 1].kind == COFFER_REPAIR_RESUME &&
	       l->tally->states % (said->n_actions == 1 ? 16 : 4) != 0;
}

/* The dry run changes nothing and says what the run then does; the run does all of it. */
static void check_repair(struct lab *l)
{
	struct coffer_repair_result *said = NULL, *done = NULL;
	struct crash_log checked = {0};
	struct coffer_err e = {0};
	char why[256] = "";

	if (repair_state(l, true, &checked, &said, &e) < 0 || checked.n > 0)
		lab_fail(l, "repair --dry-run", checked.n > 0 ? "it has written" : e.msg);
	else if (only_resumes(l, said))
		l->tally->asked++;
	else if (repair_state(l, false, NULL, &done, &e) < 0)
		lab_fail(l, "repair", e.msg);
	else if (!repaired_well(l, said, done, why))
		lab_fail(l, "repair", why);
	else
		l->tally->repaired++;
	coffer_repair_free(said);
	coffer_repair_free(done);
	crash_log_free(&checked);
}

/* What the disk is, told by its bytes alone and by nothing of coffer's judgement. */
static enum coffer_stage stage_by_oracle(struct lab *l)
{
	const uint8_t *disk = l->state.mem;
	const uint64_t s = shift_of(l->row), length = l->row->length;
	const bool luks = memcmp(disk, "LUKS\xba\xbe", 6) == 0 ||
			  memcmp(disk + copy_size(l->row), "SKUL\xba\xbe", 6) == 0;
	char why[256];

	if (memcmp(disk, l->content, length) == 0)
		return has_fs(l) ? COFFER_STAGE_RESERVED : COFFER_STAGE_PLAIN;
	if (memmem(disk, 4096, "COFFER-TRANSIT", 14) || !luks)
		return COFFER_STAGE_PLACING; /* or RESTORING, in an abort */
	if (memmem(disk, 2 * copy_size(l->row), "online-reencrypt", 16))
		/* with one zone nothing but the moved segment is to be moved, and this cannot tell
		 */
		return memcmp(disk + s, l->content + s, length - s) == 0 ? COFFER_STAGE_PLACED
									 : COFFER_STAGE_CONVERTING;
	return lab_volume_equals(l, disk, why) ? COFFER_STAGE_ENCRYPTED : COFFER_STAGE_DAMAGED;
}

/* Some stages look alike to the oracle. */
static bool stage_fits(const struct lab *l, enum coffer_stage told, enum coffer_stage oracle)
{
	const bool one_zone = oracle == COFFER_STAGE_PLACED && l->row->length == shift_of(l->row);

	switch (told) {
	case COFFER_STAGE_UNDOING:
		return oracle == COFFER_STAGE_PLACING || oracle == COFFER_STAGE_PLACED;
	case COFFER_STAGE_PLACING:
		/* copies in place, the record still there */
		return oracle == COFFER_STAGE_PLACING || oracle == COFFER_STAGE_PLACED;
	case COFFER_STAGE_PLACED:
		/* the first step's data is there, its commit is not */
		return oracle == COFFER_STAGE_PLACED || oracle == COFFER_STAGE_CONVERTING;
	case COFFER_STAGE_WIPE_PENDING:
		return oracle == COFFER_STAGE_CONVERTING || oracle == COFFER_STAGE_ENCRYPTED ||
		       one_zone;
	case COFFER_STAGE_ENCRYPTED:
		/* the final header in one copy, the one before in the other */
		return oracle == COFFER_STAGE_ENCRYPTED || oracle == COFFER_STAGE_CONVERTING ||
		       one_zone;
	case COFFER_STAGE_CONVERTING:
		return oracle == COFFER_STAGE_CONVERTING || oracle == COFFER_STAGE_PLACED;
	default:
		return told == oracle;
	}
}

static bool next_fits(const struct lab *l, const struct coffer_status *s)
{
	switch (s->stage) {
	case COFFER_STAGE_PLAIN:
		return strcmp(s->next, "coffer plan test-disk") == 0;
	case COFFER_STAGE_RESERVED:
		return l->size > disk_size(l->row) ||
		       strcmp(s->next, shift_of(l->row) == MIB
					       ? "coffer encrypt --reduce-device-size 2M test-disk"
					       : "coffer encrypt test-disk") == 0;
	case COFFER_STAGE_UNDOING:
		return strcmp(s->next, "coffer abort test-disk") == 0 && s->can_abort;
	case COFFER_STAGE_ENCRYPTED:
		return strcmp(s->next, s->why[0] ? "coffer repair test-disk"
						 : "coffer verify test-disk") == 0;
	default:
		return strcmp(s->next, "coffer encrypt test-disk") == 0;
	}
}

/* The stage is the right one, and so is the command that comes next. */
static void check_status(struct lab *l)
{
	const enum coffer_stage oracle = stage_by_oracle(l);
	struct crash_log checked = {0};
	struct crashdev *d = lab_device(l);
	struct coffer_status *s = NULL;
	struct coffer_err e = {0};
	char why[256] = "";

	d->dev.read_only = true;
	d->recording = true;
	crashdev_keep(d, &checked);
	if (coffer_status_of(&d->dev, &s, NULL, NULL, &e) < 0)
		abort();
	coffer_dev_close(&d->dev);
	if (checked.n > 0)
		lab_fail(l, "status", "it has written");
	if (!stage_fits(l, s->stage, oracle)) {
		(void)snprintf(why, sizeof(why), "%s, but it is %s", coffer_stage_name(s->stage),
			coffer_stage_name(oracle));
		lab_fail(l, "status", why);
	}
	/* The other checks run on this very state, so what is left to see is that the right one of
	 * them is named. */
	if (!next_fits(l, s))
		lab_fail(l, "what comes next", s->next);
	coffer_status_free(s);
	crash_log_free(&checked);
}

/* --- the judges --- */

/* No filesystem in its place, and nothing that cryptsetup would open: only coffer knows. */
static void count_shut(struct lab *l)
{
	const uint64_t s = shift_of(l->row);

	if (memcmp(l->state.mem, l->content, s) != 0 && !oracle_loads(l->state.mem, s, l->size))
		l->tally->shut++;
}

void judge_conversion(struct lab *l)
{
	enum coffer_operation operation;
	const struct coffer_facts f = state_facts(l, &operation);

	l->tally->keyslots += f.header.newest >= 0 && lab_stray_keyslot(l, l->state.mem) > 0;
	count_shut(l);
	check_encrypt(l, operation);
	check_abort(l, operation, &f);
	if (l->tally->states % l->effort.repair == 0) {
		check_status(l);
		check_repair(l);
	}
	check_stock(l, &f);
}

/* Block 0 is the content's, and where a filesystem says what of the disk is nobody's, the record is
 * gone as well. */
static bool shows_no_mark(const struct lab *l)
{
	const uint8_t *disk = l->work.mem;
	struct coffer_record record;

	return !memmem(disk, COFFER_BLOCK, "COFFER-", 7) &&
	       (!has_fs(l) || coffer_record_decode(disk + l->row->length, &record) < 0);
}

void judge_repair(struct lab *l)
{
	struct coffer_repair_result *done = NULL;
	struct coffer_err e = {0};
	char why[256] = "";

	if (repair_state(l, false, NULL, &done, &e) < 0)
		lab_fail(l, "the next repair", e.msg);
	else if (!lab_plain_equals(l, l->work.mem, why))
		lab_fail(l, "the next repair", why);
	else if (!shows_no_mark(l))
		lab_fail(l, "the next repair", "a transition block or a record is left");
	else
		l->tally->repaired++;
	coffer_repair_free(done);
}

/* Stock may lose a part of the moved segment before anybody can help, and keeps no hash of it; or
 * leave the moved segment half overwritten with random bytes, and nothing that says whose they are.
 */
static bool nothing_tells(const struct lab *l)
{
	const uint64_t s = shift_of(l->row), c = copy_size(l->row);
	const uint64_t traces[] = {0, 4096, c, c + 4096};
	const uint8_t *disk = l->state.mem;

	if (memcmp(disk, l->content, s) == 0)
		return false;
	if (memcmp(disk + disk_size(l->row) - s, l->content, s) != 0)
		return true;
	for (size_t i = 0; i < sizeof(traces) / sizeof(traces[0]); i++)
		if (memcmp(disk + traces[i], l->content + traces[i], 512) != 0)
			return false;
	return true;
}

/* Nothing written, and each sentence true? A disk of which nothing tells what it was may be refused
 * like any that holds nothing known. */
static bool told_truly(struct lab *l, const struct coffer_err *e, size_t writes, char why[256])
{
	if (e->outcome != COFFER_NEEDS_REPAIR && !nothing_tells(l))
		(void)snprintf(why, 256, "outcome %d: %.200s", (int)e->outcome, e->msg);
	else if (writes > 0)
		(void)snprintf(why, 256, "it has written: %.200s", e->msg);
	else
		return truth_of(l, e->msg, why);
	return false;
}

/* What repair finds on a disk that encrypt refuses, and whether that is so. */
static bool repair_tells_truly(struct lab *l, char why[256])
{
	struct coffer_repair_result *said = NULL;
	struct crash_log log = {0};
	struct coffer_err e = {0};
	const int r = repair_state(l, true, &log, &said, &e);
	bool good = true;

	if (!said) {
		(void)snprintf(why, 256, "repair: %.200s", e.msg);
		good = false;
	}
	for (size_t i = 0; good && i < said->findings.n; i++)
		good = truth_of(l, said->findings.items[i].text, why) &&
		       truth_of(l, said->findings.items[i].advice, why);
	for (size_t i = 0; good && i < said->n_actions; i++)
		good = truth_of(l, said->actions[i].text, why);
	if (good && r < 0)
		good = told_truly(l, &e, crash_log_writes(&log), why);
	coffer_repair_free(said);
	crash_log_free(&log);
	return good;
}

void judge_statement(struct lab *l)
{
	const struct coffer_encrypt_options o = options(l->row);
	struct crashdev *d = lab_device(l);
	struct crash_log log = {0};
	struct coffer_err e = {0};
	char why[256] = "";
	int r;

	count_shut(l);
	d->recording = true;
	crashdev_keep(d, &log);
	r = coffer_encrypt_dev(&d->dev, &o, NULL, &e);
	if (r == 0 && lab_volume_equals(l, l->work.mem, why))
		l->tally->coffer++;
	else if (r == 0 && nothing_tells(l))
		l->tally->gone++;
	else if (r == 0)
		lab_fail(l, "encrypt", why);
	else if (!told_truly(l, &e, crash_log_writes(&log), why) || !repair_tells_truly(l, why))
		lab_fail(l, "the statement", why);
	else
		l->tally->told++;
	crash_log_free(&log);
}
