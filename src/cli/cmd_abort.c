/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmd_abort.c - coffer abort */
#include "base/err.h"
#include "cli/cli.h"

static void progress(void *userdata, const struct coffer_progress *p)
{
	coffer_report_progress(userdata, p);
}

static int run_abort(const struct coffer_cmd *cmd, const struct coffer_args *args)
{
	struct coffer_encrypt_options options = args->encrypt;
	struct coffer_encrypt_result result = {0};
	struct coffer_report report;
	struct coffer_err e = {0};
	int r;

	coffer_signals_install();
	coffer_report_begin(&report, args, cmd->name);
	options.callbacks = (struct coffer_encrypt_callbacks){
		.progress = progress, .stop = coffer_signals_stop, .userdata = &report};
	r = coffer_abort(&options, &result, &e);
	return coffer_report_end(&report, r, &result, &e);
}

static const struct coffer_option options[] = {
	{"dry-run", 'n', NULL, "say what would be done, change nothing"},
	{"json", 0, NULL, "the report as JSON lines on standard output"},
	{"quiet", 'q', NULL, "say nothing unless something is wrong"},
	{"help", 0, NULL, "show this help"},
	{0},
};

const struct coffer_cmd coffer_cmd_abort = {
	.name = "abort",
	.args = "DEVICE|IMAGE",
	.summary = "Take a conversion back before its first step was committed",
	.options = options,
	.run = run_abort,
};
