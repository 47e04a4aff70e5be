/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test_fsck.c - what a filesystem's checker means, where none need run
 *
 * The checkers themselves run in tests/loop and tests/uml; here is what needs none. */
#include "fs/fsck.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "tap.h"

static const char *const routine[] = {"Pass ", " ", NULL};

static const struct {
	const char *name, *output, *wanted;
} rows[] = {
	{"nothing", "", ""},
	{"empty lines", "\n\n\n", ""},
	{"one line", "broken", "broken"},
	{"routine only: the last", "Pass 1\nPass 2\n", "Pass 2"},
	{"after routine", "Pass 1\n  - scan\n\nbroken\nmore\n", "broken"},
	{"no end of line", "Pass 1\nbroken", "broken"},
};

static void test_complaint(void)
{
	char line[32], *text = malloc(5001);

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		coffer_fsck_complaint(rows[i].output, routine, line, sizeof(line));
		ok(strcmp(line, rows[i].wanted) == 0, "%s: '%s'", rows[i].name, line);
	}
	if (!text)
		abort();
	memset(text, 'x', 5000);
	text[5000] = '\0';
	coffer_fsck_complaint(text, routine, line, sizeof(line));
	ok(strlen(line) == sizeof(line) - 1, "a line without end is cut");
	free(text);
}

int main(void)
{
	static const char *const known[] = {"ext2", "ext3", "ext4", "xfs", "btrfs"};
	struct coffer_err e = {0};

	test_complaint();
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		ok(coffer_fsck_command(known[i]) != NULL, "%s has a checker", known[i]);
	ok(!coffer_fsck_command("crypto_LUKS") && !coffer_fsck_command("") &&
			coffer_fsck("vfat", "/dev/null", NULL, &e) == -EOPNOTSUPP,
		"others have none");
	ok(coffer_fsck("ext4", "/nonexistent/disk", NULL, &e) == -ENODEV,
		"what is not there is not checked (%s)", e.msg);
	return done_testing();
}
