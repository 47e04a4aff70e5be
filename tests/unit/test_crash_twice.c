/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test_crash_twice.c - cut the power again while a cut placement is redone or taken back */
#include <stdlib.h>
#include <string.h>

#include "crashrun.h"
#include "story/repair.h"
#include "tap.h"

static const struct row row_small = {"a size of odd sectors", 1 * MIB + 3 * 512, 512, 1};

/* Record recovery itself, from states in the placement and around it, and cut that again. */
static void test_again(const struct row *row, bool take_back)
{
	uint8_t *content = make_content(row);
	uint8_t *state = malloc(disk_size(row));
	struct crash_log first = {0};
	struct coffer_err e = {0};
	struct count c = {0};

	if (encrypt(row, content, true, &first, &e) < 0)
		abort();
	for (size_t k = 1; k <= first.n; k++) {
		struct crash_log second = {0};
		enum coffer_action action;
		struct coffer_facts f;
		int r;

		/* One state for each flush: the random one of all that was written before it. */
		if (k < first.n && !first.ops[k].flush)
			continue;
		crash_state(content, disk_size(row), &first, k, CRASH_RANDOM, 7, state);
		f = facts_of(row, state, &action);
		if (take_back ? !coffer_can_abort(action, &f)
			      : action == COFFER_ACT_START || action == COFFER_ACT_ENCRYPTED ||
					action == COFFER_ACT_CONVERT)
			continue;
		r = take_back ? undo(row, state, true, &second, &e)
			      : encrypt(row, state, true, &second, &e);
		if (r < 0)
			fail(&c, row, k, CRASH_RANDOM, 7, "first recovery", e.msg);
		else
			check_cuts(row, content, state, &second, true, &c);
		crash_log_free(&second);
	}
	ok(report(row, &c), "%s: every cut of a%s is recovered", row->name,
		take_back ? "n abort" : " redo");
	crash_log_free(&first);
	free(state);
	free(content);
}

/* Bug: a run is killed, the next one reads what the first has left in a cache, and then the power
 * fails: of both runs only what was flushed is sure. The second run wrote over the older header
 * copy, the only durable one, before the newer one was. */
static void test_killed_then_cut(const struct row *row)
{
	enum {
		SECOND_RUN = 8
	}; /* operations of the second run: flush, both copies and their flushes */
	uint8_t *content = make_content(row);
	uint8_t *state = malloc(disk_size(row));
	struct crash_log first = {0};
	struct coffer_err e = {0};
	struct count c = {0};

	if (!state || encrypt(row, content, true, &first, &e) < 0)
		abort();
	for (size_t k = 1; k <= first.n; k++) {
		struct crash_log second = {0}, both = {0};
		enum coffer_action action;

		if (first.ops[k - 1].flush)
			continue; /* nothing is in a cache only */
		crash_state(content, disk_size(row), &first, k, CRASH_ALL, 0, state);
		(void)facts_of(row, state, &action);
		if (action == COFFER_ACT_START || action == COFFER_ACT_ENCRYPTED)
			continue;
		if (encrypt(row, state, true, &second, &e) < 0) {
			fail(&c, row, k, CRASH_ALL, 0, "the second run", e.msg);
			crash_log_free(&second);
			continue;
		}
		both.ops = calloc(k + second.n, sizeof(*both.ops));
		memcpy(both.ops, first.ops, k * sizeof(*both.ops));
		memcpy(both.ops + k, second.ops, second.n * sizeof(*both.ops));
		both.n = k + (second.n < SECOND_RUN ? second.n : SECOND_RUN);
		for (size_t at = k; at <= both.n; at++) {
			if (at > k && both.ops[at - 1].flush)
				continue; /* the same state as before it */
			/* Two writes must be torn at once to do harm: many tries, judged only. */
			for (uint64_t seed = 0; seed < 24; seed++) {
				crash_state(content, disk_size(row), &both, at, CRASH_RANDOM, seed,
					state);
				(void)facts_of(row, state, &action);
				if (action == COFFER_ACT_DAMAGED)
					fail(&c, row, at, CRASH_RANDOM, seed, "judged", "damaged");
			}
			check_state(row, content, state, at, CRASH_RANDOM, 23, false, &c);
		}
		free(both.ops);
		crash_log_free(&second);
	}
	ok(report(row, &c), "%s: killed, run again, then cut: every state is recovered", row->name);
	crash_log_free(&first);
	free(state);
	free(content);
}

