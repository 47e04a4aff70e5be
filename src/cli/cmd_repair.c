/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmd_repair.c - coffer repair */
#include <stdio.h>

#include "base/err.h"
#include "cli/cli.h"
#include "cli/show.h"
#include "coffer/repair.h"

DEFINE_CLEANUP(struct coffer_repair_result *, result, coffer_repair_free);

struct options {
	struct coffer_call call;
	struct coffer_key_options key;
	struct coffer_encrypt_options run; /* the options of a run only */
};

struct run {
	struct coffer_report report; /* first, as the userdata of its callbacks */
	const struct options *o;
	bool shown; /* findings and actions: once is enough */
};

static void show_findings(FILE *f, const struct run *run, const struct coffer_repair_result *r)
{
	const char *device = run->o->call.device;

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

/* --yes, or an answer on the terminal. */
static bool confirm(void *userdata, const struct coffer_repair_result *r)
{
	struct run *run = userdata;

	if (run->o->call.yes)
		return true;
	if (run->o->call.json)
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

	coffer_json_put_text(o, "device", run->o->call.device);
	(void)coffer_json_put_bool(o, "dry_run", run->o->call.dry_run);
	if (r) {
		(void)coffer_json_put(o, "status", coffer_json_status(r->status));
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

/* Another program was faster: fewer actions were done than were confirmed. */
static void show_overtaken(const struct run *run, const struct coffer_repair_result *r)
{
	for (size_t i = 0; i < r->n_actions; i++)
		if (!r->done[i])
			(void)fprintf(stderr,
				"%s: '%s' was not needed any more: another program was faster\n",
				run->o->call.device, coffer_repair_kind_name(r->actions[i].kind));
}

/* Without a question, what the action leaves to do was not shown yet. */
static void show_rest(const struct run *run, const struct coffer_repair_result *r)
{
	for (size_t i = 0; i < r->n_actions && !run->shown; i++)
		if (r->done[i] && r->actions[i].kind == COFFER_REPAIR_UNDO_STOCK_PLACEMENT)
			(void)fprintf(stderr, "%s: %s: %s\n", run->o->call.device,
				coffer_repair_kind_name(r->actions[i].kind), r->actions[i].text);
}

static int end_failed(const struct run *run, int code, const struct coffer_repair_result *r,
	const struct coffer_err *e)
{
	if (r && r->findings.n > 0 && code != COFFER_NO && r->n_done == 0 && !run->shown)
		show_findings(stderr, run, r);
	coffer_show_error(e->msg);
	if (code == COFFER_INTERRUPTED) {
		(void)fputs("coffer: nothing is lost; go on with: ", stderr);
		coffer_report_command(&run->o->call);
	}
	return code;
}

static int end_done(const struct run *run, const struct coffer_repair_result *r)
{
	const struct coffer_call *call = &run->o->call;

	if (r->n_actions == 0 ? !call->quiet : call->dry_run)
		show_findings(stdout, run, r);
	(void)fflush(stdout); /* the findings come first, also in "2>&1 | less" */
	if (call->dry_run && r->n_actions > 0)
		(void)fprintf(stderr, "%s: nothing was changed (--dry-run)\n", call->device);
	if (call->dry_run || call->quiet)
		return coffer_show_end(COFFER_DONE);
	show_overtaken(run, r);
	if (r->changed) {
		(void)fprintf(stderr, "%s: repaired; it is %s now\n", call->device,
			coffer_stage_name(r->stage_after));
		show_rest(run, r);
		if (r->unlocked_run)
			coffer_show_unlocked(stderr);
	}
	return coffer_show_end(COFFER_DONE);
}

static int run_repair(void *options)
{
	const struct options *o = options;
	struct run run = {.o = o};
	struct coffer_repair_options repair = {.device = o->call.device,
		.dry_run = o->call.dry_run,
		.threads = o->run.threads,
		.used_only = o->run.used_only,
		.free_space = o->run.free_space,
		.max_rate = o->run.max_rate,
		.verify = o->run.verify,
		.confirm = confirm};
	_cleanup_(cleanup_result) struct coffer_repair_result *result = NULL;
	struct coffer_err e = {0};
	int r, code;

	coffer_report_begin(&run.report, &o->call, &o->key);
	repair.callbacks = coffer_report_callbacks(&run.report);
	r = coffer_repair(&repair, &result, &e);
	coffer_report_clear(&run.report);
	code = coffer_err_exit_code(&e, r);
	if (o->call.json)
		return end_json(&run, code, result, &e);
	return code == COFFER_DONE ? end_done(&run, result) : end_failed(&run, code, result, &e);
}

const struct coffer_cmd coffer_cmd_repair = {
	.name = "repair",
	.args = "DEVICE|IMAGE",
	.summary = "Repair what an interruption has left on a disk",
	.options = COFFER_GROUPS(
		{coffer_key_options, offsetof(struct options, key), coffer_key_check},
		{coffer_run_options, offsetof(struct options, run)}, {coffer_dry_run_options},
		{coffer_yes_options}, {coffer_quiet_options}, {coffer_common_options}),
	.size = sizeof(struct options),
	.run = run_repair,
};
