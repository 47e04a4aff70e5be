/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* err.h - set an error where it happens, wrap it on the way up (contract: coffer/err.h) */
#pragma once
#include <stdarg.h>
#include <stdbool.h>

#include "coffer/err.h"

/* Set @e from errno value @code (positive) and a sentence without a final dot; errno's own text
 * is appended only by coffer_err_errno. All of them return -code; @e may be NULL. */
int coffer_err_set(struct coffer_err *e, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
int coffer_err_errno(struct coffer_err *e, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* The same with an outcome other than COFFER_FAILED. */
int coffer_err_refuse(struct coffer_err *e, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
int coffer_err_needs_repair(struct coffer_err *e, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
int coffer_err_usage(struct coffer_err *e, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* Put "context: " in front of the message and return @r. */
int coffer_err_wrap(struct coffer_err *e, int r, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Hand up a failure that was kept aside: @why becomes *@e. Returns @r. */
int coffer_err_pass(struct coffer_err *e, int r, const struct coffer_err *why);

/* Is @r one of the errors for "this user may not": -EACCES, -EPERM, -EROFS? */
bool coffer_err_is_no_access(int r);

/* Where @r is negative: what stands in the way is @id, unless a call below said it. Returns @r. */
int coffer_err_id(struct coffer_err *e, int r, enum coffer_finding_id id);

/* What happened stays, what it means is @outcome. */
void coffer_err_outcome(struct coffer_err *e, enum coffer_outcome outcome);

/* End the message with "; advice", the way out. Half of a command is another command, so an advice
 * that does not fit is left out. Returns @r. */
int coffer_err_advise(struct coffer_err *e, int r, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Continue the message. */
void coffer_err_append(struct coffer_err *e, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* The exit code for a call that returned @r: the outcome of @e, or FAILED where nobody set one. */
int coffer_err_exit_code(const struct coffer_err *e, int r);
