/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmd_abort.c - coffer abort */
#include "base/err.h"
#include "cli/cli.h"

static int run_abort(void *options)
{
	const struct coffer_call *call = options;
	struct coffer_encrypt_options o = {.device = call->device, .dry_run = call->dry_run};
	struct coffer_encrypt_result result = {0};
	struct coffer_report report;
	struct coffer_err e = {0};
	int r;

	o.callbacks = coffer_report_begin(&report, call, NULL);
	r = coffer_abort(&o, &result, &e);
	return coffer_report_end(&report, r, &result, &e);
}

const struct coffer_cmd coffer_cmd_abort = {
	.name = "abort",
	.args = "DEVICE|IMAGE",
	.summary = "Restore the plain filesystem while nothing is encrypted yet",
	.options = COFFER_GROUPS(
		{coffer_dry_run_options}, {coffer_quiet_options}, {coffer_common_options}),
	.size = sizeof(struct coffer_call),
	.run = run_abort,
};
