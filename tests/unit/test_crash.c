/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test_crash.c - cut the power in everything that writes to a disk, and get the data back
 *
 * Each row of the table is a run to cut; lib/explore.h has the rest. "make crash DEEP=1" takes all
 * states instead of a choice of them, and more random ones. */
#include <stdlib.h>
#include <string.h>

#include "crashstart.h"
#include "explore.h"
#include "tap.h"

/* --- runs that are no single verb --- */

static void append(struct crash_log *log, const struct crash_op *op)
{
	struct crash_op copy = *op;

	copy.data = NULL;
	if (op->n > 0) {
		copy.data = malloc(op->n);
		if (!copy.data)
			abort();
		memcpy(copy.data, op->data, op->n);
	}
	log->ops = realloc(log->ops, (log->n + 1) * sizeof(*log->ops));
	if (!log->ops)
		abort();
	log->ops[log->n++] = copy;
}

/* The run on @disk from the operation @from on is killed at @k, what it has written lies in a cache
 * only, and a second run reads that and begins. */
static void kill_at(const struct row *row, const struct layer *disk, const struct crash_log *first,
	size_t from, size_t k, struct traces *ret)
{
	enum {
		SECOND_RUN = 8 /* operations: flush, both copies and their flushes */
	};
	struct traces second = {0};
	struct crash_log both = {0};
	enum coffer_operation operation;
	struct coffer_err e = {0};
	struct layer killed;

	layer_init(&killed, disk->mem, disk->size);
	for (size_t i = from; i < k; i++) {
		append(&both, &first->ops[i]);
		layer_write(&killed, first->ops[i].off, first->ops[i].data, first->ops[i].n);
	}
	(void)facts_of(row, killed.mem, &operation);
	if (operation != COFFER_OP_START && operation != COFFER_OP_ENCRYPTED &&
		trails_record(&second, row, killed.mem, run_encrypt, "", &e) == 0) {
		const struct crash_log *log = &second.items[0].log;

		for (size_t i = 0; i < log->n && i < SECOND_RUN; i++)
			append(&both, &log->ops[i]);
		trails_add(ret, row, disk->mem, &both, ", a killed run before it");
	} else if (e.msg[0]) {
		note("%s: the second run: %s", row->name, e.msg);
		abort();
	}
	crash_log_free(&both);
	trails_free(&second);
	layer_free(&killed);
}

static void killed_and_run_again(const struct row *row, const uint8_t *disk, struct traces *ret)
{
	const struct crash_log *log;
	struct coffer_err e = {0};
	struct traces t = {0};
	struct layer durable;
	size_t from = 0;

	if (trails_record(&t, row, disk, run_encrypt, "", &e) < 0)
		abort();
	log = &t.items[0].log;
	layer_init(&durable, disk, disk_size(row));
	for (size_t k = 1; k <= log->n; k++) {
		if (!log->ops[k - 1].flush) {
			kill_at(row, &durable, log, from, k, ret);
			continue;
		}
		for (; from < k; from++)
			if (!log->ops[from].flush)
				layer_write(&durable, log->ops[from].off, log->ops[from].data,
					log->ops[from].n);
	}
	layer_free(&durable);
	trails_free(&t);
}

/* cryptsetup's first second: the moved-segment copy and the header with random bytes after it, and
 * one flush after both. */
static void stock_begins(const struct row *row, const uint8_t *disk, struct traces *ret)
{
	const uint64_t s = shift_of(row);
	uint8_t *header = malloc(disk_size(row)), *head = malloc(s);
	struct crash_op copy = {.off = row->length + s, .n = s, .data = head};
	struct crash_op all = {.off = 0, .n = s, .data = header}, flush = {.flush = true};
	struct crash_log log = {0};

	if (!header || !head)
		abort();
	memcpy(header, disk, disk_size(row));
	memcpy(head, disk, s);
	placed(row, header);
	for (uint64_t at = 2 * copy_size(row); at < s; at += 512)
		if (header[at] == 0 && memcmp(header + at, header + at + 1, 511) == 0 &&
			coffer_random(header + at, 512) < 0)
			abort();
	append(&log, &copy);
	append(&log, &all);
	append(&log, &flush);
	trails_add(ret, row, disk, &log, "");
	free(header);
	free(head);
}

