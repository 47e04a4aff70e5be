/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test_err.c - the error object */
#include "base/err.h"

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "tap.h"

static void check_setters(void)
{
	static const struct {
		enum coffer_outcome outcome;
		bool with_errno;
		const char *msg;
	} rows[] = {
		{COFFER_FAILED, false, "read sda 7"},
		{COFFER_FAILED, true, "read sda 7: Input/output error"},
		{COFFER_REFUSED, false, "read sda 7"},
		{COFFER_NEEDS_REPAIR, false, "read sda 7"},
	};
	struct coffer_err e;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct coffer_err *const objects[] = {&e, NULL};

		memset(&e, 0, sizeof(e));
		for (size_t k = 0; k < ARRAY_SIZE(objects); k++) {
			const int r =
				rows[i].with_errno
					? coffer_err_errno(objects[k], EIO, "read %s %d", "sda", 7)
					: coffer_err_format(objects[k], EIO, rows[i].outcome,
						  "read %s %d", "sda", 7);

			ok(r == -EIO, "set %zu: number%s", i, objects[k] ? "" : ", no object");
		}
		ok(e.code == EIO && e.outcome == rows[i].outcome && strcmp(e.msg, rows[i].msg) == 0,
			"set %zu: number, outcome and sentence", i);
	}
	ok(coffer_err_refuse(&e, EBUSY, "busy") == -EBUSY && e.outcome == COFFER_REFUSED &&
			coffer_err_needs_repair(&e, EIO, "torn") == -EIO &&
			e.outcome == COFFER_NEEDS_REPAIR &&
			coffer_err_no(&e, ENOENT, "none") == -ENOENT && e.outcome == COFFER_NO &&
			coffer_err_set(&e, EIO, "read") == -EIO && e.outcome == COFFER_FAILED,
		"set: the outcome by name");
	memset(&e, 0, sizeof(e));
	ok(coffer_err_usage(&e, "no option %s", "-x") == -EINVAL && e.code == EINVAL &&
			e.outcome == COFFER_USAGE && strcmp(e.msg, "no option -x") == 0,
		"usage");
	ok(coffer_err_usage(NULL, "no option") == -EINVAL, "usage: nobody wants to know");
}

static void check_wrap(void)
{
	struct coffer_err e = {0};

	ok(coffer_err_wrap(&e, 0, "open") == 0 && e.code == 0 && !e.msg[0],
		"wrap: success leaves the object alone");
	ok(coffer_err_wrap(&e, 3, "open") == 3 && e.code == 0, "wrap: so does a count");
	ok(coffer_err_wrap(NULL, -EIO, "open") == -EIO, "wrap: nobody wants to know");
	(void)coffer_err_refuse(&e, EBUSY, "it is mounted");
	ok(coffer_err_wrap(&e, -EBUSY, "open %s", "sda") == -EBUSY &&
			strcmp(e.msg, "open sda: it is mounted") == 0 && e.code == EBUSY &&
			e.outcome == COFFER_REFUSED,
		"wrap: context in front, the rest stays");
	ok(coffer_err_wrap(&e, -EIO, "encrypt") == -EIO && e.code == EBUSY &&
			strcmp(e.msg, "encrypt: open sda: it is mounted") == 0,
		"wrap: the innermost number stays");
	memset(&e, 0, sizeof(e));
	ok(coffer_err_wrap(&e, -ENOSPC, "write") == -ENOSPC && e.code == ENOSPC &&
			e.outcome == COFFER_FAILED &&
			strcmp(e.msg, "write: No space left on device") == 0,
		"wrap: a callee without a word");
}

