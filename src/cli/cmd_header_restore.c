/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmd_header_restore.c - coffer header restore */
#include <stdio.h>
#include <time.h>

#include "base/err.h"
#include "cli/cli.h"

DEFINE_CLEANUP(struct coffer_header_restore_result *, result, coffer_header_restore_free);

struct options {
	struct coffer_call call;
	const char *file;
	unsigned int allow; /* enum coffer_restore_allow */
	bool shown;	    /* the checks: once is enough */
};

/* In the order of the bits of enum coffer_restore_allow. */
static const char *const allow_words[] = {"uuid", "geometry", "keyslots", "volume-key", NULL};

static const struct coffer_option rows[] = {
	{"header-backup-file", 0, "FILE", COFFER_STRING(struct options, file),
		"read the header from FILE (required)", .required = true,
		.expect = coffer_expect_file},
	{"allow", 0, "LIST", COFFER_LIST(struct options, allow),
		"override: uuid, geometry, keyslots, volume-key", .words = allow_words},
	{0},
};

/* "/dev/vda2, 2026-03-01 12:00 UTC, coffer 0.1.0"; a file made by cryptsetup has no trailer. */
static void show_origin(FILE *f, const struct coffer_backup_info *b)
{
	const time_t date = (time_t)b->date;
	struct tm tm;
	char text[32] = "date unknown";

	if (!b->sealed)
		return;
	if (b->date && gmtime_r(&date, &tm))
		(void)strftime(text, sizeof(text), "%Y-%m-%d %H:%M UTC", &tm);
	coffer_show_field(f, "made from", "%s, %s, coffer %s", b->device, text, b->version);
	if (b->id[0])
		coffer_show_field(f, "disk", "%s", b->id);
}

static void show(FILE *f, struct options *o, const struct coffer_header_restore_result *r)
{
	if (o->shown)
		return;
	o->shown = true;
	coffer_show_line(f, "%s: backup of a LUKS2 header", o->file);
	coffer_show_field(f, "volume", "LUKS2 %s", r->info.uuid);
	show_origin(f, &r->info);
	coffer_show_findings(f, &r->checks, true);
}

static bool confirm(void *userdata, const struct coffer_header_restore_result *r)
{
	struct options *o = userdata;

	if (o->call.yes)
		return true;
	if (o->call.json)
		return false;
	show(stderr, o, r);
	return coffer_confirm("Write this header to the disk?");
}

static int end_json(const struct options *o, int code, const struct coffer_header_restore_result *r,
	const struct coffer_err *e)
{
	_cleanup_json_ struct json_object *j = coffer_json_report(&o->call);

	COFFER_PUT(j, "file", o->file);
	COFFER_PUT(j, "dry_run", o->call.dry_run);
	if (r) {
		COFFER_PUT(j, "backup", coffer_json_backup(&r->info));
		COFFER_PUT(j, "checks", coffer_json_findings(&r->checks));
		COFFER_PUT(j, "header_usable", r->header_usable);
		COFFER_PUT(j, "same", r->same);
		COFFER_PUT(j, "changed", r->changed);
		if (r->changed && code == COFFER_DONE)
			COFFER_PUT(j, "seqid_after", r->seqid);
	}
	return coffer_json_finish(j, code, e);
}

static int end_text(struct options *o, int code, const struct coffer_header_restore_result *r,
	const struct coffer_err *e)
{
	if (code != COFFER_DONE) {
		if (r && code == COFFER_REFUSED)
			show(stderr, o, r);
		coffer_show_error(e->msg);
		if (code == COFFER_INTERRUPTED)
			coffer_report_resume(&o->call, "", false);
		return code;
	}
	if (o->call.quiet && !o->call.dry_run)
		return code;
	if (r->same || o->call.dry_run)
		show(stdout, o, r);
	(void)fflush(stdout); /* the checks come first, also in "2>&1 | less" */
	coffer_show_line(stderr, "%s: %s", o->call.device,
		r->same		  ? "the disk already has this header; nothing to do"
		: o->call.dry_run ? "nothing was written (--dry-run)"
				  : "header restored");
	/* With --yes the checks were not shown. */
	if (!o->shown)
		coffer_show_findings(stderr, &r->checks, false);
	return coffer_show_end(code);
}

static int run_restore(void *options)
{
	struct options *o = options;
	const struct coffer_header_restore_options restore = {.device = o->call.device,
		.file = o->file,
		.dry_run = o->call.dry_run,
		.allow = o->allow,
		.confirm = confirm,
		.stop = coffer_signals_stop,
		.userdata = o};
	_cleanup_(cleanup_result) struct coffer_header_restore_result *result = NULL;
	struct coffer_err e = {0};
	int code;

	coffer_signals_install();
	code = coffer_err_exit_code(&e, coffer_header_restore(&restore, &result, &e));
	return o->call.json ? end_json(o, code, result, &e) : end_text(o, code, result, &e);
}

const struct coffer_cmd coffer_cmd_header_restore = {
	.name = "header restore",
	.args = "DEVICE|IMAGE",
	.summary = "Write a LUKS2 header from a file back to the disk",
	.options = COFFER_GROUPS({rows}, {coffer_dry_run_options}, {coffer_yes_options},
		{coffer_quiet_options}, {coffer_common_options}),
	.size = sizeof(struct options),
	.run = run_restore,
};
