/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* findings.h - build the list of what was looked at (contract: coffer/finding.h) */
#pragma once
#include <stddef.h>

#include "coffer/finding.h"

/* Add a check to the end of @l. The sentence has no full stop; one that does not
 * fit is cut with three dots. -ENOMEM: the list is as it was, and a caller must not report it as
 * if it were whole. */
int coffer_findings_add(struct coffer_findings *l, enum coffer_finding_id id, enum coffer_verdict v,
	const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* The way out for the check that was added last; nothing when the list is empty. */
void coffer_findings_remedy(struct coffer_findings *l, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

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
