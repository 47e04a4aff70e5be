/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* coffer/err.h - errors and outcomes
 *
 * A call returns 0 on success and a negative errno on failure: the number is for programs, the
 * sentence in struct coffer_err is for people. The caller owns the structure, zeroes it before the
 * call, and may pass NULL instead. On success it is unchanged; on failure it is set. Its buffers
 * are fixed, so that a lack of memory can be reported, too. */
#ifndef COFFER_ERR_H
#define COFFER_ERR_H

#include "coffer/finding_id.h"

#ifdef __cplusplus
extern "C" {
#endif

#define COFFER_API __attribute__((visibility("default")))

/* The result of a call. The values are the exit statuses of the program, and are stable. */
enum coffer_outcome {
	COFFER_DONE = 0,
	COFFER_FAILED = 1,	 /* before this call wrote to the device */
	COFFER_USAGE = 2,	 /* wrong option or value */
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
	int code;			/* errno of the failure, positive; 0: no failure */
	enum coffer_outcome outcome;	/* if code is not 0 */
	enum coffer_finding_id id;	/* the finding; NONE: code alone describes it */
	char msg[COFFER_ERR_MSG];	/* "disk.img: mounted on /srv; unmount it first" */
	char advice[COFFER_ERR_ADVICE]; /* the way out, with which msg ends; "": none */
};

#ifdef __cplusplus
}
#endif
#endif