/* --- a medium that rots --- */

/* A piece of what a half done placement or abort rests on becomes something else. Not of what is
 * plain already: that nobody can see. */
static bool rot(struct lab *l, uint64_t seed)
{
	const uint64_t d = disk_size(l->row), s = shift_of(l->row);
	const uint64_t record = d - 2 * s, abort_record = d - s - 4096, copy = d - s;
	uint8_t other[512];
	uint64_t at = 0;
	enum coffer_operation operation;

	(void)state_facts(l, &operation);
	if (operation != COFFER_OP_REDO_PLACEMENT && operation != COFFER_OP_FINISH_UNDO)
		return false;
	if (operation == COFFER_OP_FINISH_UNDO)
		at = seed % 2 ? abort_record : copy + seed * 512 % s;
	else if (seed % 5 == 0)
		at = record;
	else if (seed % 5 == 1)
		at = record + 4096 + seed * 512 % 65536;
	else if (seed % 5 == 2)
		at = copy + seed * 512 % s;
	else if (seed % 5 == 3)
		at = seed * 512 % 4096;
	else
		at = 4096 + seed * 512 % (s - 4096);
	for (size_t i = 0; i < sizeof(other); i++)
		other[i] = (uint8_t)(l->state.mem[at + i] ^ (0x5a + i));
	lab_change(l, at, other, sizeof(other));
	return true;
}

/* --- the table --- */

#define SMALL	    .length = 1 * MIB + 3 * 512, .sector_size = 512
#define THREE_ZONES .length = 3 * MIB, .sector_size = 512
#define EXT4	    .length = 4 * MIB, .sector_size = 512, .content = CRASH_EXT4
#define FILES	    .length = 5 * MIB, .sector_size = 512, .content = CRASH_FILES, .used_only = true

