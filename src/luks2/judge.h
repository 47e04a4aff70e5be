/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* judge.h - let libcryptsetup judge the metadata of one header copy
 *
 * A copy that libcryptsetup refuses does not count, even with a valid checksum: other programs use
 * the other copy. The helper program judges one copy alone, and each text once in a run: the
 * answers are kept with the device. */
#pragma once
#include "io/dev.h"
#include "luks2/copy.h"

/* Fill @copy->accepted and @copy->reason of an intact @copy that was read from @d.
 * -errno: no answer, so the copy is neither good nor bad. */
int coffer_luks2_copy_ask(
	struct coffer_dev *d, struct coffer_luks2_copy *copy, struct coffer_err *e);

/* Answers to keep, from @ask, which has the results of coffer_luks2_judge; NULL: that one. Free
 * with free(); NULL: no memory. */
struct coffer_judge *coffer_judge_new(int (*ask)(int fd, struct coffer_err *e));
