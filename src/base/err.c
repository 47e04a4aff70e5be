/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* err.c - set an error where it happens, wrap it on the way up */
#include "base/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

__attribute__((format(printf, 4, 0))) static void set(
	struct coffer_err *e, int code, enum coffer_outcome outcome, const char *fmt, va_list ap)
{
	if (!e)
		return;
	e->code = code;
	e->outcome = outcome;
	e->id = COFFER_FINDING_NONE;
	e->advice[0] = '\0';
	(void)vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
}

int coffer_err_format(
	struct coffer_err *e, int code, enum coffer_outcome outcome, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	set(e, code, outcome, fmt, ap);
	va_end(ap);
	return -code;
}

int coffer_err_errno(struct coffer_err *e, int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	set(e, code, COFFER_FAILED, fmt, ap);
	va_end(ap);
	coffer_err_append(e, ": %s", strerror(code));
	return -code;
}

int coffer_err_default(struct coffer_err *e, int r)
{
	if (e && r < 0 && e->code == 0)
		(void)coffer_err_set(e, -r, "%s", strerror(-r));
	return r;
}

int coffer_err_wrap(struct coffer_err *e, int r, const char *fmt, ...)
{
	char context[COFFER_ERR_MSG];
	char inner[COFFER_ERR_MSG];
	va_list ap;

	if (!e || r >= 0)
		return r;
	va_start(ap, fmt);
	(void)vsnprintf(context, sizeof(context), fmt, ap);
	va_end(ap);
	(void)coffer_err_default(e, r);
	memcpy(inner, e->msg, sizeof(inner));
	if (snprintf(e->msg, sizeof(e->msg), "%s: %s", context, inner) >= (int)sizeof(e->msg))
		memcpy(e->msg + sizeof(e->msg) - 4, "...", 4);
	return r;
}

int coffer_err_pass(struct coffer_err *e, int r, const struct coffer_err *why)
{
	if (e)
		*e = *why;
	return r;
}

bool coffer_err_is_no_access(int r)
{
	return r == -EACCES || r == -EPERM || r == -EROFS;
}

int coffer_err_id(struct coffer_err *e, int r, enum coffer_finding_id id)
{
	if (e && r < 0 && e->id == COFFER_FINDING_NONE)
		e->id = id;
	return r;
}

void coffer_err_outcome(struct coffer_err *e, enum coffer_outcome outcome)
{
	if (e)
		e->outcome = outcome;
}

int coffer_err_advise(struct coffer_err *e, int r, const char *fmt, ...)
{
	size_t used;
	va_list ap;
	int n;

	if (!e)
		return r;
	va_start(ap, fmt);
	n = vsnprintf(e->advice, sizeof(e->advice), fmt, ap);
	va_end(ap);
	used = strlen(e->msg);
	if (n < 0 || (size_t)n >= sizeof(e->advice) || used + (size_t)n + 2 >= sizeof(e->msg))
		e->advice[0] = '\0';
	else
		(void)snprintf(e->msg + used, sizeof(e->msg) - used, "; %s", e->advice);
	return r;
}

void coffer_err_append(struct coffer_err *e, const char *fmt, ...)
{
	size_t used;
	va_list ap;

	if (!e)
		return;
	used = strlen(e->msg);
	va_start(ap, fmt);
	(void)vsnprintf(e->msg + used, sizeof(e->msg) - used, fmt, ap);
	va_end(ap);
}

int coffer_err_exit_code(const struct coffer_err *e, int r)
{
	if (r >= 0)
		return COFFER_DONE;
	if (!e || e->code == 0)
		return COFFER_FAILED;
	return (int)e->outcome;
}
