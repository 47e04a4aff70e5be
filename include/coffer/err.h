/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* coffer/err.h - errors and outcomes
 *
 * Calls return 0 (or a count) on success and a negative errno on failure: the number is for
 * programs, the sentence in struct coffer_err is for people. The caller owns the object and may
 * pass NULL. On success it is unchanged; on failure it is set once, where the failure happened, and
 * each caller on the way up puts its context in front. The buffers are fixed, so that errors are
 * reported without memory, too. */
#ifndef COFFER_ERR_H
#define COFFER_ERR_H

#include "coffer/finding_id.h"

#ifdef __cplusplus
extern "C" {
#endif

#define COFFER_API __attribute__((visibility("default")))

/* The result of an operation. The values are the exit codes of the program: published, stable. */
enum coffer_outcome {
	COFFER_DONE = 0,
	COFFER_FAILED = 1,	 /* before anything was written */
	COFFER_USAGE = 2,	 /* wrong options or arguments */
	COFFER_NO = 3,		 /* a negative answer: not encrypted, nothing to abort, ... */
	COFFER_REFUSED = 4,	 /* unsafe; the device was not changed */
	COFFER_INTERRUPTED = 5,	 /* the same call resumes */
	COFFER_NEEDS_REPAIR = 6, /* a person must decide */
};

enum {
	COFFER_ERR_MSG = 1024,
	COFFER_ERR_ADVICE = 512,
};

struct coffer_err {
	int code;			/* errno of the innermost failure, positive; 0 = none yet */
	enum coffer_outcome outcome;	/* valid when code is not 0 */
	enum coffer_finding_id id;	/* the subject; NONE: code says all */
	char msg[COFFER_ERR_MSG];	/* "disk.img: mounted on /srv; unmount it first" */
	char advice[COFFER_ERR_ADVICE]; /* the way out, with which msg ends; "": none is known */
};

#ifdef __cplusplus
}
#endif
#endif
