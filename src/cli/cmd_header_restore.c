/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmd_header_restore.c - coffer header restore */
#include <stdio.h>
#include <time.h>

#include "base/err.h"
#include "cli/cli.h"
#include "cli/show.h"
#include "coffer/backup.h"

DEFINE_CLEANUP(struct coffer_header_restore_result *, result, coffer_header_restore_free);

struct run {
	const struct coffer_args *args;
	bool shown; /* the checks: once is enough */
};

/* "/dev/vda2, 2026-03-01 12:00 UTC, coffer 0.1.0"; of a stock file nothing of that is known. */
static void show_origin(FILE *f, const struct coffer_backup_info *b)
{
	const time_t date = (time_t)b->date;
	struct tm tm;
	char text[32];

	if (!b->sealed)
		return;
	(void)fputs("  made of ", f);
	coffer_show_text(f, b->device);
	if (b->date && gmtime_r(&date, &tm) &&
		strftime(text, sizeof(text), "%Y-%m-%d %H:%M UTC", &tm) > 0)
		(void)fprintf(f, " on %s", text);
	(void)fputs(" by coffer ", f);
	coffer_show_text(f, b->version);
	if (b->id[0]) {
		(void)fputs("; ", f);
		coffer_show_text(f, b->id);
	}
	(void)fputc('\n', f);
}

static void show(FILE *f, struct run *run, const struct coffer_header_restore_result *r)
{
	if (run->shown)
		return;
	run->shown = true;
	coffer_show_text(f, run->args->header_backup_file);
	(void)fputs(": a header of the volume ", f);
	coffer_show_text(f, r->info.uuid);
	(void)fputc('\n', f);
	show_origin(f, &r->info);
	coffer_show_findings(f, &r->checks, true);
}

static bool confirm(void *userdata, const struct coffer_header_restore_result *r)
{
	struct run *run = userdata;

	if (run->args->yes)
		return true;
	if (run->args->json)
		return false;
	show(stderr, run, r);
	return coffer_confirm("Put this header onto the disk?");
}

static int end_json(const struct run *run, int code, const struct coffer_header_restore_result *r,
	const struct coffer_err *e)
{
	_cleanup_json_ struct json_object *o = coffer_json_report("header restore");

	coffer_json_put_text(o, "device", run->args->encrypt.device);
	if (run->args->header_backup_file)
		coffer_json_put_text(o, "file", run->args->header_backup_file);
	(void)coffer_json_put_bool(o, "dry_run", run->args->encrypt.dry_run);
	if (r) {
		coffer_json_put_backup(o, "backup", &r->info);
		coffer_json_put_findings(o, "checks", &r->checks);
		(void)coffer_json_put_bool(o, "header_whole", r->header_whole);
		(void)coffer_json_put_bool(o, "same", r->same);
		(void)coffer_json_put_bool(o, "changed", r->changed);
		if (r->changed && code == COFFER_DONE)
			(void)coffer_json_put_u64(o, "seqid_after", r->seqid);
	}
	return coffer_json_finish(o, code, e);
}

static void show_done(struct run *run, const struct coffer_header_restore_result *r)
{
	const char *device = run->args->encrypt.device;

	if (r->same || run->args->encrypt.dry_run)
		show(stdout, run, r);
	(void)fflush(stdout); /* the checks come first, also in "2>&1 | less" */
	coffer_show_text(stderr, device);
	if (r->same)
		(void)fputs(": this header is there already; nothing was to be done\n", stderr);
	else if (run->args->encrypt.dry_run)
		(void)fputs(": nothing was changed (--dry-run)\n", stderr);
	else {
		(void)fputs(": the header of the volume ", stderr);
		coffer_show_text(stderr, r->info.uuid);
		(void)fputs(" is back\n", stderr);
	}
	/* With --yes nobody has seen them, and "unchecked" is worth knowing afterwards, too. */
	if (!run->shown)
		coffer_show_findings(stderr, &r->checks, false);
}

static int end_text(struct run *run, int code, const struct coffer_header_restore_result *r,
	const struct coffer_err *e)
{
	if (code == COFFER_DONE && (!run->args->quiet || run->args->encrypt.dry_run)) {
		show_done(run, r);
		return fflush(stdout) != 0 || ferror(stdout) ? COFFER_FAILED : code;
	}
	if (code == COFFER_DONE)
		return code;
	if (r && code == COFFER_REFUSED)
		show(stderr, run, r);
	coffer_show_error(e->msg);
	if (code == COFFER_INTERRUPTED)
		coffer_show_error("nothing is lost; run the same command again");
	return code;
}

static int run_restore(const struct coffer_cmd *cmd, const struct coffer_args *args)
{
	_cleanup_(cleanup_result) struct coffer_header_restore_result *result = NULL;
	struct run run = {.args = args};
	const struct coffer_header_restore_options o = {.device = args->encrypt.device,
		.file = args->header_backup_file,
		.dry_run = args->encrypt.dry_run,
		.allow = args->allow,
		.confirm = confirm,
		.stop = coffer_signals_stop,
		.userdata = &run};
	struct coffer_err e = {0};
	int r, code;

	(void)cmd;
	coffer_signals_install();
	r = o.file ? coffer_header_restore(&o, &result, &e)
		   : coffer_err_usage(&e, "--header-backup-file FILE is missing: from where?");
	code = coffer_err_exit_code(&e, r);
	return args->json ? end_json(&run, code, result, &e) : end_text(&run, code, result, &e);
}

static const struct coffer_option options[] = {
	{"header-backup-file", 0, "FILE", "from where; coffer's file or cryptsetup's"},
	{"allow", 0, "LIST", "although refused: uuid, geometry, keyslots, volume-key"},
	{"dry-run", 'n', NULL, "compare and say what speaks against it, change nothing"},
	{"yes", 'y', NULL, "do it without asking"},
	{"json", 0, NULL, "the report as JSON on standard output; asks nothing"},
	{"quiet", 'q', NULL, "say nothing unless something is wrong"},
	{"help", 0, NULL, "show this help"},
	{0},
};

const struct coffer_cmd coffer_cmd_header_restore = {
	.name = "header restore",
	.args = "DEVICE|IMAGE",
	.summary = "Put a LUKS2 header back from a file, whatever instant the power fails",
	.options = options,
	.run = run_restore,
};