static const struct scenario scenarios[] = {
	/* Bug: a record beside a late header copy was ignored */
	{{.name = "encrypt, three zones", THREE_ZONES}, .run = run_encrypt,
		.judge = judge_conversion, .quick = 150},
	{{.name = "encrypt, a short zone, 4096-byte sectors",
		 .length = 2 * MIB + 5 * 4096,
		 .sector_size = 4096},
		.run = run_encrypt, .judge = judge_conversion, .quick = 60},
	{{.name = "encrypt, one zone", .length = MIB, .sector_size = 512}, .run = run_encrypt,
		.judge = judge_conversion, .quick = 60},
	{{.name = "encrypt, odd sectors", SMALL}, .run = run_encrypt, .judge = judge_conversion,
		.quick = 80},
	{{.name = "encrypt, ext4", EXT4}, .run = run_encrypt, .judge = judge_conversion,
		.quick = 120},
	{{.name = "encrypt, xfs", .length = 16 * MIB, .sector_size = 512, .content = CRASH_XFS},
		.run = run_encrypt, .judge = judge_conversion, .quick = 30},
	{{.name = "encrypt, btrfs", .length = 18 * MIB, .sector_size = 512, .content = CRASH_BTRFS},
		.run = run_encrypt, .judge = judge_conversion, .quick = 30},
	{{.name = "encrypt, ext4, S of 16 MiB",
		 .length = 20 * MIB,
		 .sector_size = 512,
		 .content = CRASH_EXT4,
		 .shift = 16 * MIB},
		.run = run_encrypt, .judge = judge_conversion, .quick = 12},
	{{.name = "encrypt, four threads", THREE_ZONES, .threads = 4}, .run = run_encrypt,
		.judge = judge_conversion, .quick = 60},
	{{.name = "encrypt used, four threads", FILES, .threads = 4}, .run = run_encrypt,
		.judge = judge_conversion, .quick = 40},
	{{.name = "encrypt used, S of 16 MiB",
		 .length = 20 * MIB,
		 .sector_size = 512,
		 .content = CRASH_FILES,
		 .used_only = true,
		 .shift = 16 * MIB},
		.run = run_encrypt, .judge = judge_conversion, .quick = 10},
	/* Bug: an interruption while the image is erased left keyslots in the gap */
	{{.name = "encrypt used, keep", FILES, .free_space = COFFER_FREE_KEEP}, .run = run_encrypt,
		.judge = judge_conversion, .quick = 100},
	{{.name = "encrypt used, fill", FILES, .free_space = COFFER_FREE_FILL}, .run = run_encrypt,
		.judge = judge_conversion, .quick = 80},
	{{.name = "encrypt used, discard", FILES, .free_space = COFFER_FREE_DISCARD},
		.run = run_encrypt, .judge = judge_conversion, .quick = 80},
	{{.name = "placement only", THREE_ZONES}, .run = run_place, .judge = judge_conversion,
		.quick = 60},
	{{.name = "the device grows", THREE_ZONES}, .run = run_encrypt, .judge = judge_conversion,
		.grown = MIB + 512, .quick = 60},
	/* Bug: the wipe of unknown content was not finished where it was torn */
	{{.name = "the end, resumed", THREE_ZONES}, .prepare = at_end, .run = run_encrypt,
		.judge = judge_conversion, .quick = 60},
	{{.name = "the end, resumed, ext4", EXT4}, .prepare = at_end, .run = run_encrypt,
		.judge = judge_conversion, .quick = 40},
	{{.name = "the end, resumed, used", FILES}, .prepare = at_end, .run = run_encrypt,
		.judge = judge_conversion, .quick = 30},
	{{.name = "the device grows, ext4", EXT4}, .run = run_encrypt, .judge = judge_conversion,
		.grown = MIB + 512, .quick = 40},
	{{.name = "the device grows, used", FILES}, .run = run_encrypt, .judge = judge_conversion,
		.grown = 2 * MIB, .quick = 30},
	{{.name = "the device grows, abort", EXT4}, .prepare = placed, .run = run_abort,
		.judge = judge_conversion, .grown = MIB + 512, .quick = 30},
	{{.name = "a redo, cut", SMALL}, .run = run_encrypt, .recover = run_encrypt, .depth = 2,
		.judge = judge_conversion, .quick = 150},
	{{.name = "a redo of a redo, cut", SMALL}, .run = run_place, .recover = run_encrypt,
		.depth = 3, .judge = judge_conversion, .quick = 100},
	{{.name = "a resume of a resume, cut", THREE_ZONES}, .prepare = placed, .run = run_encrypt,
		.recover = run_encrypt, .depth = 3, .judge = judge_conversion, .quick = 80},
	{{.name = "used, a resume of a resume, cut", FILES}, .prepare = placed, .run = run_encrypt,
		.recover = run_encrypt, .depth = 3, .judge = judge_conversion, .quick = 60},
	{{.name = "abort", SMALL}, .prepare = placed, .run = run_abort, .judge = judge_conversion,
		.quick = 80},
	/* Bug: a masked block that was torn on its way back was not finished */
	/* Bug: a record was erased before the copy that it explains */
	{{.name = "abort, ext4", EXT4}, .prepare = placed, .run = run_abort,
		.judge = judge_conversion, .quick = 60},
	{{.name = "abort, used", FILES}, .prepare = placed, .run = run_abort,
		.judge = judge_conversion, .quick = 30},
	{{.name = "abort, xfs", .length = 16 * MIB, .sector_size = 512, .content = CRASH_XFS},
		.prepare = placed, .run = run_abort, .judge = judge_conversion, .quick = 10},
	{{.name = "abort, btrfs", .length = 18 * MIB, .sector_size = 512, .content = CRASH_BTRFS},
		.prepare = placed, .run = run_abort, .judge = judge_conversion, .quick = 10},
	{{.name = "abort, ext4, S of 16 MiB",
		 .length = 20 * MIB,
		 .sector_size = 512,
		 .content = CRASH_EXT4,
		 .shift = 16 * MIB},
		.prepare = placed, .run = run_abort, .judge = judge_conversion, .quick = 8},
	/* Bug: transition blocks of two runs in one block 0 were ambiguous */
	{{.name = "abort of a cut run, cut", SMALL}, .run = run_place, .recover = run_abort,
		.depth = 2, .judge = judge_conversion, .quick = 80},
	{{.name = "abort of a cut abort, cut", SMALL}, .prepare = placed, .run = run_abort,
		.recover = run_abort, .depth = 2, .judge = judge_conversion, .quick = 80},
	/* Bug: a killed run's header was taken for durable, and the older copy overwritten */
	{{.name = "killed, run again, cut", SMALL}, .record = killed_and_run_again,
		.judge = judge_conversion, .quick = 160, .seeds = 12},
	{{.name = "repair: recover-header-copy", THREE_ZONES}, .prepare = torn_copy,
		.run = run_repair, .judge = judge_conversion, .quick = 30},
	{{.name = "repair: redo-placement", SMALL}, .prepare = half_placed, .run = run_repair,
		.judge = judge_conversion, .quick = 40},
	{{.name = "repair: finish-undo", SMALL}, .prepare = half_undone, .run = run_repair,
		.judge = judge_conversion, .quick = 40},
	{{.name = "repair: finish-placement", SMALL}, .prepare = unfinished, .run = run_repair,
		.judge = judge_conversion, .quick = 20},
	{{.name = "repair of a cut run, cut", SMALL}, .run = run_place, .recover = run_repair,
		.depth = 2, .judge = judge_conversion, .quick = 60},
	{{.name = "repair: undo-stock-placement, torn in the first copy", EXT4},
		.prepare = torn_in_first_copy, .run = run_repair, .judge = judge_repair,
		.quick = 60, .seeds = 4},
	{{.name = "repair: undo-stock-placement, torn in the metadata", EXT4},
		.prepare = torn_in_json, .run = run_repair, .judge = judge_repair, .quick = 60,
		.seeds = 4},
	{{.name = "repair: undo-placement", EXT4}, .prepare = image_lost, .run = run_repair,
		.judge = judge_repair, .quick = 60, .seeds = 2},
	{{.name = "repair: undo-block-0", SMALL}, .prepare = used_under_mark, .run = run_repair,
		.judge = judge_repair, .quick = 40, .seeds = 2},
	{{.name = "repair: erase-transition-block", EXT4}, .prepare = mark_left, .run = run_repair,
		.judge = judge_repair, .quick = 30, .seeds = 2},
	{{.name = "repair: erase-record", EXT4}, .prepare = stale_record, .run = run_repair,
		.judge = judge_repair, .quick = 30, .seeds = 2},
	{{.name = "statements: a medium rots while placing", EXT4}, .run = run_place, .change = rot,
		.judge = judge_statement, .quick = 200, .seeds = 8},
	{{.name = "statements: a medium rots while aborting", EXT4}, .prepare = placed,
		.run = run_abort, .change = rot, .judge = judge_statement, .quick = 100,
		.seeds = 8},
	{{.name = "statements: stock's first second", EXT4}, .record = stock_begins,
		.judge = judge_statement, .quick = 100, .seeds = 40},
	/* A verb that writes to a disk in another way gets its rows here: what it begins on
	 * (prepare), what is cut (run), and a judge of its own, see crashjudge.h. */
};

