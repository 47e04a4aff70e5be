/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cli.h - what the verbs share: options as rows, passphrases, progress, reports
 *
 * Only this folder prints, asks and exits. A report goes to stdout, progress and errors to stderr.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "base/json.h"
#include "coffer/backup.h"
#include "coffer/encrypt.h"
#include "coffer/finding.h"
#include "coffer/status.h"

/* --- options --- */

/* The type of an option's value, and of its target. */
enum coffer_option_type {
	COFFER_OPTION_FLAG,   /* bool; takes no value */
	COFFER_OPTION_STRING, /* const char *; max: its length in bytes */
	COFFER_OPTION_CHOICE, /* an enum; word n is the value min + n */
	COFFER_OPTION_LIST,   /* unsigned int, bit n for word n; words separated by commas */
	COFFER_OPTION_NUMBER, /* uint32_t; decimal, from min to max */
	COFFER_OPTION_SIZE,   /* uint64_t; bytes, from min to max */
	COFFER_OPTION_FD,     /* int; a file descriptor, -1 unless given */
};

/* One option. The parser and the help both follow the rows. */
struct coffer_option {
	const char *name;  /* without the dashes; NULL ends the rows */
	char letter;	   /* its short name; 0: none */
	const char *value; /* name of its value in the help; NULL: takes none */
	enum coffer_option_type type;
	size_t target;	   /* offset in the structure that the rows fill */
	const char *help;  /* with the default in brackets */
	bool required;	   /* of a STRING */
	uint64_t min, max; /* max 0: no limit but the type's */
	uint64_t multiple; /* 0: any */
	bool power_of_two;
	const char *const *words; /* only these values; NULL-ended */
	/* What a valid value is, where @value is not; NULL: it is valid. */
	const char *(*expect)(const char *value);
};

/* A row's type and target. The comparison does not compile where the field has another type. */
#define COFFER_FIELD(type, field, c)                                                               \
	(offsetof(type, field) + 0 * sizeof((c *)NULL == &((type *)NULL)->field))
#define COFFER_FLAG(t, f)   .type = COFFER_OPTION_FLAG, .target = COFFER_FIELD(t, f, bool)
#define COFFER_STRING(t, f) .type = COFFER_OPTION_STRING, .target = COFFER_FIELD(t, f, const char *)
#define COFFER_CHOICE(t, f) .type = COFFER_OPTION_CHOICE, .target = COFFER_FIELD(t, f, unsigned int)
#define COFFER_LIST(t, f)   .type = COFFER_OPTION_LIST, .target = COFFER_FIELD(t, f, unsigned int)
#define COFFER_NUMBER(t, f) .type = COFFER_OPTION_NUMBER, .target = COFFER_FIELD(t, f, uint32_t)
#define COFFER_SIZE(t, f)   .type = COFFER_OPTION_SIZE, .target = COFFER_FIELD(t, f, uint64_t)
#define COFFER_FD(t, f)	    .type = COFFER_OPTION_FD, .target = COFFER_FIELD(t, f, int)

/* How a verb was called. Each verb's options begin with it. */
struct coffer_call {
	const char *verb;
	const char *device; /* the operand; NULL if the verb takes any number of them */
	char **operands;    /* NULL-ended */
	char **words;	    /* all that follows the verb, as it was given; NULL-ended */
	bool dry_run, yes, json, quiet, help;
};

/* Where a passphrase or key comes from. */
struct coffer_key_options {
	const char *file; /* "-": stdin */
	int fd;		  /* -1: none */
	uint64_t offset;
	uint64_t size; /* 0: all */
	bool ask;
};

/* Rows that several verbs share, and the structure that they fill. */
extern const struct coffer_option coffer_key_options[];	    /* struct coffer_key_options */
extern const struct coffer_option coffer_volume_options[];  /* struct coffer_encrypt_options */
extern const struct coffer_option coffer_run_options[];	    /* struct coffer_encrypt_options */
extern const struct coffer_option coffer_dry_run_options[]; /* struct coffer_call */
extern const struct coffer_option coffer_yes_options[];	    /* struct coffer_call */
extern const struct coffer_option coffer_quiet_options[];   /* struct coffer_call */
extern const struct coffer_option coffer_common_options[];  /* struct coffer_call: every verb */

/* A file's name, not "-"; a row's expect. */
const char *coffer_expect_file(const char *value);

