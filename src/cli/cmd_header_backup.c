/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmd_header_backup.c - coffer header backup */
#include <stdio.h>

#include "base/err.h"
#include "base/size.h"
#include "cli/cli.h"
#include "cli/show.h"
#include "coffer/backup.h"

struct options {
	struct coffer_call call;
	const char *file;
};

static const struct coffer_option rows[] = {
	{"header-backup-file", 0, "FILE", COFFER_STRING(struct options, file),
		"write the backup to FILE, which must not exist", .required = true,
		.expect = coffer_expect_file},
	{0},
};

DEFINE_CLEANUP(struct coffer_header_backup_result *, result, coffer_header_backup_free);

static int end_json(const struct options *o, int code, const struct coffer_header_backup_result *r,
	const struct coffer_err *e)
{
	_cleanup_json_ struct json_object *j = coffer_json_report("header backup");

	coffer_json_put_text(j, "device", o->call.device);
	coffer_json_put_text(j, "file", o->file);
	if (r) {
		coffer_json_put_backup(j, "backup", &r->info);
		coffer_json_put_findings(j, "notes", &r->notes);
	}
	return coffer_json_finish(j, code, e);
}

static int end_text(const struct options *o, int code, const struct coffer_header_backup_result *r,
	const struct coffer_err *e)
{
	if (code != COFFER_DONE) {
		coffer_show_error(e->msg);
		return code;
	}
	if (!o->call.quiet) {
		coffer_show_text(stderr, o->file);
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

static int run_backup(void *options)
{
	const struct options *o = options;
	const struct coffer_header_backup_options backup = {
		.device = o->call.device, .file = o->file, .stop = coffer_signals_stop};
	_cleanup_(cleanup_result) struct coffer_header_backup_result *result = NULL;
	struct coffer_err e = {0};
	int code;

	coffer_signals_install();
	code = coffer_err_exit_code(&e, coffer_header_backup(&backup, &result, &e));
	return o->call.json ? end_json(o, code, result, &e) : end_text(o, code, result, &e);
}

const struct coffer_cmd coffer_cmd_header_backup = {
	.name = "header backup",
	.args = "DEVICE|IMAGE",
	.summary = "Copy the LUKS2 header to a file",
	.options = COFFER_GROUPS({rows}, {coffer_quiet_options}, {coffer_common_options}),
	.size = sizeof(struct options),
	.run = run_backup,
};
