/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* coffer/finding.h - one result of a check
 *
 * Results of calls have lists of findings. Programs use id and verdict, people read the sentences.
 * A list belongs to the result that holds it, and is freed with it. */
#ifndef COFFER_FINDING_H
#define COFFER_FINDING_H

#include <stddef.h>
#include <stdint.h>

#include "coffer/err.h"

#ifdef __cplusplus
extern "C" {
#endif

enum coffer_verdict {
	COFFER_VERDICT_OK,	  /* no problem */
	COFFER_VERDICT_NOTE,	  /* worth knowing; no action needed */
	COFFER_VERDICT_UNCHECKED, /* could not be checked; the text gives the reason */
	COFFER_VERDICT_BAD,	  /* a problem */
	COFFER_N_VERDICTS,
};
/* "ok", "note", "unchecked", "bad"; "unknown" for anything else. */
COFFER_API const char *coffer_verdict_name(enum coffer_verdict v);

/* "header-primary", "reserve", ...; "none" for NONE, "unknown" for anything else. */
COFFER_API const char *coffer_finding_name(enum coffer_finding_id id);

/* A fact in the sentence. */
enum coffer_argument_type {
	COFFER_ARGUMENT_NUMBER,
	COFFER_ARGUMENT_SIZE, /* bytes; the sentence shows KiB, MiB, ... */
	COFFER_ARGUMENT_TEXT,
};

struct coffer_argument {
	const char *name; /* "reserve", "filesystem_end", ...; static */
	enum coffer_argument_type type;
	uint64_t number; /* of NUMBER and SIZE */
	char text[512];	 /* of TEXT; truncated, with "..." at its end, if longer */
};

enum {
	COFFER_MAX_ARGUMENTS = 5
};

struct coffer_finding {
	enum coffer_finding_id id;
	enum coffer_verdict verdict;
	int code; /* errno, positive, if a run fails because of it; otherwise 0 */
	enum coffer_outcome outcome; /* of that failure */
	struct coffer_argument arguments[COFFER_MAX_ARGUMENTS];
	size_t n_arguments;
	char text[512];	   /* a sentence, without a full stop */
	char advice[1024]; /* the way out, a sentence; "": none */
	char **remedy;	   /* the command in advice, as a list of words that ends with NULL; "&&"
			    * separates two commands; NULL: none. It is right only under the
			    * condition in advice, and a word in capitals (LABEL, NUMBER) stands for
			    * a value */
};

struct coffer_findings {
	struct coffer_finding *items;
	size_t n;
};

#ifdef __cplusplus
}
#endif
#endif