/* Freed memory is kept for a while, and where it came from is noted. Here much is freed, and a
 * child costs the more the more there is. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "quarantine_size_mb=16:malloc_context_size=5";
}

/* That nothing is lost is shown without sanitizers, which make a state take four times as long.
 * With them it is a few states of each scenario: what they find does not depend on the cut. */
#ifdef __SANITIZE_ADDRESS__
#define SHARE 20
#else
#define SHARE 1
#endif

static void check(bool good, const char *what)
{
	ok(good, "%s", what);
}

int main(void)
{
	struct exploration x;
	struct tally t = {0};

	exploration_read(&x);
	x.check = check;
	x.share = SHARE;
	explore(&x, scenarios, sizeof(scenarios) / sizeof(scenarios[0]), &t);
	if (x.only)
		return done_testing();
	ok(x.minutes > 0 || t.distinct >= (x.deep ? 20000 : 1500 / SHARE), "%u distinct states",
		t.distinct);
	ok(t.coffer && t.aborted && t.repaired && t.asked && t.stock && t.program && t.mended &&
			t.shut && t.told && t.keyslots,
		"each way of recovery was taken, and each judge has judged (%u only asked of "
		"repair, %u began with keyslots beside the header)",
		t.asked, t.keyslots);
	return done_testing();
}
