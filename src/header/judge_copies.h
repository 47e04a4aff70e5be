/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* judge_copies.h - findings about header copies that all verbs share */
#pragma once
#include "base/findings.h"
#include "convert/decide.h"

/* Add "header-primary" or "header-secondary": copy @i by itself, and against the other one.
 * NULL for @device: without a way out. -ENOMEM. */
int coffer_judge_copy(
	const struct coffer_facts *f, int i, const char *device, struct coffer_findings *l);

/* Both. */
int coffer_judge_copies(
	const struct coffer_facts *f, const char *device, struct coffer_findings *l);
