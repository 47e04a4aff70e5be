/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* judge_copies.h - findings about header copies that all verbs share */
#pragma once
#include <stdbool.h>

#include "base/findings.h"
#include "convert/decide.h"

/* The row for a missing copy. @replaced: other content is in its place. */
static inline enum coffer_text coffer_copy_missing(bool replaced)
{
	return replaced ? COFFER_TEXT_COPY_REPLACED : COFFER_TEXT_COPY_MISSING;
}

/* Add "header-primary" or "header-secondary": copy @i by itself, and against the other one.
 * -ENOMEM. */
int coffer_judge_copy(
	const struct coffer_facts *f, int i, const char *device, struct coffer_findings *l);

/* Both. */
int coffer_judge_copies(
	const struct coffer_facts *f, const char *device, struct coffer_findings *l);
