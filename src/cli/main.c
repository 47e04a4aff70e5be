/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* main.c - the table of verbs */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "cli/cli.h"

/* The verbs, in the order of the help: coffer_cmd_NAME, which the verb's own file defines. */
#define VERBS(X)                                                                                   \
	X(plan)                                                                                    \
	X(encrypt)                                                                                 \
	X(abort)                                                                                   \
	X(status)                                                                                  \
	X(doctor)                                                                                  \
	X(repair)                                                                                  \
	X(verify)                                                                                  \
	X(header_check)                                                                            \
	X(header_backup)                                                                           \
	X(header_restore)

#define DECLARE(name)  extern const struct coffer_cmd coffer_cmd_##name;
#define POINT_TO(name) &coffer_cmd_##name,
VERBS(DECLARE)
static const struct coffer_cmd *const cmds[] = {VERBS(POINT_TO)};

/* The verb at the start of @words, a NULL-ended list; *ret_n: of how many words. NULL: none. */
static const struct coffer_cmd *find_cmd(char **words, int *ret_n)
{
	char two[64];

	if (!words[0])
		return NULL;
	(void)snprintf(two, sizeof(two), "%s %s", words[0], words[1] ? words[1] : "");
	for (size_t i = 0; i < ARRAY_SIZE(cmds); i++) {
		*ret_n = strcmp(cmds[i]->name, two) == 0 ? 2 : 1;
		if (*ret_n == 2 || strcmp(cmds[i]->name, words[0]) == 0)
			return cmds[i];
	}
	return NULL;
}

/* Is @word the first one of a verb of two? */
static bool is_group(const char *word)
{
	const size_t n = strlen(word);

	for (size_t i = 0; i < ARRAY_SIZE(cmds); i++)
		if (n > 0 && strncmp(cmds[i]->name, word, n) == 0 && cmds[i]->name[n] == ' ')
			return true;
	return false;
}

static void print_usage(FILE *f)
{
	(void)fputs("Usage: coffer VERB [OPTION...] [DEVICE|IMAGE...]\n\n"
		    "Encrypt a filesystem in place as a LUKS2 volume, safe against power cuts.\n\n"
		    "Verbs:\n",
		f);
	for (size_t i = 0; i < ARRAY_SIZE(cmds); i++)
		(void)fprintf(f, "  %-14s  %s\n", cmds[i]->name, cmds[i]->summary);
	(void)fputs("\nSee 'coffer VERB --help' for the options of a verb.\n\n"
		    "Exit status: 0 done, 1 failed, 2 wrong usage, 3 negative answer, 4 refused\n"
		    "as unsafe, 5 interrupted and resumable, 6 needs repair.\n\n"
		    "See coffer(8).\n",
		f);
}

/* Open closed standard streams as /dev/null. Otherwise the disk could become standard output, and a
 * report would be written to it. */
static bool fill_standard_descriptors(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	return fd >= 0 && close(fd) == 0;
}

/* After a wrong word, too, where the parser has stopped. */
static bool wants_json(char **words)
{
	for (; *words; words++)
		if (strcmp(*words, "--json") == 0)
			return true;
	return false;
}

static int wrong_usage(const char *verb, char **words, const struct coffer_err *e)
{
	_cleanup_json_ struct json_object *o = NULL;

	if (!wants_json(words)) {
		coffer_show_error(e->msg);
		return COFFER_USAGE;
	}
	o = coffer_json_report(&(struct coffer_call){.verb = "usage"});
	if (verb)
		COFFER_PUT(o, "verb", verb);
	return coffer_json_finish(o, COFFER_USAGE, e);
}

static int run_verb(const struct coffer_cmd *cmd, int argc, char **argv)
{
	_cleanup_free_ void *options = calloc(1, cmd->size);
	const struct coffer_call *call = options;
	struct coffer_err e = {0};

	if (!options) {
		coffer_show_error("out of memory");
		return COFFER_FAILED;
	}
	if (coffer_args_parse(cmd, argc, argv, options, &e) < 0) {
		(void)coffer_err_wrap(&e, -e.code, "%s", cmd->name);
		return wrong_usage(cmd->name, argv + 1, &e);
	}
	if (!call->help)
		return cmd->run(options);
	coffer_print_help(cmd);
	return coffer_show_end(COFFER_DONE);
}

/* Is @word the option @name, in full or shortened, or "-" and its @letter? */
static bool is_option(const char *word, const char *name, char letter)
{
	return word && word[0] == '-' &&
	       ((word[1] == letter && !word[2]) ||
		       (word[1] == '-' && word[2] && strncmp(word, name, strlen(word)) == 0));
}

/* @words begin with no verb. @help: they follow "coffer help". */
static int run_unknown(char **words, bool help)
{
	const char *first = words[0], *second = words[1];
	const bool group = is_group(first), two = group && second && second[0] != '-';
	struct coffer_err e = {0};

	if (group && (second ? is_option(second, "--help", 'h') : help)) {
		print_usage(stdout);
		return coffer_show_end(COFFER_DONE);
	}
	(void)coffer_err_usage(&e, "%s '%s%s%s'; see 'coffer --help'",
		first[0] == '-' ? "expected a verb before" : "unknown verb", first, two ? " " : "",
		two ? second : "");
	return wrong_usage(first[0] == '-' ? NULL : first, words, &e);
}

/* coffer help [VERB] */
static int run_help(char **words)
{
	int n;
	const struct coffer_cmd *cmd = find_cmd(words, &n);

	if (words[0] && !cmd && !is_option(words[0], "--help", 'h'))
		return run_unknown(words, true);
	if (cmd)
		coffer_print_help(cmd);
	else
		print_usage(stdout);
	return coffer_show_end(COFFER_DONE);
}

int main(int argc, char **argv)
{
	const struct coffer_cmd *cmd;
	int n;

	if (!fill_standard_descriptors())
		return COFFER_FAILED;
	coffer_memory_protect();
	if (argc < 2) {
		print_usage(stderr);
		return COFFER_USAGE;
	}
	if (strcmp(argv[1], "help") == 0)
		return run_help(argv + 2);
	if (is_option(argv[1], "--help", 'h'))
		return run_help(argv + argc);
	if (is_option(argv[1], "--version", 'V')) {
		(void)printf("coffer %s\n", COFFER_VERSION);
		return coffer_show_end(COFFER_DONE);
	}
	cmd = find_cmd(argv + 1, &n);
	return cmd ? run_verb(cmd, argc - n, argv + n) : run_unknown(argv + 1, false);
}
