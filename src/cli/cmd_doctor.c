/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmd_doctor.c - coffer doctor */
#include "base/err.h"
#include "base/findings.h"
#include "cli/cli.h"
#include "coffer/doctor.h"

DEFINE_CLEANUP(struct coffer_doctor_report *, report, coffer_doctor_free);

static int end_json(const struct coffer_call *call, int code, const struct coffer_doctor_report *d,
	const struct coffer_err *e)
{
	_cleanup_json_ struct json_object *o = coffer_json_report(call);
	struct json_object *disks = coffer_json_array_new();

	if (d)
		COFFER_PUT(o, "machine", coffer_json_findings(&d->machine));
	for (size_t i = 0; d && i < d->n_disks; i++) {
		struct json_object *disk = coffer_json_object_new();

		COFFER_PUT(disk, "device", d->disks[i].device);
		if (d->disks[i].status)
			COFFER_PUT(disk, "status", coffer_json_status(d->disks[i].status));
		COFFER_PUT(disk, "checks", coffer_json_findings(&d->disks[i].checks));
		(void)coffer_json_append(disks, disk);
	}
	COFFER_PUT(o, "disks", disks);
	return coffer_json_finish(o, code, e);
}

static void show_checks(const char *subject, const struct coffer_status *s,
	const struct coffer_findings *l, bool quiet)
{
	if (!quiet || coffer_findings_count(l, COFFER_VERDICT_BAD) > 0)
		coffer_show_checks(subject, s ? coffer_stage_name(s->stage) : "", l, !quiet);
}

static int run_doctor(void *options)
{
	const struct coffer_call *call = options;
	const struct coffer_doctor_options o = {.devices = (const char *const *)call->operands};
	_cleanup_(cleanup_report) struct coffer_doctor_report *d = NULL;
	struct coffer_err e = {0};
	const int code = coffer_err_exit_code(&e, coffer_doctor(&o, &d, &e));

	if (call->json)
		return end_json(call, code, d, &e);
	if (d)
		show_checks("this machine", NULL, &d->machine, call->quiet);
	for (size_t i = 0; d && i < d->n_disks; i++)
		show_checks(
			d->disks[i].device, d->disks[i].status, &d->disks[i].checks, call->quiet);
	if (code != COFFER_DONE)
		coffer_show_error(e.msg);
	return coffer_show_end(code);
}

const struct coffer_cmd coffer_cmd_doctor = {
	.name = "doctor",
	.args = "[DEVICE|IMAGE...]",
	.summary = "Check this machine and its encrypted disks",
	.options = COFFER_GROUPS({coffer_quiet_options}, {coffer_common_options}),
	.size = sizeof(struct coffer_call),
	.any_number = true,
	.run = run_doctor,
};
