/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* judge_copies.h - what is wrong with a header copy, and the way out: the same words for every verb
 *
 * @device is quoted for a shell. */
#pragma once
#include <stddef.h>

#include "coffer/finding.h"
#include "convert/decide.h"

/* What to do about the header copy that does not count, where the other one does: the same words
 * for every verb. @foreign: something else than a header lies in the first one's place. */
void coffer_copy_remedy(const char *device, bool foreign, char *ret, size_t size);

/* "header-primary", "header-secondary": each copy by itself, and against the other one. -ENOMEM. */
int coffer_judge_copies(
	const struct coffer_facts *f, const char *device, struct coffer_findings *l);
