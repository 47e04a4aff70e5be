/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* show.h - print reports: lines for people, JSON for programs
 *
 * Names on a disk and of processes may hold any byte: no control character reaches the terminal,
 * and nothing but UTF-8 a JSON report. */
#pragma once
#include <stdio.h>

#include "base/json.h"
#include "coffer/backup.h"
#include "coffer/finding.h"
#include "coffer/status.h"

struct coffer_call;

/* --- for people --- */

/* @text without its control characters. */
void coffer_show_text(FILE *f, const char *text);
/* The same, formatted, and a newline. */
void coffer_show_line(FILE *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A line "coffer: @text" on stderr. */
void coffer_show_error(const char *text);
/* "  name      text" */
void coffer_show_field(FILE *f, const char *name, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* The field of a run that had no access to cryptsetup's locks. */
void coffer_show_unlocked(FILE *f);
/* A line for each finding, its way out below; those that are OK only with @all. */
void coffer_show_findings(FILE *f, const struct coffer_findings *l, bool all);
/* "@subject: @stage; 9 checks, 1 failed, ..." and the findings, on stdout. @stage may be "". */
void coffer_show_checks(
	const char *subject, const char *stage, const struct coffer_findings *l, bool all);
/* A space and @text, quoted for a shell. */
void coffer_show_word(FILE *f, const char *text);
/* Flush stdout. Returns @exit_code, or FAILED if the report could not be written. */
int coffer_show_end(int exit_code);

/* --- for programs --- */

/* Put a member, by the type of its value. An int is none of them: it may be meant as a bool. */
/* clang-format off */
#define COFFER_PUT(o, name, value)                                                                 \
	((void)_Generic((value), bool: coffer_json_put_bool, double: coffer_json_put_double,       \
		uint32_t: coffer_json_put_u64, uint64_t: coffer_json_put_u64,                      \
		char *: coffer_json_put_text, const char *: coffer_json_put_text,                  \
		struct json_object *: coffer_json_put)((o), (name), (value)))
/* clang-format on */
/* Put a string; bytes that are not UTF-8 become U+FFFD. -ENOMEM. */
int coffer_json_put_text(struct json_object *o, const char *name, const char *value);
/* The same, unless it is empty. */
void coffer_json_put_known(struct json_object *o, const char *name, const char *value);
struct json_object *coffer_json_findings(const struct coffer_findings *l);
struct json_object *coffer_json_backup(const struct coffer_backup_info *b);
struct json_object *coffer_json_status(const struct coffer_status *s);
/* Members "id", if there is one, "errno" and "message". */
void coffer_json_put_error(struct json_object *o, const struct coffer_err *e);
/* A report of @call: the caller adds to it and hands it to coffer_json_finish. */
struct json_object *coffer_json_report(const struct coffer_call *call);
/* Add "outcome", "exit_code" and, if it is not 0, the error. */
void coffer_json_put_outcome(struct json_object *o, int exit_code, const struct coffer_err *e);
/* Add the outcome and print the report. Returns the exit code, or FAILED if that failed. */
int coffer_json_finish(struct json_object *o, int exit_code, const struct coffer_err *e);
/* Add "schema_version" and print @o as one line, at once: a reader acts on it. */
int coffer_json_print(struct json_object *o);
