/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmd_header_check.c - coffer header check */
#include <inttypes.h>

#include "base/err.h"
#include "cli/cli.h"
#include "coffer/header.h"

DEFINE_CLEANUP(struct coffer_header_report *, header_report, coffer_header_report_free);

static const char *const copy_names[] = {"primary", "secondary"};

static struct json_object *copy_json(const struct coffer_header_copy *c)
{
	struct json_object *o = coffer_json_object_new();

	COFFER_PUT(o, "offset", c->offset);
	COFFER_PUT(o, "found", c->found);
	COFFER_PUT(o, "intact", c->intact);
	COFFER_PUT(o, "usable", c->usable);
	if (!c->size)
		return o;
	COFFER_PUT(o, "size", c->size);
	COFFER_PUT(o, "sequence", c->sequence);
	COFFER_PUT(o, "checksum", c->checksum);
	COFFER_PUT(o, "uuid", c->uuid);
	COFFER_PUT(o, "label", c->label);
	COFFER_PUT(o, "subsystem", c->subsystem);
	COFFER_PUT(o, "text_size", c->text_size);
	return o;
}

static int end_json(const struct coffer_call *call, int code, const struct coffer_header_report *r,
	const struct coffer_err *e)
{
	_cleanup_json_ struct json_object *o = coffer_json_report(call);
	struct json_object *copies;

	if (!r)
		return coffer_json_finish(o, code, e);
	COFFER_PUT(o, "size", r->size);
	COFFER_PUT(o, "block_device", r->is_block);
	COFFER_PUT(o, "only_header", r->only_header);
	COFFER_PUT(o, "locked", r->locked);
	copies = coffer_json_array_new();
	for (int i = 0; i < 2; i++)
		(void)coffer_json_append(copies, copy_json(&r->copies[i]));
	COFFER_PUT(o, "copies", copies);
	if (r->counts >= 0)
		COFFER_PUT(o, "counts", copy_names[r->counts]);
	COFFER_PUT(o, "checks", coffer_json_findings(&r->checks));
	return coffer_json_finish(o, code, e);
}

static int run_header_check(void *options)
{
	const struct coffer_call *call = options;
	const struct coffer_header_check_options o = {.device = call->device};
	_cleanup_(cleanup_header_report) struct coffer_header_report *r = NULL;
	struct coffer_err e = {0};
	const int code = coffer_err_exit_code(&e, coffer_header_check(&o, &r, &e));

	if (call->json)
		return end_json(call, code, r, &e);
	if (r && !(call->quiet && code == COFFER_DONE)) {
		coffer_show_checks(r->device, "", &r->checks, !call->quiet);
		if (r->counts >= 0)
			coffer_show_field(stdout, "current",
				"%s header copy, UUID %s, sequence number %" PRIu64,
				r->counts == 0 ? "first" : "second", r->copies[r->counts].uuid,
				r->copies[r->counts].sequence);
	}
	if (code != COFFER_DONE)
		coffer_show_error(e.msg);
	return coffer_show_end(code);
}

const struct coffer_cmd coffer_cmd_header_check = {
	.name = "header check",
	.args = "DEVICE|IMAGE|HEADER-FILE",
	.summary = "Check both copies of a LUKS2 header against every rule",
	.options = COFFER_GROUPS({coffer_quiet_options}, {coffer_common_options}),
	.size = sizeof(struct coffer_call),
	.run = run_header_check,
};
