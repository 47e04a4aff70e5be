/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test_crash_twice.c - cut the power again while a cut placement is redone or taken back */
#include <stdlib.h>
#include <string.h>

#include "crashrun.h"
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

		if (first.ops[k - 1].flush)
			continue; /* the same state as before it */
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

int main(void)
{
	test_again(&row_small, false);
	test_again(&row_small, true);
	return done_testing();
}
