/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmd_repair.c - coffer repair */
#include <stdio.h>

#include "base/err.h"
#include "cli/cli.h"
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
	coffer_show_line(f, "%s: %s%s", run->o->call.device, coffer_stage_name(r->status->stage),
		r->findings.n == 0 ? "; nothing to repair" : "");
	coffer_show_findings(f, &r->findings, true);
	for (size_t i = 0; i < r->n_actions; i++)
		coffer_show_line(f, "  %zu. %s: %s", i + 1,
			coffer_repair_kind_name(r->actions[i].kind), r->actions[i].text);
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

static struct json_object *actions_json(const struct coffer_repair_result *r)
{
	struct json_object *array = coffer_json_array_new();

	for (size_t i = 0; i < r->n_actions; i++) {
		struct json_object *o = coffer_json_object_new();

		COFFER_PUT(o, "action", coffer_repair_kind_name(r->actions[i].kind));
		COFFER_PUT(o, "text", r->actions[i].text);
		COFFER_PUT(o, "done", r->done[i]);
		(void)coffer_json_append(array, o);
	}
	return array;
}

static int end_json(const struct run *run, int code, const struct coffer_repair_result *r,
	const struct coffer_err *e)
{
	_cleanup_json_ struct json_object *o = coffer_json_report(&run->o->call);

	COFFER_PUT(o, "dry_run", run->o->call.dry_run);
	if (r) {
		COFFER_PUT(o, "status", coffer_json_status(r->status));
		COFFER_PUT(o, "findings", coffer_json_findings(&r->findings));
		COFFER_PUT(o, "actions", actions_json(r));
		COFFER_PUT(o, "changed", r->changed);
	}
	if (r && r->changed) {
		COFFER_PUT(o, "stage_after", coffer_stage_name(r->stage_after));
		COFFER_PUT(o, "stock_tools_kept_out", (bool)!r->unlocked_run);
	}
	return coffer_json_finish(o, code, e);
}

/* Actions that another program was faster to do; and without a question, what an action that was
 * done leaves to do was not shown yet. */
static void show_actions(const struct run *run, const struct coffer_repair_result *r)
{
	for (size_t i = 0; i < r->n_actions; i++) {
		const char *name = coffer_repair_kind_name(r->actions[i].kind);

		if (!r->done[i])
			coffer_show_field(stderr, "note", "%s: another program did it", name);
		else if (!run->shown && r->actions[i].kind == COFFER_REPAIR_UNDO_STOCK_PLACEMENT)
			coffer_show_field(stderr, "note", "%s: %s", name, r->actions[i].text);
	}
}

static int end_failed(const struct run *run, int code, const struct coffer_repair_result *r,
	const struct coffer_err *e)
{
	if (r && r->findings.n > 0 && code != COFFER_NO && r->n_done == 0 && !run->shown)
		show_findings(stderr, run, r);
	coffer_show_error(e->msg);
	if (code == COFFER_INTERRUPTED)
		coffer_report_resume(&run->o->call, "", coffer_report_key_failed(&run->report, e));
	return code;
}

static int end_done(const struct run *run, const struct coffer_repair_result *r)
{
	const struct coffer_call *call = &run->o->call;

	if (r->n_actions == 0 ? !call->quiet : call->dry_run)
		show_findings(stdout, run, r);
	(void)fflush(stdout); /* the findings come first, also in "2>&1 | less" */
	if (call->dry_run && r->n_actions > 0)
		coffer_show_line(stderr, "%s: nothing was written (--dry-run)", call->device);
	if (call->dry_run || call->quiet)
		return coffer_show_end(COFFER_DONE);
	if (r->changed)
		coffer_show_line(stderr, "%s: repaired; now %s", call->device,
			coffer_stage_name(r->stage_after));
	show_actions(run, r);
	if (r->changed && r->unlocked_run)
		coffer_show_unlocked(stderr);
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

	repair.callbacks = coffer_report_begin(&run.report, &o->call, &o->key);
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
