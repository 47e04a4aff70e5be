/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* coffer/finding.h - one thing that was looked at, and what was found
 *
 * Plan, verify and repair tell what they found as a list of these. Programs go by id and verdict,
 * people by the sentences. The list is owned by the result that holds it. */
#ifndef COFFER_FINDING_H
#define COFFER_FINDING_H

#include <stddef.h>

#include "coffer/err.h"

#ifdef __cplusplus
extern "C" {
#endif

enum coffer_verdict {
	COFFER_VERDICT_OK,	  /* as it must be */
	COFFER_VERDICT_NOTE,	  /* worth knowing; nothing has to be done */
	COFFER_VERDICT_UNCHECKED, /* could not be looked at; the text says why */
	COFFER_VERDICT_BAD,	  /* not as it must be */
	COFFER_N_VERDICTS,
};
/* "ok", "note", "unchecked", "bad"; "unknown" for anything else. */
COFFER_API const char *coffer_verdict_name(enum coffer_verdict v);

/* "header-primary", "reserve", ...; "none" for NONE, "unknown" for anything else. */
COFFER_API const char *coffer_finding_name(enum coffer_finding_id id);

struct coffer_finding {
	enum coffer_finding_id id;
	enum coffer_verdict verdict;
	char text[512];	   /* a sentence, without a full stop */
	char remedy[1024]; /* what to do; "": nothing */
};

struct coffer_findings {
	struct coffer_finding *items;
	size_t n;
};

#ifdef __cplusplus
}
#endif
#endif