/* The last write to block 0 in @log: the head's own sectors come back with it. */
static size_t last_write_of_block_0(const struct crash_log *log)
{
	size_t found = 0;

	for (size_t k = 0; k < log->n; k++)
		if (!log->ops[k].flush && log->ops[k].off == 0 && log->ops[k].n == 4096)
			found = k;
	return found;
}

/* Bug: an abort that was torn inside its last block 0, sector 0 still missing, was done again with
 * the old head, over a superblock that had been used since. */
static void test_used_after_torn_block_0(const struct row *row)
{
	static const char used[] = "somebody wrote this after the cut";
	uint8_t *content = make_content(row);
	uint8_t *state = malloc(disk_size(row));
	struct crash_log placed = {0}, undone = {0}, again = {0};
	struct coffer_err e = {0};
	size_t k;

	if (!state || encrypt(row, content, true, &placed, &e) < 0)
		abort();
	for (k = 1; k < placed.n; k++) {
		enum coffer_action action;

		crash_state(content, disk_size(row), &placed, k, CRASH_ALL, 0, state);
		(void)facts_of(row, state, &action);
		if (action == COFFER_ACT_REDO_PLACEMENT)
			break;
	}
	if (undo(row, state, true, &undone, &e) < 0)
		abort();
	k = last_write_of_block_0(&undone);
	crash_state(state, disk_size(row), &undone, k, CRASH_ALL, 0, placed.mem);
	memcpy(placed.mem + 512, undone.ops[k].data + 512, 4096 - 512);
	memcpy(placed.mem + 1024, used, sizeof(used));
	memcpy(content + 1024, used, sizeof(used));
	ok(undo(row, placed.mem, false, &again, &e) == 0 &&
			memcmp(again.mem, content, row->length) == 0,
		"what was written after a torn end of an abort stays (%s)", e.msg);
	crash_log_free(&placed);
	crash_log_free(&undone);
	crash_log_free(&again);
	free(state);
	free(content);
}

static const struct row row_ext4 = {"an ext4", 4 * MIB, 512, 1, true};

static int repair(const struct row *row, const uint8_t *state, bool record,
	struct crash_log *ret_log, struct coffer_err *e)
{
	const struct coffer_repair_options o = {.device = "test-disk", .threads = 1};
	struct coffer_repair_result *result = NULL;
	struct crashdev *d = crashdev_new(state, disk_size(row));
	int r;

	d->recording = record;
	crashdev_keep(d, ret_log);
	r = coffer_repair_dev(&d->dev, &o, &result, e);
	coffer_repair_free(result);
	return r;
}

/* What cryptsetup leaves when its header arrived in part: repair puts the head back, and is cut at
 * every write, torn or lost, until the next repair ends it. */
static void test_cut_rescue(const struct row *row, size_t arrived)
{
	uint8_t *content = make_content(row), *torn = malloc(disk_size(row));
	uint8_t *state = malloc(disk_size(row));
	struct crash_log placed = {0}, first = {0};
	struct coffer_err e = {0};
	struct count c = {0};

	if (!torn || !state || encrypt(row, content, false, &placed, &e) < 0)
		abort();
	memcpy(torn, content, disk_size(row));
	memcpy(torn + row->length + MIB, content, MIB);
	memcpy(torn, placed.mem, arrived);
	if (repair(row, torn, true, &first, &e) < 0 || first.n == 0 ||
		memcmp(first.mem, content, row->length) != 0)
		fail(&c, row, 0, CRASH_ALL, 0, "the first repair", e.msg);
	for (size_t k = 0; k <= first.n; k++)
		for (enum crash_policy p = 0; p < N_CRASH_POLICIES; p++)
			for (uint64_t seed = 0; seed < (p == CRASH_RANDOM ? 8 : 1); seed++) {
				struct crash_log again = {0};

				crash_state(torn, disk_size(row), &first, k, p, seed, state);
				c.states++;
				e.msg[0] = '\0';
				if (repair(row, state, false, &again, &e) < 0 ||
					memcmp(again.mem, content, row->length) != 0)
					fail(&c, row, k, p, seed, "the next repair", e.msg);
				else
					c.repaired++;
				crash_log_free(&again);
			}
	ok(report(row, &c), "%s under %zu bytes of a header: every cut of its repair is repaired",
		row->name, arrived);
	crash_log_free(&placed);
	crash_log_free(&first);
	free(state);
	free(torn);
	free(content);
}

int main(void)
{
	test_cut_rescue(&row_ext4, 4096);
	test_cut_rescue(&row_ext4, 8192);
	test_again(&row_small, false);
	test_again(&row_small, true);
	test_used_after_torn_block_0(&row_small);
	test_killed_then_cut(&row_small);
	return done_testing();
}
