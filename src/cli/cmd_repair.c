/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmd_repair.c - coffer repair */
#include <stdio.h>

#include "base/err.h"
#include "cli/cli.h"
#include "cli/show.h"

DEFINE_CLEANUP(struct coffer_repair_result *, result, coffer_repair_free);

struct run {
	struct coffer_args args;
	struct coffer_report report;
	bool locked;
	bool shown; /* findings and actions: once is enough */
};

static int ask(void *userdata, enum coffer_ask why, uint8_t *buf, size_t size, struct coffer_err *e)
{
	const struct run *run = userdata;

	return coffer_read_key(&run->args, why, buf, size, e);
}

static void progress(void *userdata, const struct coffer_progress *p)
{
	struct run *run = userdata;

	if ((p->phase == COFFER_PHASE_CONVERT || p->phase == COFFER_PHASE_FINALIZE) &&
		!run->locked) {
		coffer_memory_lock();
		run->locked = true;
	}
	coffer_report_progress(&run->report, p);
}

static void show_findings(FILE *f, const struct run *run, const struct coffer_repair_result *r)
{
	const char *device = run->args.encrypt.device;

	coffer_show_text(f, device);
	if (r->findings.n == 0) {
		(void)fprintf(f, ": %s; nothing to repair\n", coffer_stage_name(r->status->stage));
		return;
	}
	(void)fprintf(f, ": %s\n", coffer_stage_name(r->status->stage));
	coffer_show_findings(f, &r->findings, true);
	for (size_t i = 0; i < r->n_actions; i++) {
		(void)fprintf(
			f, "  %zu. %-22s ", i + 1, coffer_repair_kind_name(r->actions[i].kind));
		coffer_show_wrapped(f, 28, r->actions[i].text);
	}
}

/* A person decides on a terminal; a script has said so beforehand. */
static bool confirm(void *userdata, const struct coffer_repair_result *r)
{
	struct run *run = userdata;

	if (run->args.yes)
		return true;
	if (run->args.json)
		return false;
	show_findings(stderr, run, r);
	run->shown = true;
	return coffer_confirm("Do this?");
}

static void put_actions(struct json_object *o, const struct coffer_repair_result *r)
{
	struct json_object *array = coffer_json_array_new();

	for (size_t i = 0; i < r->n_actions; i++) {
		struct json_object *a = coffer_json_object_new();

		(void)coffer_json_put_string(
			a, "action", coffer_repair_kind_name(r->actions[i].kind));
		coffer_json_put_text(a, "text", r->actions[i].text);
		(void)coffer_json_put_bool(a, "done", r->done[i]);
		(void)coffer_json_append(array, a);
	}
	(void)coffer_json_put(o, "actions", array);
}

static int end_json(const struct run *run, int code, const struct coffer_repair_result *r,
	const struct coffer_err *e)
{
	_cleanup_json_ struct json_object *o = coffer_json_report("repair");

	coffer_json_put_text(o, "device", run->args.encrypt.device);
	(void)coffer_json_put_bool(o, "dry_run", run->args.encrypt.dry_run);
	if (r) {
		coffer_json_put_status(o, "status", r->status);
		coffer_json_put_findings(o, "findings", &r->findings);
		put_actions(o, r);
		(void)coffer_json_put_bool(o, "changed", r->changed);
		if (r->changed) {
			(void)coffer_json_put_string(
				o, "stage_after", coffer_stage_name(r->stage_after));
			(void)coffer_json_put_bool(o, "stock_tools_kept_out", !r->unlocked_run);
		}
	}
	return coffer_json_finish(o, code, e);
}

/* Another program was faster: nothing is wrong, but somebody has said yes to more. */
static void show_overtaken(const struct run *run, const struct coffer_repair_result *r)
{
	for (size_t i = 0; i < r->n_actions; i++)
		if (!r->done[i])
			(void)fprintf(stderr,
				"%s: '%s' was not needed any more: another program was faster\n",
				run->args.encrypt.device,
				coffer_repair_kind_name(r->actions[i].kind));
}

