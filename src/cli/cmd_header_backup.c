/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmd_header_backup.c - coffer header backup */
#include <stdio.h>

#include "base/err.h"
#include "base/size.h"
#include "cli/cli.h"
#include "cli/show.h"
#include "coffer/backup.h"

DEFINE_CLEANUP(struct coffer_header_backup_result *, result, coffer_header_backup_free);

static int end_json(const struct coffer_args *args, int code,
	const struct coffer_header_backup_result *r, const struct coffer_err *e)
{
	_cleanup_json_ struct json_object *o = coffer_json_report("header backup");

	coffer_json_put_text(o, "device", args->encrypt.device);
	if (args->header_backup_file)
		coffer_json_put_text(o, "file", args->header_backup_file);
	if (r) {
		coffer_json_put_backup(o, "backup", &r->info);
		coffer_json_put_findings(o, "notes", &r->notes);
	}
	return coffer_json_finish(o, code, e);
}

static int end_text(const struct coffer_args *args, int code,
	const struct coffer_header_backup_result *r, const struct coffer_err *e)
{
	if (code != COFFER_DONE) {
		coffer_show_error(e->msg);
		return code;
	}
	if (!args->quiet) {
		coffer_show_text(stderr, args->header_backup_file);
		(void)fputs(": the header of the volume ", stderr);
		coffer_show_text(stderr, r->info.uuid);
		(void)fprintf(stderr, " (%s); ", coffer_size_format(r->info.image_size).s);
		(void)fputs("keep it away from this disk, and as safe as the passphrases: with it "
			    "each of today's opens the volume for ever\n",
			stderr);
	}
	coffer_show_findings(stderr, &r->notes, false);
	return code;
}

static int run_backup(const struct coffer_cmd *cmd, const struct coffer_args *args)
{
	_cleanup_(cleanup_result) struct coffer_header_backup_result *result = NULL;
	const struct coffer_header_backup_options o = {.device = args->encrypt.device,
		.file = args->header_backup_file,
		.stop = coffer_signals_stop};
	struct coffer_err e = {0};
	int r, code;

	(void)cmd;
	coffer_signals_install();
	r = o.file ? coffer_header_backup(&o, &result, &e)
		   : coffer_err_usage(&e, "--header-backup-file FILE is missing: where to?");
	code = coffer_err_exit_code(&e, r);
	return args->json ? end_json(args, code, result, &e) : end_text(args, code, result, &e);
}

static const struct coffer_option options[] = {
	{"header-backup-file", 0, "FILE", "where to; FILE must not exist"},
	{"json", 0, NULL, "the report as JSON on standard output"},
	{"quiet", 'q', NULL, "say nothing unless something is worth knowing"},
	{"help", 0, NULL, "show this help"},
	{0},
};

const struct coffer_cmd coffer_cmd_header_backup = {
	.name = "header backup",
	.args = "DEVICE|IMAGE",
	.summary = "Copy the LUKS2 header to a file that coffer and cryptsetup restore",
	.options = options,
	.run = run_backup,
};
