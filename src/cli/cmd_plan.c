/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmd_plan.c - coffer plan */
#include "coffer/plan.h"

#include <inttypes.h>

#include "base/err.h"
#include "base/findings.h"
#include "base/size.h"
#include "cli/cli.h"

DEFINE_CLEANUP(struct coffer_plan *, plan, coffer_plan_free);

struct options {
	struct coffer_call call;
	struct coffer_encrypt_options encrypt;
	struct coffer_plan_options plan;
};

static const struct coffer_option rows[] = {
	{"scratch", 0, "DIR", COFFER_STRING(struct options, plan.scratch),
		"scratch directory [the image file's, or /var/tmp]"},
	{"no-speed", 0, NULL, COFFER_FLAG(struct options, plan.no_speed),
		"do not measure the speed; show no time"},
	{0},
};

/* --- for people --- */

struct duration {
	char s[32];
};

/* "0.4 s", "12 s", "3 min", "2 h 10 min" */
static struct duration duration(double seconds)
{
	const uint64_t minutes = (uint64_t)(seconds / 60 + 0.5);
	struct duration d;

	if (seconds < 119.5)
		(void)snprintf(d.s, sizeof(d.s), seconds < 9.95 ? "%.1f s" : "%.0f s", seconds);
	else if (minutes < 60)
		(void)snprintf(d.s, sizeof(d.s), "%" PRIu64 " min", minutes);
	else
		(void)snprintf(d.s, sizeof(d.s), "%" PRIu64 " h %" PRIu64 " min", minutes / 60,
			minutes % 60);
	return d;
}

/* Before figures that depend on what is used. */
static const char *about(const struct coffer_plan *p)
{
	if (p->exact)
		return "";
	return p->status->operation == COFFER_OP_START ? "about " : "at most ";
}

static void show_title(const struct coffer_plan *p)
{
	const size_t problems = coffer_findings_count(&p->preflight, COFFER_VERDICT_BAD);
	const struct coffer_status *s = p->status;

	if (!p->possible && s->stage == COFFER_STAGE_ENCRYPTED)
		coffer_show_line(stdout, "%s: already encrypted", s->device);
	else if (!p->possible)
		coffer_show_line(stdout, "%s: cannot be encrypted yet (%zu problem%s)", s->device,
			problems, problems == 1 ? "" : "s");
	else if (s->stage == COFFER_STAGE_UNDOING)
		coffer_show_line(
			stdout, "%s: ready to finish the abort, then to encrypt", s->device);
	else if (s->total > 0)
		coffer_show_line(stdout, "%s: ready to resume at %s of %s", s->device,
			coffer_size_format(s->converted).s, coffer_size_format(s->total).s);
	else if (s->operation != COFFER_OP_START)
		coffer_show_line(stdout, "%s: ready to resume", s->device);
	else
		coffer_show_line(stdout, "%s: ready to encrypt %s%s of %s", s->device, about(p),
			coffer_size_format(p->to_move).s,
			s->filesystem[0] ? s->filesystem : "unrecognized content");
}

static void show_time(const struct coffer_plan *p)
{
	const struct coffer_speed *s = &p->speed;

	if (!s->measured) {
		coffer_show_field(stdout, "time", "unknown: %s", s->why);
		return;
	}
	coffer_show_field(stdout, "time", "about %s (%s to %s), plus the key derivation",
		duration(p->seconds).s, duration(p->seconds_low).s, duration(p->seconds_high).s);
	coffer_show_field(stdout, "measured", "in %s%s%s", s->where,
		s->same_filesystem ? "" : ", possibly on another disk",
		s->direct ? "" : ", with the page cache");
}

static void show_work(const struct coffer_plan *p)
{
	if (p->data_size == 0) /* no layout: a preflight check failed */
		return;
	coffer_show_field(stdout, "layout", "%s of data after a header area of %s",
		coffer_size_format(p->data_size).s, coffer_size_format(p->data_offset).s);
	if (p->cipher[0]) /* not known while the header is being placed */
		coffer_show_field(stdout, "cipher", "%s, %" PRIu32 "-byte sectors", p->cipher,
			p->sector_size);
	coffer_show_field(stdout, "writes", "%s%s, steps: %" PRIu64 ", flushes: %" PRIu64,
		p->exact ? "at most " : about(p), coffer_size_format(p->to_write).s, p->steps,
		p->flushes);
	coffer_report_unused(stdout, p->free_space, p->all_because);
	show_time(p);
}

static void show_plan(const struct coffer_plan *p)
{
	show_title(p);
	show_work(p);
	coffer_show_findings(stdout, &p->preflight, true);
	if (p->status->stage == COFFER_STAGE_ENCRYPTED && p->status->next[0])
		coffer_show_field(stdout, "next", "%s", p->status->next);
	if (p->n_phases > 0)
		coffer_show_line(stdout, "phases, and the worst effect of a power cut:");
	for (size_t i = 0; i < p->n_phases; i++) {
		const struct coffer_plan_phase *s = &p->phases[i];

		coffer_show_field(stdout, s->phase, "%s (%s written)", s->does,
			coffer_size_format(s->bytes).s);
		coffer_show_field(stdout, "", "worst: %s", s->worst);
	}
}

