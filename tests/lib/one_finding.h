/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* one_finding.h - a row of facts and the one finding that a judge makes of them */
#pragma once
#include <string.h>

#include "base/findings.h"
#include "tap.h"

#define OK	  COFFER_VERDICT_OK
#define NOTE	  COFFER_VERDICT_NOTE
#define UNCHECKED COFFER_VERDICT_UNCHECKED
#define BAD	  COFFER_VERDICT_BAD

/* The checks are this one and no other; @words are in its text, @remedy in its remedy ("": there is
 * none). */
static inline void one(const char *name, struct coffer_findings *l, const char *id,
	enum coffer_verdict v, const char *words, const char *remedy)
{
	const struct coffer_finding *c = l->n ? l->items : NULL;

	if (!ok(l->n == 1 && strcmp(coffer_finding_name(c->id), id) == 0 && c->verdict == v &&
			    strstr(c->text, words) &&
			    (*remedy ? strstr(c->advice, remedy) != NULL : !c->advice[0]),
		    "%s", name))
		for (size_t i = 0; i < l->n; i++)
			note("%s %s: %s -> %s", coffer_verdict_name(l->items[i].verdict),
				coffer_finding_name(l->items[i].id), l->items[i].text,
				l->items[i].advice);
	coffer_findings_free(l);
}
