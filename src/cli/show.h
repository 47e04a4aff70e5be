/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* show.h - what the reporting verbs print: sentences for people, objects for programs
 *
 * Texts may hold names from a disk or from other processes, so none reaches a terminal with a
 * control character in it, nor a JSON report with bytes that are not UTF-8. */
#pragma once
#include <stdio.h>

#include "base/json.h"
#include "coffer/backup.h"
#include "coffer/finding.h"
#include "coffer/status.h"

/* "done", "failed", ...: what an exit code means. */
const char *coffer_outcome_name(int exit_code);

/* --- for people --- */

/* @text without its control characters. */
void coffer_show_text(FILE *f, const char *text);
/* The same and a newline. On a terminal it is wrapped; each line begins at column @indent. */
void coffer_show_wrapped(FILE *f, size_t indent, const char *text);
/* A line "coffer: @text" on stderr. */
void coffer_show_error(const char *text);
/* The exit code of a verb whose report on stdout is complete; FAILED if it could not be written. */
int coffer_show_end(int exit_code);
/* "  name         text" */
void coffer_show_field(FILE *f, const char *name, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* The same of a run that had no access to cryptsetup's locks. */
void coffer_show_unlocked(FILE *f);
/* One line for each check, its remedy below; those that are OK only when @all. */
void coffer_show_findings(FILE *f, const struct coffer_findings *c, bool all);
/* "@subject: @stage; 9 checks, 1 bad, ..." and the findings, on stdout. @stage may be "". */
void coffer_show_report(
	const char *subject, const char *stage, const struct coffer_findings *c, bool all);
/* @text as a shell takes it for one word, with a space in front. */
void coffer_show_word(FILE *f, const char *text);

/* --- for programs --- */

/* Put a string; bytes that are not UTF-8 become U+FFFD. */
void coffer_json_put_text(struct json_object *o, const char *key, const char *text);
/* The same, unless @text is empty. */
void coffer_json_put_known(struct json_object *o, const char *key, const char *text);
void coffer_json_put_findings(
	struct json_object *o, const char *key, const struct coffer_findings *c);
/* The facts in a header backup, as an object under @key. */
void coffer_json_put_backup(
	struct json_object *o, const char *key, const struct coffer_backup_info *b);
/* A disk's status as an object. */
struct json_object *coffer_json_status(const struct coffer_status *s);
/* {"report": @verb}; the caller adds to it and hands it to coffer_json_finish. */
struct json_object *coffer_json_report(const char *verb);
/* Add what @e says: "id", where something known stands in the way, "errno" and "message". */
void coffer_json_put_error(struct json_object *o, const struct coffer_err *e);
/* Add "outcome", "exit_code" and, where that is not 0, the error, and print the line. Returns the
 * exit code, or FAILED when stdout does not take it. */
int coffer_json_finish(struct json_object *o, int exit_code, const struct coffer_err *e);
/* Add "schema_version" to @o and print it as one line at once: a reader acts on it. */
int coffer_json_print(struct json_object *o);