/* --- for programs --- */

static struct json_object *seconds_json(const struct coffer_plan *p)
{
	struct json_object *o = coffer_json_object_new();

	COFFER_PUT(o, "low", p->seconds_low);
	COFFER_PUT(o, "median", p->seconds);
	COFFER_PUT(o, "high", p->seconds_high);
	return o;
}

static struct json_object *speed_json(const struct coffer_speed *s)
{
	struct json_object *o = coffer_json_object_new();

	COFFER_PUT(o, "measured", s->measured);
	if (!s->measured) {
		COFFER_PUT(o, "why", s->why);
		return o;
	}
	COFFER_PUT(o, "where", s->where);
	COFFER_PUT(o, "direct", s->direct);
	COFFER_PUT(o, "same_filesystem", s->same_filesystem);
	return o;
}

static struct json_object *phases_json(const struct coffer_plan *p)
{
	struct json_object *array = coffer_json_array_new();

	for (size_t i = 0; i < p->n_phases; i++) {
		struct json_object *o = coffer_json_object_new();

		COFFER_PUT(o, "phase", p->phases[i].phase);
		COFFER_PUT(o, "does", p->phases[i].does);
		COFFER_PUT(o, "worst", p->phases[i].worst);
		COFFER_PUT(o, "bytes", p->phases[i].bytes);
		(void)coffer_json_append(array, o);
	}
	return array;
}

static void put_work(struct json_object *o, const struct coffer_plan *p)
{
	COFFER_PUT(o, "to_move", p->to_move);
	COFFER_PUT(o, "to_write", p->to_write);
	COFFER_PUT(o, "to_commit", p->to_commit);
	COFFER_PUT(o, "exact", p->exact);
	COFFER_PUT(o, "used_only", p->used_only);
	coffer_json_put_known(o, "all_because", p->all_because);
	if (p->free_space != COFFER_FREE_DEFAULT)
		COFFER_PUT(o, "free_space", coffer_free_space_name(p->free_space));
	COFFER_PUT(o, "steps", p->steps);
	COFFER_PUT(o, "flushes", p->flushes);
	COFFER_PUT(o, "device_size", p->device_size);
	COFFER_PUT(o, "data_offset", p->data_offset);
	COFFER_PUT(o, "data_size", p->data_size);
	COFFER_PUT(o, "sector_size", p->sector_size);
	coffer_json_put_known(o, "cipher", p->cipher);
}

static int end_json(const struct coffer_call *call, int code, const struct coffer_plan *p,
	const struct coffer_err *e)
{
	_cleanup_json_ struct json_object *o = coffer_json_report(call);

	if (!p)
		return coffer_json_finish(o, code, e);
	COFFER_PUT(o, "possible", p->possible);
	COFFER_PUT(o, "status", coffer_json_status(p->status));
	COFFER_PUT(o, "preflight", coffer_json_findings(&p->preflight));
	if (p->data_size > 0)
		put_work(o, p);
	if (p->speed.measured)
		COFFER_PUT(o, "seconds", seconds_json(p));
	COFFER_PUT(o, "speed", speed_json(&p->speed));
	COFFER_PUT(o, "phases", phases_json(p));
	return coffer_json_finish(o, code, e);
}

static int run_plan(void *options)
{
	struct options *o = options;
	_cleanup_(cleanup_plan) struct coffer_plan *p = NULL;
	struct coffer_err e = {0};
	int r, code;

	o->encrypt.device = o->call.device;
	o->plan.encrypt = &o->encrypt;
	r = coffer_plan(&o->plan, &p, &e);
	code = p ? (int)p->outcome : coffer_err_exit_code(&e, r);
	/* The error of a plan that is not possible is the first problem. */
	for (size_t i = 0; p && i < p->preflight.n && !e.msg[0]; i++)
		if (p->preflight.items[i].verdict == COFFER_VERDICT_BAD)
			(void)coffer_err_from_finding(&e, o->call.device, &p->preflight.items[i]);
	if (o->call.json)
		return end_json(&o->call, code, p, &e);
	if (p)
		show_plan(p);
	else
		coffer_show_error(e.msg);
	return coffer_show_end(code);
}

const struct coffer_cmd coffer_cmd_plan = {
	.name = "plan",
	.args = "DEVICE|IMAGE",
	.summary = "Show what 'coffer encrypt' would do and what prevents it",
	.options = COFFER_GROUPS({coffer_volume_options, offsetof(struct options, encrypt)},
		{coffer_run_options, offsetof(struct options, encrypt)}, {rows},
		{coffer_common_options}),
	.size = sizeof(struct options),
	.run = run_plan,
};
