/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmd_plan.c - coffer plan */
#include "coffer/plan.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/size.h"
#include "cli/cli.h"
#include "cli/show.h"

DEFINE_CLEANUP(struct coffer_plan *, plan, coffer_plan_free);
#define _cleanup_plan_ _cleanup_(cleanup_plan)

struct options {
	struct coffer_call call;
	struct coffer_encrypt_options encrypt;
	struct coffer_plan_options plan;
};

static const struct coffer_option rows[] = {
	{"scratch", 0, "DIR", COFFER_STRING(struct options, plan.scratch),
		"measure there [beside an image, else /var/tmp]"},
	{"no-speed", 0, NULL, COFFER_FLAG(struct options, plan.no_speed),
		"do not measure; print no time"},
	{0},
};

/* --- for people --- */

struct duration {
	char s[32];
};

/* "0.4 s", "12 s", "3 min 20 s", "2 h 10 min": as exact as an estimate can be. */
static struct duration duration(double seconds)
{
	const uint64_t whole = (uint64_t)(seconds + 0.5), minutes = (uint64_t)(seconds / 60 + 0.5);
	struct duration d;

	if (seconds < 9.95)
		(void)snprintf(d.s, sizeof(d.s), "%.1f s", seconds);
	else if (whole < 60)
		(void)snprintf(d.s, sizeof(d.s), "%" PRIu64 " s", whole);
	else if (whole < 600)
		(void)snprintf(
			d.s, sizeof(d.s), "%" PRIu64 " min %" PRIu64 " s", whole / 60, whole % 60);
	else if (minutes < 60)
		(void)snprintf(d.s, sizeof(d.s), "%" PRIu64 " min", minutes);
	else
		(void)snprintf(d.s, sizeof(d.s), "%" PRIu64 " h %" PRIu64 " min", minutes / 60,
			minutes % 60);
	return d;
}

/* In front of figures that follow from what is used. */
static const char *about(const struct coffer_plan *p)
{
	if (p->exact)
		return "";
	return p->status->operation == COFFER_OP_START ? "about " : "at most ";
}

static void show_title(const struct coffer_plan *p)
{
	const struct coffer_status *s = p->status;

	coffer_show_text(stdout, s->device);
	if (!p->possible)
		(void)printf(": 'coffer encrypt' would not begin\n");
	else if (s->stage == COFFER_STAGE_UNDOING)
		(void)printf(": a half done abort would be finished first\n");
	else if (s->operation != COFFER_OP_START)
		(void)printf(": a conversion would go on, %s%s of %s are still to do\n", about(p),
			coffer_size_format(p->to_move).s, coffer_size_format(p->data_size).s);
	else
		(void)printf(": %s%s of %s would be encrypted in place\n", about(p),
			coffer_size_format(p->to_move).s,
			s->filesystem[0] ? s->filesystem : "content that coffer does not know");
}

static void show_time(const struct coffer_plan *p)
{
	const struct coffer_speed *s = &p->speed;

	if (!s->measured) {
		coffer_show_field(stdout, "time", "not known: %s", s->why);
		return;
	}
	coffer_show_field(stdout, "time", "about %s (%s to %s), and some seconds for the key",
		duration(p->seconds).s, duration(p->seconds_low).s, duration(p->seconds_high).s);
	coffer_show_field(stdout, "measured", "on a scratch file in %s%s%s", s->where,
		s->same_filesystem ? ", beside the image" : ", which may be another disk",
		s->direct ? "" : "; through the page cache, so it may take longer");
}

static void show_free_space(const struct coffer_plan *p)
{
	static const char *const texts[] = {
		[COFFER_FREE_KEEP] = "left as it is: what was deleted from the filesystem may "
				     "still be readable there afterwards; --free-space fill "
				     "overwrites it",
		[COFFER_FREE_DISCARD] = "given back to the device, which may or may not forget it",
		[COFFER_FREE_FILL] = "overwritten with ciphertext",
	};

	if (p->free_space != COFFER_FREE_DEFAULT)
		coffer_show_field(stdout, "free space", "%s", texts[p->free_space]);
}

static void show_work(const struct coffer_plan *p)
{
	if (p->data_size == 0) /* no layout: a preflight check failed */
		return;
	coffer_show_field(stdout, "layout",
		"%s of data after a header area of %s, sectors of %" PRIu32 "%s%s",
		coffer_size_format(p->data_size).s, coffer_size_format(p->data_offset).s,
		p->sector_size, p->cipher[0] ? ", " : "", p->cipher);
	if (p->steps)
		coffer_show_field(stdout, "moves", "%s%" PRIu64 " bytes (%s) in %" PRIu64 " steps",
			about(p), p->to_move, coffer_size_format(p->to_move).s, p->steps);
	coffer_show_field(stdout, "writes", "%s%" PRIu64 " bytes (%s), with %" PRIu64 " flushes",
		p->exact ? "at most " : about(p), p->to_write, coffer_size_format(p->to_write).s,
		p->flushes);
	show_free_space(p);
	show_time(p);
}

