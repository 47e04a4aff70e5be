/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmd_doctor.c - coffer doctor */
#include <stdio.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/findings.h"
#include "cli/cli.h"
#include "cli/show.h"
#include "coffer/doctor.h"

DEFINE_CLEANUP(struct coffer_doctor_report *, report, coffer_doctor_free);

static int end_json(const struct coffer_doctor_report *d, int code, const struct coffer_err *e)
{
	_cleanup_json_ struct json_object *o = coffer_json_report("doctor");
	struct json_object *disks = coffer_json_array_new();

	if (d)
		coffer_json_put_findings(o, "machine", &d->machine);
	for (size_t i = 0; d && i < d->n_disks; i++) {
		struct json_object *disk = coffer_json_object_new();

		coffer_json_put_text(disk, "device", d->disks[i].device);
		if (d->disks[i].status)
			(void)coffer_json_put(
				disk, "status", coffer_json_status(d->disks[i].status));
		coffer_json_put_findings(disk, "checks", &d->disks[i].checks);
		(void)coffer_json_append(disks, disk);
	}
	(void)coffer_json_put(o, "disks", disks);
	return coffer_json_finish(o, code, e);
}

static bool wanted(const struct coffer_findings *c, const struct coffer_call *call)
{
	return !call->quiet || coffer_findings_count(c, COFFER_VERDICT_BAD) > 0;
}

static int end_text(const struct coffer_doctor_report *d, int code, const struct coffer_call *call,
	const struct coffer_err *e)
{
	if (d && wanted(&d->machine, call))
		coffer_show_report("this machine", "", &d->machine, !call->quiet);
	for (size_t i = 0; d && i < d->n_disks; i++) {
		const struct coffer_doctor_disk *k = &d->disks[i];

		if (wanted(&k->checks, call))
			coffer_show_report(k->device,
				k->status ? coffer_stage_name(k->status->stage) : "", &k->checks,
				!call->quiet);
	}
	if (code != COFFER_DONE)
		coffer_show_error(e->msg);
	return coffer_show_end(code);
}

static int run_doctor(void *options)
{
	const struct coffer_call *call = options;
	const struct coffer_doctor_options o = {.devices = (const char *const *)call->operands};
	_cleanup_(cleanup_report) struct coffer_doctor_report *d = NULL;
	struct coffer_err e = {0};
	const int code = coffer_err_exit_code(&e, coffer_doctor(&o, &d, &e));

	return call->json ? end_json(d, code, &e) : end_text(d, code, call, &e);
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
