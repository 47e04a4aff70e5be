/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test_crash_bugs.c - disks on which something went wrong once
 *
 * test_crash.c looks for such disks; here are those that were found and are no cut of one run. Each
 * test that keeps a bug away says "Bug:" and which one. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/on_device.h"
#include "crashjudge.h"
#include "tap.h"

static const struct row row_small = {"a size of odd sectors", 1 * MIB + 3 * 512, 512};

/* Bug: without a magic in block 0 any second copy was believed, also one that lay in a file of a
 * living filesystem; with a record beside it, the moved segment was overwritten from that file. */
static void test_second_copy_in_a_file(const struct row *row)
{
	const uint64_t copy = 16384; /* size of a header copy at this S */
	uint8_t *content = make_content(row);
	uint8_t *state = malloc(disk_size(row));
	struct crash_log log = {0}, undone = {0};
	struct coffer_err e = {0};
	enum coffer_operation operation = COFFER_N_OPERATIONS;
	struct coffer_facts f = {0};

	if (!state || encrypt(row, content, true, &log, &e) < 0)
		abort();
	for (size_t k = 1; k <= log.n && operation != COFFER_OP_FINISH_PLACEMENT; k++) {
		crash_state(content, disk_size(row), &log, k, CRASH_ALL, 0, state);
		f = facts_of(row, state, &operation);
	}
	/* a whole second copy and its record over an untouched moved segment: what a file could
	 * hold */
	memcpy(state, content, copy);
	memcpy(state + 2 * copy, content + 2 * copy, MIB - 2 * copy);
	f = facts_of(row, state, &operation);
	ok(operation == COFFER_OP_START && !coffer_can_abort(operation, &f),
		"a second header copy over a living filesystem is not a header (%s)",
		coffer_operation_name(operation));
	ok(undo(row, state, true, &undone, &e) == -EALREADY && undone.n <= 1,
		"and abort writes nothing");
	crash_log_free(&undone);
	crash_log_free(&log);
	free(state);
	free(content);
}

/* The last write to block 0 in @log: the moved segment's own sectors come back with it. */
static size_t last_write_of_block_0(const struct crash_log *log)
{
	size_t found = 0;

	for (size_t k = 0; k < log->n; k++)
		if (!log->ops[k].flush && log->ops[k].off == 0 && log->ops[k].n == 4096)
			found = k;
	return found;
}

/* Bug: an abort that was torn inside its last block 0, sector 0 still missing, was done again with
 * the old moved segment, over a superblock that had been used since. */
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
		enum coffer_operation operation;

		crash_state(content, disk_size(row), &placed, k, CRASH_ALL, 0, state);
		(void)facts_of(row, state, &operation);
		if (operation == COFFER_OP_REDO_PLACEMENT)
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

/* Bug: what was written was read back from the page cache, so a device that swallows writes passed,
 * and its moved segment was overwritten. */
static void test_swallowed_writes(const struct row *row)
{
	const struct coffer_encrypt_options o = options(row);
	uint8_t *content = make_content(row);
	struct crashdev *d = crashdev_new(content, disk_size(row));
	struct crash_log log = {0};
	struct coffer_err e = {0};
	bool head = false;
	int r;

	crashdev_cache(d, content);
	crashdev_keep(d, &log);
	d->recording = true;
	d->swallows = true;
	r = coffer_encrypt_dev(&d->dev, &o, NULL, &e);
	for (size_t i = 0; i < log.n; i++)
		head = head || (!log.ops[i].flush && log.ops[i].off < row->length);
	ok(r == -EIO && strstr(e.msg, "read-back mismatch") && !head,
		"a device that swallows writes is found before the moved segment is touched (%s)",
		e.msg);
	crash_log_free(&log);
	free(content);
}

int main(void)
{
	test_swallowed_writes(&row_small);
	test_second_copy_in_a_file(&row_small);
	test_used_after_torn_block_0(&row_small);
	return done_testing();
}