static void show_phases(const struct coffer_plan *p)
{
	if (p->n_phases == 0)
		return;
	(void)printf("\nphases, and the worst that a power cut can do:\n");
	for (size_t i = 0; i < p->n_phases; i++) {
		const struct coffer_plan_phase *s = &p->phases[i];

		coffer_show_field(stdout, s->phase, "%s (%s written)", s->does,
			coffer_size_format(s->bytes).s);
		coffer_show_field(stdout, "", "worst: %s", s->worst);
	}
}

static void show_plan(const struct coffer_plan *p)
{
	show_title(p);
	show_work(p);
	(void)printf("\npreflight checks:\n");
	coffer_show_findings(stdout, &p->preflight, true);
	show_phases(p);
	(void)printf("\nnothing was changed%s\n",
		p->possible ? "; 'coffer encrypt' with the same options does this" : "");
}

/* --- for programs -------------------------------------------------------------------------- */

static struct json_object *seconds_json(const struct coffer_plan *p)
{
	struct json_object *o = coffer_json_object_new();

	(void)coffer_json_put_double(o, "low", p->seconds_low);
	(void)coffer_json_put_double(o, "median", p->seconds);
	(void)coffer_json_put_double(o, "high", p->seconds_high);
	return o;
}

static struct json_object *speed_json(const struct coffer_speed *s)
{
	struct json_object *o = coffer_json_object_new();

	(void)coffer_json_put_bool(o, "measured", s->measured);
	if (!s->measured) {
		coffer_json_put_text(o, "why", s->why);
		return o;
	}
	coffer_json_put_text(o, "where", s->where);
	(void)coffer_json_put_bool(o, "direct", s->direct);
	(void)coffer_json_put_bool(o, "same_filesystem", s->same_filesystem);
	return o;
}

static struct json_object *phases_json(const struct coffer_plan *p)
{
	struct json_object *array = coffer_json_array_new();

	for (size_t i = 0; i < p->n_phases; i++) {
		struct json_object *o = coffer_json_object_new();

		(void)coffer_json_put_string(o, "phase", p->phases[i].phase);
		(void)coffer_json_put_string(o, "does", p->phases[i].does);
		(void)coffer_json_put_string(o, "worst", p->phases[i].worst);
		(void)coffer_json_put_u64(o, "bytes", p->phases[i].bytes);
		(void)coffer_json_append(array, o);
	}
	return array;
}

static void put_plan(struct json_object *o, const struct coffer_plan *p)
{
	(void)coffer_json_put_bool(o, "possible", p->possible);
	(void)coffer_json_put(o, "status", coffer_json_status(p->status));
	coffer_json_put_findings(o, "preflight", &p->preflight);
	if (p->data_size > 0) {
		(void)coffer_json_put_u64(o, "to_move", p->to_move);
		(void)coffer_json_put_u64(o, "to_write", p->to_write);
		(void)coffer_json_put_u64(o, "to_commit", p->to_commit);
		(void)coffer_json_put_bool(o, "exact", p->exact);
		(void)coffer_json_put_bool(o, "used_only", p->used_only);
		coffer_json_put_known(o, "all_because", p->all_because);
		if (p->free_space != COFFER_FREE_DEFAULT)
			(void)coffer_json_put_string(
				o, "free_space", coffer_free_space_name(p->free_space));
		(void)coffer_json_put_u64(o, "steps", p->steps);
		(void)coffer_json_put_u64(o, "flushes", p->flushes);
		(void)coffer_json_put_u64(o, "device_size", p->device_size);
		(void)coffer_json_put_u64(o, "data_offset", p->data_offset);
		(void)coffer_json_put_u64(o, "data_size", p->data_size);
		(void)coffer_json_put_u64(o, "sector_size", p->sector_size);
		coffer_json_put_known(o, "cipher", p->cipher);
	}
	if (p->speed.measured)
		(void)coffer_json_put(o, "seconds", seconds_json(p));
	(void)coffer_json_put(o, "speed", speed_json(&p->speed));
	(void)coffer_json_put(o, "phases", phases_json(p));
}

/* The first preflight check that failed, as an error. */
static void set_obstacle(const struct coffer_plan *p, struct coffer_err *e)
{
	for (size_t i = 0; i < p->preflight.n; i++) {
		const struct coffer_finding *c = &p->preflight.items[i];

		if (c->verdict != COFFER_VERDICT_BAD)
			continue;
		(void)snprintf(e->msg, sizeof(e->msg), "%.500s%s%.500s", c->text,
			c->advice[0] ? "; " : "", c->advice);
		e->id = c->id;
		e->code = c->code;
		return;
	}
}

static int run_plan(void *options)
{
	struct options *o = options;
	_cleanup_json_ struct json_object *report = NULL;
	_cleanup_plan_ struct coffer_plan *p = NULL;
	struct coffer_err e = {0};
	int r, code;

	o->encrypt.device = o->call.device;
	o->plan.encrypt = &o->encrypt;
	r = coffer_plan(&o->plan, &p, &e);
	code = p ? (int)p->outcome : coffer_err_exit_code(&e, r);
	if (!o->call.json) {
		if (p)
			show_plan(p);
		else
			coffer_show_error(e.msg);
		return coffer_show_end(code);
	}
	report = coffer_json_report(o->call.verb);
	coffer_json_put_text(report, "device", o->call.device);
	if (p) {
		put_plan(report, p);
		set_obstacle(p, &e);
	}
	return coffer_json_finish(report, code, &e);
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
