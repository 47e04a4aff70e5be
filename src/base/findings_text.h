/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* findings_text.h - the sentences of findings: one table, and how a finding is made from it */
#pragma once
#include "coffer/finding.h"

/* Of a disk with unrecognized content. */
#define COFFER_LOST_HEADER                                                                         \
	"if it was a LUKS2 volume, its header is lost and an encryption would destroy the data"

/* One for each row of the table. */
enum coffer_text {
#define SAYS(name, what, v, s, a)    COFFER_TEXT_##name,
#define REFUSES(name, what, c, s, a) COFFER_TEXT_##name,
#define FORBIDS(name, what, s)	     COFFER_TEXT_##name,
#define DAMAGED(name, what, s, a)    COFFER_TEXT_##name,
#include "base/findings_table.h"
#undef SAYS
#undef REFUSES
#undef FORBIDS
#undef DAMAGED
	COFFER_N_TEXTS,
};

/* A list of arguments, and a command: for coffer_finding_make. */
#define COFFER_WITH(...) ((const struct coffer_argument[]){__VA_ARGS__, {.name = NULL}})
#define COFFER_ARG_NUMBER(n, v)                                                                    \
	{                                                                                          \
		.name = (n), .type = COFFER_ARGUMENT_NUMBER, .number = (v)                         \
	}
#define COFFER_ARG_SIZE(n, v)                                                                      \
	{                                                                                          \
		.name = (n), .type = COFFER_ARGUMENT_SIZE, .number = (v)                           \
	}
#define COFFER_ARG_TEXT(n, v) coffer_argument_text((n), (v))
#define COFFER_RUN(...)	      ((const char *const[]){__VA_ARGS__, NULL})

/* An argument that is a text; "": none, and a part of the sentence in brackets is left out. */
struct coffer_argument coffer_argument_text(const char *name, const char *text);

/* Fill @ret from row @t. Either of @arguments and @remedy may be NULL. @ret->remedy is for
 * coffer_findings_put or coffer_finding_reset. -ENOMEM. */
int coffer_finding_make(struct coffer_finding *ret, enum coffer_text t,
	const struct coffer_argument *arguments, const char *const *remedy);
/* A copy of a command, in one block for free(): the pointers, then what they point to. NULL: no
 * memory. */
char **coffer_words_copy(const char *const *words);
void coffer_finding_reset(struct coffer_finding *f);
#define _cleanup_finding_ _cleanup_(coffer_finding_reset)
