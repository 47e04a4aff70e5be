/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* err.h - set an error where it happens, wrap it on the way up (contract: coffer/err.h) */
#pragma once
#include <stdarg.h>
#include <stdbool.h>

#include "coffer/err.h"

/* Set @e from the positive errno @code and a sentence without a full stop; coffer_err_errno appends
 * strerror. All of them return -code; @e may be NULL. */
int coffer_err_set(struct coffer_err *e, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
int coffer_err_errno(struct coffer_err *e, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* The same with another outcome than COFFER_FAILED. */
int coffer_err_refuse(struct coffer_err *e, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
int coffer_err_needs_repair(struct coffer_err *e, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
int coffer_err_no(struct coffer_err *e, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
int coffer_err_usage(struct coffer_err *e, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* Put "context: " in front of the message and return @r. */
int coffer_err_wrap(struct coffer_err *e, int r, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Describe a negative @r, if the callee set no error. Returns @r. */
int coffer_err_default(struct coffer_err *e, int r);

/* Copy the stored failure @why to @e. Returns @r. */
int coffer_err_pass(struct coffer_err *e, int r, const struct coffer_err *why);

/* Is @r -EACCES, -EPERM or -EROFS? */
bool coffer_err_is_no_access(int r);

/* Set the subject of a negative @r, unless a callee has set one. Returns @r. */
int coffer_err_id(struct coffer_err *e, int r, enum coffer_finding_id id);

/* Change the outcome alone. */
void coffer_err_outcome(struct coffer_err *e, enum coffer_outcome outcome);

/* End the message with "; advice", the way out. Half of a command is another command, so an advice
 * that does not fit is left out. Returns @r. */
int coffer_err_advise(struct coffer_err *e, int r, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Continue the message. */
void coffer_err_append(struct coffer_err *e, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* The exit code for a call that returned @r: the outcome of @e, or FAILED if none was set. */
int coffer_err_exit_code(const struct coffer_err *e, int r);
