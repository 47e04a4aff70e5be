/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmd_header_backup.c - coffer header backup */
#include "base/err.h"
#include "base/size.h"
#include "cli/cli.h"

DEFINE_CLEANUP(struct coffer_header_backup_result *, result, coffer_header_backup_free);

struct options {
	struct coffer_call call;
	const char *file;
};

static const struct coffer_option rows[] = {
	{"header-backup-file", 0, "FILE", COFFER_STRING(struct options, file),
		"write the backup to a new FILE (required)", .required = true,
		.expect = coffer_expect_file},
	{0},
};

static int end_json(const struct options *o, int code, const struct coffer_header_backup_result *r,
	const struct coffer_err *e)
{
	_cleanup_json_ struct json_object *j = coffer_json_report(&o->call);

	COFFER_PUT(j, "file", o->file);
	if (r) {
		COFFER_PUT(j, "backup", coffer_json_backup(&r->info));
		COFFER_PUT(j, "notes", coffer_json_findings(&r->notes));
	}
	return coffer_json_finish(j, code, e);
}

static int run_backup(void *options)
{
	const struct options *o = options;
	const struct coffer_header_backup_options backup = {
		.device = o->call.device, .file = o->file, .stop = coffer_signals_stop};
	_cleanup_(cleanup_result) struct coffer_header_backup_result *r = NULL;
	struct coffer_err e = {0};
	int code;

	coffer_signals_install();
	code = coffer_err_exit_code(&e, coffer_header_backup(&backup, &r, &e));
	if (o->call.json)
		return end_json(o, code, r, &e);
	if (code != COFFER_DONE) {
		coffer_show_error(e.msg);
		return code;
	}
	if (!o->call.quiet) {
		coffer_show_line(stderr, "%s: backup of the LUKS2 header", o->file);
		coffer_show_field(stderr, "volume", "LUKS2 %s", r->info.uuid);
		coffer_show_field(stderr, "size", "%s", coffer_size_format(r->info.image_size).s);
		coffer_show_field(stderr, "note",
			"store it away from this disk, as safely as the passphrases: with this "
			"backup, each of today's passphrases opens the volume, even one that is "
			"removed later");
	}
	coffer_show_findings(stderr, &r->notes, false);
	return code;
}

const struct coffer_cmd coffer_cmd_header_backup = {
	.name = "header backup",
	.args = "DEVICE|IMAGE",
	.summary = "Copy the LUKS2 header to a file",
	.options = COFFER_GROUPS({rows}, {coffer_quiet_options}, {coffer_common_options}),
	.size = sizeof(struct options),
	.run = run_backup,
};
