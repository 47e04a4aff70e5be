/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* main.c - the table of verbs */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cli/cli.h"
#include "cli/show.h"

static const struct coffer_cmd *const cmds[] = {&coffer_cmd_plan, &coffer_cmd_encrypt,
	&coffer_cmd_abort, &coffer_cmd_status, &coffer_cmd_repair, &coffer_cmd_verify};

static void print_usage(FILE *f)
{
	(void)fprintf(f, "Usage: coffer VERB [OPTION...] DEVICE|IMAGE\n\n"
			 "Encrypt a filesystem in place, whatever instant the power fails.\n\n"
			 "Verbs:\n");
	for (size_t i = 0; i < ARRAY_SIZE(cmds); i++)
		(void)fprintf(f, "  %-10s %s\n", cmds[i]->name, cmds[i]->summary);
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

/* What a person typed is told to a person; to a program that asked for JSON, as JSON. */
static int wrong_usage(
	const struct coffer_cmd *cmd, const struct coffer_args *args, const struct coffer_err *e)
{
	_cleanup_json_ struct json_object *o = NULL;

	if (!args->json) {
		(void)fprintf(stderr, "coffer: %s: ", cmd->name);
		coffer_show_text(stderr, e->msg);
		(void)fputc('\n', stderr);
		return COFFER_USAGE;
	}
	o = coffer_json_report("usage");
	(void)coffer_json_put_string(o, "verb", cmd->name);
	return coffer_json_finish(o, COFFER_USAGE, e);
}

static int run_verb(const struct coffer_cmd *cmd, int argc, char **argv)
{
	struct coffer_args args = {0};
	struct coffer_err e = {0};

	if (coffer_args_parse(cmd, argc, argv, &args, &e) < 0) {
		for (int i = 1; i < argc; i++) /* it may stand behind what was wrong */
			args.json = args.json || strcmp(argv[i], "--json") == 0;
		return wrong_usage(cmd, &args, &e);
	}
	if (args.help) {
		coffer_print_help(cmd);
		return end_output();
	}
	return cmd->run(cmd, &args);
}

int main(int argc, char **argv)
{
	if (!fill_standard_descriptors())
		return COFFER_FAILED;
	coffer_memory_protect();
	if (argc < 2) {
		print_usage(stderr);
		return COFFER_USAGE;
	}
	if (strcmp(argv[1], "help") == 0 && argc == 3) { /* coffer help VERB */
		for (size_t i = 0; i < ARRAY_SIZE(cmds); i++)
			if (strcmp(argv[2], cmds[i]->name) == 0) {
				coffer_print_help(cmds[i]);
				return end_output();
			}
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
		strcmp(argv[1], "help") == 0) {
		print_usage(stdout);
		return end_output();
	}
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
		(void)printf("coffer %s\n", COFFER_VERSION);
		return end_output();
	}
	for (size_t i = 0; i < ARRAY_SIZE(cmds); i++)
		if (strcmp(argv[1], cmds[i]->name) == 0)
			return run_verb(cmds[i], argc - 1, argv + 1);
	if (argv[1][0] == '-')
		(void)fprintf(stderr,
			"coffer: options go behind the verb: 'coffer encrypt %s ...'\n", argv[1]);
	else
		(void)fprintf(stderr, "coffer: there is no verb '%s'; 'coffer --help' lists them\n",
			argv[1]);
	return COFFER_USAGE;
}