bool coffer_key_given(const struct coffer_key_options *k);
/* The check of a group with these rows. */
int coffer_key_check(const void *key_options, struct coffer_err *e);

struct coffer_option_group {
	const struct coffer_option *rows;
	size_t base; /* offset of the structure that they fill, in the verb's options */
	/* Refuse values of the structure that exclude each other; NULL: all go together. */
	int (*check)(const void *structure, struct coffer_err *e);
};

/* All groups of a verb. */
#define COFFER_GROUPS(...) ((const struct coffer_option_group[]){__VA_ARGS__, {0}})

/* A verb. */
struct coffer_cmd {
	const char *name; /* one word, or two separated by a blank: "header check" */
	const char *args;
	const char *summary;
	const struct coffer_option_group *options; /* COFFER_GROUPS */
	size_t size;	 /* of the verb's options, which begin with struct coffer_call */
	bool any_number; /* of operands, none too; else exactly one */
	/* Returns an exit code (enum coffer_outcome). @options is the verb's to change. */
	int (*run)(void *options);
};

/* Parse @argv by @cmd's rows into @ret, @cmd->size bytes of zeros. With --help the operands do not
 * count. */
int coffer_args_parse(
	const struct coffer_cmd *cmd, int argc, char **argv, void *ret, struct coffer_err *e);
void coffer_print_help(const struct coffer_cmd *cmd);

/* --- keys and questions --- */

enum {
	COFFER_MAX_KEY = 32 << 10 /* as much as the library asks for */
};

/* Keep keys out of core dumps and of other processes' sight; at the start of main. */
void coffer_memory_protect(void);
/* Lock what is in memory now, cipher contexts in the heap above all. As far as this user may. */
void coffer_memory_lock(void);

/* Read the passphrase or key of @device into @buf: from --key-fd, --key-file, a terminal, or a line
 * of stdin. Returns its length. */
int coffer_read_key(const struct coffer_key_options *k, const char *device, enum coffer_ask why,
	uint8_t *buf, size_t size, struct coffer_err *e);

/* Ask on the terminal; without one, print the reason and return false. */
bool coffer_confirm(const char *question);

/* SIGINT and SIGTERM ask the run to stop at its next commit. */
void coffer_signals_install(void);
bool coffer_signals_stop(void *unused);
/* From now on, report a request to stop on the terminal at once. */
void coffer_signals_announce(void);
/* read(2) that a request to stop ends with EINTR; other signals do not. */
ssize_t coffer_signals_read(int fd, void *buf, size_t n);

/* --- one run: its callbacks, its progress and its end --- */

struct coffer_report {
	const struct coffer_call *call;
	const struct coffer_key_options *key; /* NULL: the verb takes none */
	double started;			      /* seconds */
	double converting;		      /* when the first step began; 0: not yet */
	bool terminal;			      /* stderr is one */
	bool line_shown;		      /* of progress, on the terminal */
	bool no_key;			      /* it could not be read */
	unsigned int percent;		      /* of the last line, a multiple of five */
	double last_shown;		      /* progress; 0: not yet */
};
/* Returns callbacks that read the key, show progress and stop at a signal; their userdata is @r. */
struct coffer_encrypt_callbacks coffer_report_begin(struct coffer_report *r,
	const struct coffer_call *call, const struct coffer_key_options *key);
/* Remove the line of progress from the terminal, for other text. */
void coffer_report_clear(struct coffer_report *r);
/* Print that the run was interrupted @at (" at 1 MiB of 2 MiB" or ""), and the command that resumes
 * it, unless @key_failed. */
void coffer_report_resume(const struct coffer_call *call, const char *at, bool key_failed);
/* Did the run fail with @e since its key is missing or wrong? */
bool coffer_report_key_failed(const struct coffer_report *r, const struct coffer_err *e);
/* The field that says how unused blocks are handled; none for DEFAULT and "". */
void coffer_report_unused(FILE *f, enum coffer_free_space free_space, const char *all_because);
/* Print the summary or the error; returns the exit code. */
int coffer_report_end(struct coffer_report *r, int status,
	const struct coffer_encrypt_result *result, const struct coffer_err *e);

/* --- reports ---
 *
 * Names on a disk and of processes may hold any byte: no control character reaches the terminal,
 * and nothing but UTF-8 a JSON report. */

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
