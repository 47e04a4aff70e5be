/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tap.h - what a test program says: one TAP line per check, the plan at the end
 *
 * Name the table's row in each check, so that a failing line tells which one it was. */
#pragma once
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

static unsigned int tap_n, tap_bad;

/* Whoever reads along, or reads what a crash left behind, wants whole lines. */
__attribute__((constructor)) static void tap_start(void)
{
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
}

__attribute__((format(printf, 4, 5))) static inline bool tap_check(
	bool good, const char *file, int line, const char *fmt, ...)
{
	va_list ap;

	if (!good) {
		tap_bad++;
		printf("# %s:%d: this check fails\n", file, line);
	}
	printf("%sok %u - ", good ? "" : "not ", ++tap_n);
	va_start(ap, fmt);
	(void)vprintf(fmt, ap);
	va_end(ap);
	(void)putchar('\n');
	return good;
}
#define ok(cond, ...) tap_check(cond, __FILE__, __LINE__, __VA_ARGS__)

/* A line for people, say the values of a check that fails. */
__attribute__((format(printf, 1, 2))) static inline void note(const char *fmt, ...)
{
	va_list ap;

	(void)fputs("# ", stdout);
	va_start(ap, fmt);
	(void)vprintf(fmt, ap);
	va_end(ap);
	(void)putchar('\n');
}

static inline void skip(const char *name, const char *why)
{
	printf("ok %u - %s # SKIP %s\n", ++tap_n, name, why);
}

/* The last line of main: return done_testing(); */
static inline int done_testing(void)
{
	printf("1..%u\n", tap_n);
	return tap_bad != 0;
}
