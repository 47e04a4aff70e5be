/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* judge.h - libcryptsetup's word on the metadata of one header copy
 *
 * A copy that libcryptsetup refuses does not count, however right its checksum is: every other
 * program goes by the other copy. It is asked about the one copy alone, in the helper program, and
 * each text once in a run: its answers are kept with the device. */
#pragma once
#include "io/dev.h"
#include "luks2/copy_check.h"

/* Fill @copy->accepted and @copy->reason of a whole @copy that was read from @d.
 * -errno: libcryptsetup could not be asked, and the copy is neither good nor bad. */
int coffer_luks2_copy_ask(
	struct coffer_dev *d, struct coffer_luks2_copy *copy, struct coffer_err *e);

/* Answers to keep, by @ask: 1, 0 with a reason in @e, or -errno, as coffer_luks2_judge says, which
 * NULL stands for. The devices of a test may share one. Free with free(); NULL: no memory. */
struct coffer_judge *coffer_judge_new(int (*ask)(int fd, struct coffer_err *e));
