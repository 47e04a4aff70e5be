/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* main.c - the table of verbs */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "cli/cli.h"
#include "cli/show.h"

static const struct coffer_cmd *const cmds[] = {&coffer_cmd_plan, &coffer_cmd_encrypt,
	&coffer_cmd_abort, &coffer_cmd_status, &coffer_cmd_doctor, &coffer_cmd_repair,
	&coffer_cmd_verify, &coffer_cmd_header_check, &coffer_cmd_header_backup,
	&coffer_cmd_header_restore};

/* How many of @words, which end with NULL, are the name of @cmd: all of its words, or 0. */
static int count_name(const struct coffer_cmd *cmd, char **words)
{
	const char *name = cmd->name;

	for (int n = 1; words[n - 1]; n++) {
		const size_t length = strcspn(name, " ");

		if (strlen(words[n - 1]) != length || strncmp(words[n - 1], name, length) != 0)
			return 0;
		name += length;
		if (!*name)
			return n;
		name++;
	}
	return 0;
}

/* The verb that @words begin with; NULL: none. *ret_n: of how many words it is. */
static const struct coffer_cmd *find_cmd(char **words, int *ret_n)
{
	for (size_t i = 0; i < ARRAY_SIZE(cmds); i++) {
		*ret_n = count_name(cmds[i], words);
		if (*ret_n > 0)
			return cmds[i];
	}
	return NULL;
}

/* Is @verb one of the verbs whose name begins with the word @group? "": of any. */
static bool in_group(const struct coffer_cmd *cmd, const char *group)
{
	const size_t n = strlen(group);

	return n == 0 || (strncmp(cmd->name, group, n) == 0 && cmd->name[n] == ' ');
}

static bool is_group(const char *word)
{
	for (size_t i = 0; i < ARRAY_SIZE(cmds); i++)
		if (*word && in_group(cmds[i], word))
			return true;
	return false;
}

static void list_verbs(FILE *f, const char *group)
{
	for (size_t i = 0; i < ARRAY_SIZE(cmds); i++)
		if (in_group(cmds[i], group))
			(void)fprintf(f, "  %-14s  %s\n", cmds[i]->name, cmds[i]->summary);
}

static void print_group(FILE *f, const char *group)
{
	(void)fprintf(f, "Usage: coffer %s VERB [OPTION...] DEVICE|IMAGE\n\nVerbs:\n", group);
	list_verbs(f, group);
	(void)fprintf(f, "\n'coffer %s VERB --help' lists the options of a verb.\n", group);
}

static void print_usage(FILE *f)
{
	(void)fprintf(f, "Usage: coffer VERB [OPTION...] DEVICE|IMAGE\n\n"
			 "Encrypt a filesystem in place, whatever instant the power fails.\n\n"
			 "Verbs:\n");
	list_verbs(f, "");
	(void)fprintf(f,
		"\n'coffer VERB --help' lists the options of a verb; coffer(8) has the whole "
		"manual.\n"
		"Exit codes: 0 done, 1 failed, 2 usage, 3 the answer is no, 4 unsafe and "
		"refused,\n            5 interrupted but resumable, 6 needs repair\n");
}

/* A report that could not be written is no success. */
static int end_output(void)
{
	return fflush(stdout) != 0 || ferror(stdout) ? COFFER_FAILED : COFFER_DONE;
}

/* Whatever was closed at the start is /dev/null: else the disk would be opened as standard input or
 * output, and a report would be written to it. */
static bool fill_standard_descriptors(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	return fd >= 0 && close(fd) == 0;
}

/* It may stand behind what is wrong. */
static bool wants_json(char **words)
{
	for (; *words; words++)
		if (strcmp(*words, "--json") == 0)
			return true;
	return false;
}

/* What a person typed is told to a person; to a program that asked for JSON, as JSON. */
static int wrong_usage(const char *verb, bool json, const struct coffer_err *e)
{
	_cleanup_json_ struct json_object *o = NULL;

	if (!json) {
		coffer_show_error(e->msg);
		return COFFER_USAGE;
	}
	o = coffer_json_report("usage");
	coffer_json_put_text(o, "verb", verb);
	return coffer_json_finish(o, COFFER_USAGE, e);
}

static int run_verb(const struct coffer_cmd *cmd, int argc, char **argv)
{
	struct coffer_args args = {0};
	struct coffer_err e = {0};

	if (coffer_args_parse(cmd, argc, argv, &args, &e) < 0) {
		(void)coffer_err_wrap(&e, -e.code, "%s", cmd->name);
		return wrong_usage(cmd->name, args.json || wants_json(argv + 1), &e);
	}
	if (args.help) {
		coffer_print_help(cmd);
		return end_output();
	}
	return cmd->run(cmd, &args);
}

static bool is_help(const char *word)
{
	return word && (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0);
}

/* coffer help [VERB]: of what it does not know it shows all there is. */
static int run_help(char **words)
{
	int n;
	const struct coffer_cmd *cmd = find_cmd(words, &n);

	if (cmd && !words[n])
		coffer_print_help(cmd);
	else if (words[0] && !words[1] && is_group(words[0]))
		print_group(stdout, words[0]);
	else
		print_usage(stdout);
	return end_output();
}

/* The first word of a verb, and no second one that makes it one. */
static int run_group(char **words)
{
	const char *group = words[0], *second = words[1];
	struct coffer_err e = {0};

	if (is_help(second)) {
		print_group(stdout, group);
		return end_output();
	}
	if (!second)
		(void)coffer_err_usage(&e, "'%s' wants a second word", group);
	else if (second[0] == '-')
		(void)coffer_err_usage(&e,
			"options go behind the whole verb, and '%s' wants a second word", group);
	else
		(void)coffer_err_usage(&e, "there is no verb '%s %s'", group, second);
	coffer_err_append(&e, "; 'coffer %s --help' lists them", group);
	return wrong_usage(group, wants_json(words), &e);
}

/* The first verb that has the option @word, which may have its value behind a "="; NULL: none. */
static const struct coffer_cmd *find_option(const char *word)
{
	const bool is_long = strncmp(word, "--", 2) == 0;
	const size_t n = strcspn(word, "=");

	for (size_t i = 0; i < ARRAY_SIZE(cmds); i++)
		for (const struct coffer_option *o = cmds[i]->options; o->name; o++)
			if (is_long ? strlen(o->name) == n - 2 &&
						strncmp(word + 2, o->name, n - 2) == 0
				    : o->short_name && word[1] == o->short_name)
				return cmds[i];
	return NULL;
}

/* No verb begins like this. */
static int run_nothing(char **words)
{
	const struct coffer_cmd *cmd = words[0][0] == '-' ? find_option(words[0]) : NULL;
	struct coffer_err e = {0};

	if (words[0][0] != '-')
		(void)coffer_err_usage(
			&e, "there is no verb '%s'; 'coffer --help' lists them", words[0]);
	else if (cmd)
		(void)coffer_err_usage(
			&e, "options go behind the verb: 'coffer %s %s ...'", cmd->name, words[0]);
	else
		(void)coffer_err_usage(
			&e, "there is no option '%s'; 'coffer --help' lists the verbs", words[0]);
	return wrong_usage(words[0], wants_json(words), &e);
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
	if (is_help(argv[1]))
		return run_help(argv + argc);
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
		(void)printf("coffer %s\n", COFFER_VERSION);
		return end_output();
	}
	cmd = find_cmd(argv + 1, &n);
	if (cmd)
		return run_verb(cmd, argc - n, argv + n);
	if (is_group(argv[1]))
		return run_group(argv + 1);
	return run_nothing(argv + 1);
}
