/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* coffer/finding.h - one result of a check
 *
 * Plan, verify, repair and others report a list of these. Programs use id and verdict, people
 * the sentences. The list is owned by the result that holds it. */
#ifndef COFFER_FINDING_H
#define COFFER_FINDING_H

#include <stddef.h>
#include <stdint.h>

#include "coffer/err.h"

#ifdef __cplusplus
extern "C" {
#endif

enum coffer_verdict {
	COFFER_VERDICT_OK,	  /* as it must be */
	COFFER_VERDICT_NOTE,	  /* worth knowing; nothing has to be done */
	COFFER_VERDICT_UNCHECKED, /* could not be checked; the text says why */
	COFFER_VERDICT_BAD,	  /* not as it must be */
	COFFER_N_VERDICTS,
};
/* "ok", "note", "unchecked", "bad"; "unknown" for anything else. */
COFFER_API const char *coffer_verdict_name(enum coffer_verdict v);

/* "header-primary", "reserve", ...; "none" for NONE, "unknown" for anything else. */
COFFER_API const char *coffer_finding_name(enum coffer_finding_id id);

/* A fact that the sentence is made of. */
enum coffer_argument_type {
	COFFER_ARGUMENT_NUMBER,
	COFFER_ARGUMENT_SIZE, /* bytes, which people see as KiB, MiB, ... */
	COFFER_ARGUMENT_TEXT,
};

struct coffer_argument {
	const char *name; /* "reserve", "filesystem_end", ...: static */
	enum coffer_argument_type type;
	uint64_t number; /* NUMBER and SIZE */
	char text[512];	 /* TEXT; a longer one ends with three dots */
};

enum {
	COFFER_MAX_ARGUMENTS = 5
};

struct coffer_finding {
	enum coffer_finding_id id;
	enum coffer_verdict verdict;
	int code;		     /* a run fails with this errno because of it; 0: it does not */
	enum coffer_outcome outcome; /* and with this outcome */
	struct coffer_argument arguments[COFFER_MAX_ARGUMENTS];
	size_t n_arguments;
	char text[512];	   /* a sentence, without a full stop */
	char advice[1024]; /* the way out, a sentence; "": none */
	char **remedy;	   /* the command in it, as words that end with NULL, "&&" between two
			    * commands; NULL: none. It is right under the condition that advice
			    * gives; words in capitals (LABEL, NUMBER) stand for a value. Freed with
			    * the list */
};

struct coffer_findings {
	struct coffer_finding *items;
	size_t n;
};

#ifdef __cplusplus
}
#endif
#endif
