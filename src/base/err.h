/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* err.h - set an error where it happens, wrap it on the way up (contract: coffer/err.h) */
#pragma once
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>

#include "coffer/err.h"

/* Set @e from the positive errno @code, the outcome and a sentence without a full stop. All of them
 * return -code; @e may be NULL. coffer_err_errno appends strerror. */
int coffer_err_format(struct coffer_err *e, int code, enum coffer_outcome outcome, const char *fmt,
	...) __attribute__((format(printf, 4, 5)));
#define coffer_err_set(e, code, ...)	coffer_err_format(e, code, COFFER_FAILED, __VA_ARGS__)
#define coffer_err_refuse(e, code, ...) coffer_err_format(e, code, COFFER_REFUSED, __VA_ARGS__)
#define coffer_err_needs_repair(e, code, ...)                                                      \
	coffer_err_format(e, code, COFFER_NEEDS_REPAIR, __VA_ARGS__)
#define coffer_err_no(e, code, ...) coffer_err_format(e, code, COFFER_NO, __VA_ARGS__)
#define coffer_err_usage(e, ...)    coffer_err_format(e, EINVAL, COFFER_USAGE, __VA_ARGS__)
int coffer_err_errno(struct coffer_err *e, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

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
