/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmd_header_check.c - coffer header check */
#include <inttypes.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "cli/cli.h"
#include "cli/show.h"
#include "coffer/header.h"

DEFINE_CLEANUP(struct coffer_header_report *, header_report, coffer_header_report_free);

static const char *const copy_names[] = {"primary", "secondary"};

static struct json_object *copy_json(const struct coffer_header_copy *c)
{
	struct json_object *o = coffer_json_object_new();

	(void)coffer_json_put_u64(o, "offset", c->offset);
	(void)coffer_json_put_bool(o, "found", c->found);
	(void)coffer_json_put_bool(o, "whole", c->whole);
	(void)coffer_json_put_bool(o, "usable", c->usable);
	if (!c->size)
		return o;
	(void)coffer_json_put_u64(o, "size", c->size);
	(void)coffer_json_put_u64(o, "sequence", c->sequence);
	coffer_json_put_text(o, "checksum", c->checksum);
	coffer_json_put_text(o, "uuid", c->uuid);
	coffer_json_put_text(o, "label", c->label);
	coffer_json_put_text(o, "subsystem", c->subsystem);
	(void)coffer_json_put_u64(o, "text_size", c->text_size);
	return o;
}

static int end_json(const struct coffer_header_report *r, int code, const struct coffer_call *call,
	const struct coffer_err *e)
{
	_cleanup_json_ struct json_object *o = coffer_json_report(call->verb), *copies = NULL;

	coffer_json_put_text(o, "device", call->device);
	if (r) {
		(void)coffer_json_put_u64(o, "size", r->size);
		(void)coffer_json_put_bool(o, "block_device", r->is_block);
		(void)coffer_json_put_bool(o, "only_header", r->only_header);
		(void)coffer_json_put_bool(o, "locked", r->locked);
		copies = coffer_json_array_new();
		for (int i = 0; i < 2; i++)
			(void)coffer_json_append(copies, copy_json(&r->copies[i]));
		(void)coffer_json_put(o, "copies", TAKE_PTR(copies));
		if (r->counts >= 0)
			(void)coffer_json_put_string(o, "counts", copy_names[r->counts]);
		coffer_json_put_findings(o, "checks", &r->checks);
	}
	return coffer_json_finish(o, code, e);
}

static void show_report(const struct coffer_header_report *r, bool all)
{
	coffer_show_report(r->device, "", &r->checks, all);
	if (r->counts >= 0)
		coffer_show_field(stdout, "counts",
			"the %s copy, UUID %s, sequence number %" PRIu64,
			r->counts ? "second" : "first", r->copies[r->counts].uuid,
			r->copies[r->counts].sequence);
}

static int run_header_check(void *options)
{
	const struct coffer_call *call = options;
	const struct coffer_header_check_options o = {.device = call->device};
	_cleanup_(cleanup_header_report) struct coffer_header_report *r = NULL;
	struct coffer_err e = {0};
	const int code = coffer_err_exit_code(&e, coffer_header_check(&o, &r, &e));

	if (call->json)
		return end_json(r, code, call, &e);
	if (r && !(call->quiet && code == COFFER_DONE))
		show_report(r, !call->quiet);
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