/* Nobody was asked, and so nobody has read what the action leaves to do. */
static void show_rest(const struct run *run, const struct coffer_repair_result *r)
{
	for (size_t i = 0; i < r->n_actions && !run->shown; i++)
		if (r->done[i] && r->actions[i].kind == COFFER_REPAIR_UNDO_STOCK_PLACEMENT)
			(void)fprintf(stderr, "%s: %s: %s\n", run->args.encrypt.device,
				coffer_repair_kind_name(r->actions[i].kind), r->actions[i].text);
}

static int end_text(const struct run *run, int code, const struct coffer_repair_result *r,
	const struct coffer_err *e)
{
	const bool quiet = run->args.quiet;

	if (code == COFFER_DONE && r->n_actions == 0 && !quiet)
		show_findings(stdout, run, r);
	if (code == COFFER_DONE && run->args.encrypt.dry_run && r->n_actions > 0) {
		show_findings(stdout, run, r);
		(void)fflush(stdout); /* the findings come first, also in "2>&1 | less" */
		(void)fprintf(
			stderr, "%s: nothing was changed (--dry-run)\n", run->args.encrypt.device);
	}
	if (code != COFFER_DONE) {
		if (r && r->findings.n > 0 && code != COFFER_NO && r->n_done == 0 && !run->shown)
			show_findings(stderr, run, r);
		coffer_show_error(e->msg);
	}
	if (code == COFFER_INTERRUPTED) {
		(void)fputs("coffer: nothing is lost; go on with: ", stderr);
		coffer_report_command(&run->args, "repair");
	}
	if (code == COFFER_DONE && !run->args.encrypt.dry_run && !quiet)
		show_overtaken(run, r);
	if (code == COFFER_DONE && r->changed && !quiet) {
		(void)fprintf(stderr, "%s: repaired; it is %s now\n", run->args.encrypt.device,
			coffer_stage_name(r->stage_after));
		show_rest(run, r);
		if (r->unlocked_run)
			coffer_show_unlocked(stderr);
	}
	return fflush(stdout) != 0 || ferror(stdout) ? COFFER_FAILED : code;
}

static int run_repair(const struct coffer_cmd *cmd, const struct coffer_args *args)
{
	_cleanup_(cleanup_result) struct coffer_repair_result *result = NULL;
	struct run run = {.args = *args};
	const struct coffer_repair_options o = {.device = args->encrypt.device,
		.dry_run = args->encrypt.dry_run,
		.threads = args->encrypt.threads,
		.used_only = args->encrypt.used_only,
		.free_space = args->encrypt.free_space,
		.max_rate = args->encrypt.max_rate,
		.verify = args->encrypt.verify,
		.confirm = confirm,
		.callbacks = {.passphrase = ask,
			.progress = progress,
			.stop = coffer_signals_stop,
			.userdata = &run}};
	struct coffer_err e = {0};
	int r, code;

	coffer_signals_install();
	coffer_report_begin(&run.report, &run.args, cmd->name);
	r = coffer_repair(&o, &result, &e);
	coffer_report_clear(&run.report);
	code = coffer_err_exit_code(&e, r);
	return args->json ? end_json(&run, code, result, &e) : end_text(&run, code, result, &e);
}

static const struct coffer_option options[] = {
	{"dry-run", 'n', NULL, "say what is wrong and what would be done, change nothing"},
	{"yes", 'y', NULL, "do it without asking"},
	{"key-file", 'd', "FILE", "passphrase or key from FILE, all of it; - is standard input"},
	{"key-fd", 0, "FD", "the same from an open descriptor"},
	{"keyfile-size", 'l', "BYTES", "read only so many bytes of the key file"},
	{"keyfile-offset", 0, "BYTES", "skip the first bytes of the key file"},
	{"threads", 0, "N", "threads of the engine, up to 16"},
	COFFER_RUN_OPTIONS,
	{"json", 0, NULL, "progress and report as JSON lines on standard output; asks nothing"},
	{"quiet", 'q', NULL, "say nothing unless something is wrong"},
	{"help", 0, NULL, "show this help"},
	{0},
};

const struct coffer_cmd coffer_cmd_repair = {
	.name = "repair",
	.args = "DEVICE|IMAGE",
	.summary = "Finish what is unfinished, undo what is undoable, mend what is torn",
	.options = options,
	.run = run_repair,
};
