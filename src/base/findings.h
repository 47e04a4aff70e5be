/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* findings.h - build a list of findings (contract: coffer/finding.h) */
#pragma once
#include <stddef.h>

#include "base/findings_text.h"

/* Add what row @t of findings_table.h says, to the end of @l. Either of @arguments (COFFER_WITH)
 * and @remedy (COFFER_RUN) may be NULL. -ENOMEM: the list is as it was, and a caller must not
 * report it as complete. */
int coffer_findings_add(struct coffer_findings *l, enum coffer_text t,
	const struct coffer_argument *arguments, const char *const *remedy);

/* A failure that is a finding: @why about @name, without the name. Bad. -ENOMEM. */
int coffer_findings_add_err(struct coffer_findings *l, enum coffer_finding_id id, const char *name,
	const struct coffer_err *why);

/* Add @f, which is made from findings_text.h, and leave it empty. -ENOMEM: it is reset. */
int coffer_findings_put(struct coffer_findings *l, struct coffer_finding *f);

/* The same as an error about @name: "name: sentence; remedy". Returns -f->code; @f is left as it
 * is. */
int coffer_err_from_finding(struct coffer_err *e, const char *name, const struct coffer_finding *f);

/* How many have this verdict. */
size_t coffer_findings_count(const struct coffer_findings *l, enum coffer_verdict v);

/* The first check of this id; NULL when there is none. */
const struct coffer_finding *coffer_findings_find(
	const struct coffer_findings *l, enum coffer_finding_id id);

/* Frees the items and leaves an empty list; the struct itself is the caller's. */
void coffer_findings_free(struct coffer_findings *l);
