/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test_crash.c - cut the power at every write and every flush of a small conversion
 *
 * A whole run is recorded; from each point of its log the states that a cut can leave are built,
 * and each must lead to the same content: by coffer, by 'abort' as long as that is possible, and
 * by stock cryptsetup where a header is in place. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "crashrun.h"
#include "story/encrypt.h"
#include "tap.h"

static const struct row rows[] = {
	{"three zones", 3 * MIB, 512, 2},
	{"short zone, 4096-byte sectors", 2 * MIB + 5 * 4096, 4096, 1},
	{"one zone only", 1 * MIB, 512, 1},
	{"a size of odd sectors", 1 * MIB + 3 * 512, 512, 1},
	{"an ext4", 4 * MIB, 512, 1, true},
};

static void test_encrypt(const struct row *row)
{
	uint8_t *content = make_content(row);
	struct crash_log log = {0};
	struct coffer_err e = {0};
	struct count c = {0};
	char why[256] = "";

	if (!ok(encrypt(row, content, true, &log, &e) == 0 &&
			    finished_well(row, &log, content, why),
		    "%s: an uncut run (%s%s)", row->name, e.msg, why)) {
		free(content);
		crash_log_free(&log);
		return;
	}
	check_cuts(row, content, content, &log, false, &c);
	ok(report(row, &c), "%s: every cut of a conversion is recovered", row->name);
	crash_log_free(&log);
	free(content);
}

/* Law 4: each call fails once; the run ends with an error on a disk that another run finishes. */
static void test_faults(const struct row *row)
{
	static const char *const names[] = {"read", "write", "flush"};
	uint8_t *content = make_content(row);
	struct crash_log whole = {0};
	struct coffer_err e = {0};

	if (encrypt(row, content, false, &whole, &e) < 0)
		abort();
	for (enum crash_call call = 0; call < N_CRASH_CALLS; call++) {
		struct count c = {0};

		for (uint64_t n = 1; n <= whole.calls[call]; n++) {
			const struct coffer_encrypt_options o = options(row);
			struct crashdev *d = crashdev_new(content, disk_size(row));
			struct crash_log log = {0};

			memset(&e, 0, sizeof(e));
			d->fail_call = call;
			d->fail_at = n;
			crashdev_keep(d, &log);
			if (coffer_encrypt_dev(&d->dev, &o, NULL, &e) >= 0)
				fail(&c, row, n, CRASH_ALL, 0, names[call],
					"the error was swallowed");
			else
				check_state(row, content, log.mem, n, CRASH_ALL, 0, false, &c);
			crash_log_free(&log);
		}
		note("%s: %llu %s calls failed one by one", row->name,
			(unsigned long long)whole.calls[call], names[call]);
		ok(c.failed == 0 && c.states == whole.calls[call],
			"%s: a failing %s stops on a resumable disk", row->name, names[call]);
	}
	crash_log_free(&whole);
	free(content);
}

/* Bug: without a magic in block 0 any second copy was believed, also one that lay in a file of a
 * living filesystem; with a record beside it, the head was overwritten from that file. */
static void test_second_copy_in_a_file(const struct row *row)
{
	const uint64_t copy = 16384; /* size of a header copy at this S */
	uint8_t *content = make_content(row);
	uint8_t *state = malloc(disk_size(row));
	struct crash_log log = {0}, undone = {0};
	struct coffer_err e = {0};
	enum coffer_action action = COFFER_N_ACTIONS;
	struct coffer_facts f = {0};

	if (!state || encrypt(row, content, true, &log, &e) < 0)
		abort();
	for (size_t k = 1; k <= log.n && action != COFFER_ACT_FINISH_PLACEMENT; k++) {
		crash_state(content, disk_size(row), &log, k, CRASH_ALL, 0, state);
		f = facts_of(row, state, &action);
	}
	/* a whole second copy and its record over an untouched head: what a file could hold */
	memcpy(state, content, copy);
	memcpy(state + 2 * copy, content + 2 * copy, MIB - 2 * copy);
	f = facts_of(row, state, &action);
	ok(action == COFFER_ACT_START && !coffer_can_abort(action, &f),
		"a second header copy over a living filesystem is no header (%s)",
		coffer_action_name(action));
	ok(undo(row, state, true, &undone, &e) == -EALREADY && undone.n <= 1,
		"and abort writes nothing");
	crash_log_free(&undone);
	crash_log_free(&log);
	free(state);
	free(content);
}

int main(void)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		test_encrypt(&rows[i]);
	test_faults(&rows[3]);
	test_second_copy_in_a_file(&rows[3]);
	return done_testing();
}