static void check_long_texts(void)
{
	static const struct {
		const char *name;
		int inner, context;
	} rows[] = {
		{"long inner text", COFFER_ERR_MSG - 2, 10},
		{"long context", 10, COFFER_ERR_MSG + 100},
		{"both too long", 2 * COFFER_ERR_MSG, 2 * COFFER_ERR_MSG},
		{"one byte too many", 500, COFFER_ERR_MSG - 2 - 500},
	};
	struct coffer_err e;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		memset(&e, 0, sizeof(e));
		(void)coffer_err_set(&e, EIO, "%*d", rows[i].inner, 1);
		(void)coffer_err_wrap(&e, -EIO, "%*d", rows[i].context, 2);
		ok(strlen(e.msg) == COFFER_ERR_MSG - 1 &&
				strcmp(e.msg + COFFER_ERR_MSG - 4, "...") == 0,
			"cut with three dots: %s", rows[i].name);
	}
	memset(&e, 0, sizeof(e));
	(void)coffer_err_set(&e, EIO, "%*d", 500, 1);
	(void)coffer_err_wrap(&e, -EIO, "%*d", COFFER_ERR_MSG - 3 - 500, 2);
	ok(strlen(e.msg) == COFFER_ERR_MSG - 1 && e.msg[COFFER_ERR_MSG - 2] == '1',
		"the longest that fits is not cut");
	(void)coffer_err_append(&e, "more");
	ok(strlen(e.msg) == COFFER_ERR_MSG - 1, "nothing is added to a full message");
}

static void check_rest(void)
{
	static const struct {
		const char *name;
		int r, code;
		enum coffer_outcome outcome;
		int want;
	} rows[] = {
		{"success", 0, 0, COFFER_DONE, 0},
		{"a count", 5, 0, COFFER_DONE, 0},
		{"success after an error that was dealt with", 0, EIO, COFFER_REFUSED, 0},
		{"failed", -EIO, EIO, COFFER_FAILED, 1},
		{"usage", -EINVAL, EINVAL, COFFER_USAGE, 2},
		{"no", -EALREADY, EALREADY, COFFER_NO, 3},
		{"refused", -EBUSY, EBUSY, COFFER_REFUSED, 4},
		{"interrupted", -EINTR, EINTR, COFFER_INTERRUPTED, 5},
		{"needs repair", -EUCLEAN, EUCLEAN, COFFER_NEEDS_REPAIR, 6},
		{"failed without a word", -EIO, 0, COFFER_DONE, 1},
	};
	struct coffer_err e = {0}, other = {0};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		e = (struct coffer_err){.code = rows[i].code, .outcome = rows[i].outcome};
		ok(coffer_err_exit_code(&e, rows[i].r) == rows[i].want, "exit code: %s",
			rows[i].name);
	}
	ok(coffer_err_exit_code(NULL, -EIO) == COFFER_FAILED, "exit code: no object");
	memset(&e, 0, sizeof(e));
	(void)coffer_err_set(&e, EINTR, "stopped");
	coffer_err_outcome(&e, COFFER_INTERRUPTED);
	coffer_err_append(&e, "; run it again on %s", "sda");
	ok(e.outcome == COFFER_INTERRUPTED && strcmp(e.msg, "stopped; run it again on sda") == 0,
		"another outcome, and the way out");
	coffer_err_outcome(NULL, COFFER_NO);
	coffer_err_append(NULL, "nothing");
	ok(coffer_err_pass(&other, -EINTR, &e) == -EINTR && memcmp(&other, &e, sizeof(e)) == 0,
		"pass: the failure as it was");
	ok(coffer_err_pass(NULL, -EINTR, &e) == -EINTR, "pass: no object");
	ok(coffer_err_is_no_access(-EACCES) && coffer_err_is_no_access(-EPERM) &&
			coffer_err_is_no_access(-EROFS),
		"no access: three errors");
	ok(!coffer_err_is_no_access(0) && !coffer_err_is_no_access(-EIO) &&
			!coffer_err_is_no_access(EACCES),
		"no access: nothing else");
}

int main(void)
{
	check_setters();
	check_wrap();
	check_long_texts();
	check_rest();
	return done_testing();
}
