/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* judge_tools.h - the tools beside coffer: which there are, and which versions are known to harm
 *
 * Versions are read from what the tools print themselves. A version says what upstream released:
 * a distribution may have put a fix into an older one, so each sentence about a bad one says so. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "coffer/finding.h"

struct coffer_version {
	unsigned int part[3]; /* those that are not there are 0 */
};

/* The first number of @text that stands at the beginning of a word, after a 'v' at most: "2.6.1" in
 * "cryptsetup 2.6.1 flags: UDEV", "252" in "systemd 252 (252.39-1~deb12u2)", "6.2" in
 * "btrfs-progs v6.2". What follows the third part ("-rc1") does not count. */
bool coffer_version_parse(const char *text, struct coffer_version *ret);

/* Less than, equal to or greater than 0, as strcmp. */
int coffer_version_compare(const struct coffer_version *a, const struct coffer_version *b);

struct coffer_tool {
	const char *name;   /* of the program */
	const char *option; /* that makes it tell its version; NULL: none does, so it is not run */
	const char *use;    /* what is not possible without it */
};

/* All that are looked for, in a fixed order. */
const struct coffer_tool *coffer_tools(size_t *ret_n);

struct coffer_tool_facts {
	const char *path; /* NULL: not found */
	int error;	  /* it could not be run: errno; ETIME: it did not end in time */
	int status;	  /* of its end; -1: by a signal */
	const char *output;
};

/* Add a check "tool" for @t. -ENOMEM. */
int coffer_judge_tool(
	const struct coffer_tool *t, const struct coffer_tool_facts *f, struct coffer_findings *l);

/* Add the check "library": with which libcryptsetup coffer was built, and which file of it the
 * process works with ("": none, it is a part of the program). -ENOMEM. */
int coffer_judge_library(const char *built_with, const char *file, struct coffer_findings *l);
