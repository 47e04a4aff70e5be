/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmd_status.c - coffer status */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/size.h"
#include "cli/cli.h"
#include "cli/show.h"

DEFINE_CLEANUP(struct coffer_status *, status, coffer_status_free);
#define _cleanup_status_ _cleanup_(cleanup_status)

static unsigned int percent(const struct coffer_status *s)
{
	return s->total ? (unsigned int)((double)s->converted * 100 / (double)s->total) : 0;
}

static void show_holder(const struct coffer_holder *u)
{
	char on[sizeof(u->on) + 16] = "", elsewhere[64] = "";

	if (u->on[0])
		(void)snprintf(on, sizeof(on), "%s: ", u->on);
	switch (u->kind) {
	case COFFER_HOLDER_MOUNT:
		if (u->pid > 0)
			(void)snprintf(elsewhere, sizeof(elsewhere),
				" in the mount namespace of process %d", (int)u->pid);
		coffer_show_field(stdout, "in use", "%smounted on %s%s", on, u->name, elsewhere);
		break;
	case COFFER_HOLDER_DEVICE:
		coffer_show_field(
			stdout, "in use", "%sthe block device %s is stacked on it", on, u->name);
		break;
	case COFFER_HOLDER_LOOP:
		coffer_show_field(stdout, "in use", "%sattached to %s", on, u->name);
		break;
	case COFFER_HOLDER_SWAP:
		coffer_show_field(stdout, "in use", "%sas swap (%s)", on, u->name);
		break;
	case COFFER_HOLDER_REENCRYPTION:
		coffer_show_field(stdout, "at work", "process %d (%s) is converting it",
			(int)u->pid, u->name);
		break;
	case COFFER_HOLDER_PROCESS:
		coffer_show_field(stdout, "open by", "%sprocess %d (%s)%s", on, (int)u->pid,
			u->name, u->writes ? ", for writing" : "");
		break;
	case COFFER_N_HOLDER_KINDS:
		break;
	}
}

static void show_status(const struct coffer_status *s)
{
	coffer_show_text(stdout, s->device);
	if (s->stage == COFFER_STAGE_CONVERTING)
		(void)printf(": converting, %u %%\n", percent(s));
	else
		(void)printf(": %s\n", coffer_stage_name(s->stage));
	coffer_show_field(stdout, "meaning", "%s", coffer_stage_meaning(s->stage));
	if (s->why[0])
		coffer_show_field(stdout, "because", "%s", s->why);
	coffer_show_field(stdout, "size", "%" PRIu64 " bytes (%s), %s", s->size,
		coffer_size_format(s->size).s, s->is_block ? "a block device" : "an image file");
	if (s->filesystem[0])
		coffer_show_field(stdout, "content", "%s", s->filesystem);
	if (s->luks_version)
		coffer_show_field(stdout, "volume", "LUKS%d%s%s%s%s", s->luks_version,
			s->uuid[0] ? " " : "", s->uuid, s->cipher[0] ? ", " : "", s->cipher);
	if (s->total)
		coffer_show_field(stdout, "converted",
			"%" PRIu64 " of %" PRIu64 " bytes (%s of %s)", s->converted, s->total,
			coffer_size_format(s->converted).s, coffer_size_format(s->total).s);
	if (s->data_size) {
		coffer_show_field(stdout, "layout",
			"begun on %" PRIu64 " bytes, data offset %" PRIu64 ", sectors of %" PRIu32,
			s->device_size, s->data_offset, s->sector_size);
	} else if (s->data_offset) {
		coffer_show_field(stdout, "layout", "data offset %" PRIu64 ", sectors of %" PRIu32,
			s->data_offset, s->sector_size);
	}
	for (size_t i = 0; i < s->n_holders; i++)
		show_holder(&s->holders[i]);
	if (!s->holders_complete)
		coffer_show_field(stdout, "note", "not all processes are visible to this user");
	if (!s->locked)
		coffer_show_field(stdout, "note",
			"read without cryptsetup's locks, which this user may not use");
	if (s->can_abort)
		coffer_show_field(
			stdout, "way back", "'coffer abort' gives the plain filesystem back");
	coffer_show_field(stdout, "next", "%s", s->next[0] ? s->next : "nothing");
}

/* All disks of the machine: a line for each that holds something. */
static void show_line(const struct coffer_status *s)
{
	char stage[48];

	if (s->stage == COFFER_STAGE_CONVERTING)
		(void)snprintf(stage, sizeof(stage), "converting %u %%", percent(s));
	else
		(void)snprintf(stage, sizeof(stage), "%s", coffer_stage_name(s->stage));
	(void)printf("%-22s %10s  %-16s %-12s ", s->device, coffer_size_format(s->size).s, stage,
		s->filesystem[0]  ? s->filesystem
		: s->luks_version ? (s->luks_version == 2 ? "LUKS2" : "LUKS1")
				  : "-");
	coffer_show_text(stdout, s->next[0] ? s->next : "-");
	(void)putchar('\n');
}

struct listing {
	const struct coffer_call *call;
	struct json_object *devices;
	bool all;     /* no operand: all disks of this machine */
	bool table;   /* its heading was printed */
	char *unread; /* with all: devices that could not be read, with commas between */
	size_t n_unread;
	struct coffer_err why;	       /* of the first of them */
	struct json_object *unchecked; /* the same */
	int code;
	struct coffer_err e; /* the first that failed */
};

static void list_status(struct listing *l, const struct coffer_status *s)
{
	if (l->all && s->stage == COFFER_STAGE_PLAIN && !s->filesystem[0])
		return;
	if (l->call->json) {
		(void)coffer_json_append(l->devices, coffer_json_status(s));
		return;
	}
	if (!l->all) {
		show_status(s);
		return;
	}
	if (!l->table)
		(void)printf("%-22s %10s  %-16s %-12s %s\n", "DEVICE", "SIZE", "STAGE", "CONTENT",
			"NEXT");
	l->table = true;
	show_line(s);
}

/* Some of all disks cannot be read: a drive without a medium, or any disk by an ordinary user. This
 * is not a failure, but a list of unencrypted disks is then incomplete. */
static void note_unread(struct listing *l, const char *device, const struct coffer_err *e)
{
	struct json_object *o = coffer_json_object_new();
	char *names = NULL;

	coffer_json_put_text(o, "device", device);
	coffer_json_put_error(o, e);
	(void)coffer_json_append(l->unchecked, o);
	if (l->n_unread++ == 0)
		l->why = *e;
	if (asprintf(&names, "%s%s%s", l->unread ? l->unread : "", l->unread ? ", " : "", device) <
		0)
		return;
	free(l->unread);
	l->unread = names;
}

static void show_unread(const struct listing *l)
{
	if (l->n_unread == 0)
		return;
	(void)fprintf(stderr, "coffer: %zu device%s could not be read: ", l->n_unread,
		l->n_unread == 1 ? "" : "s");
	coffer_show_text(stderr, l->unread ? l->unread : "?");
	(void)fputs(" (", stderr);
	coffer_show_text(stderr, geteuid() == 0 ? l->why.msg : "run it as root");
	(void)fputs(")\n", stderr);
}

static void report_one(struct listing *l, const char *device)
{
	_cleanup_status_ struct coffer_status *s = NULL;
	struct coffer_err e = {0};
	const int r = coffer_status(device, &s, &e);

	if (r == 0) {
		list_status(l, s);
		return;
	}
	if (l->all) {
		note_unread(l, device, &e);
		return;
	}
	if (!l->call->json)
		coffer_show_error(e.msg);
	if (l->code == COFFER_DONE) {
		l->code = coffer_err_exit_code(&e, r);
		l->e = e;
	}
}

static void report_all(struct listing *l)
{
	char **list = NULL;
	const int r = coffer_device_list(&list, &l->e);

	if (r < 0) {
		l->code = coffer_err_exit_code(&l->e, r);
		if (!l->call->json)
			coffer_show_error(l->e.msg);
		return;
	}
	for (char **name = list; *name; name++)
		report_one(l, *name);
	coffer_device_list_free(list);
	if (l->call->json)
		return;
	if (!l->table)
		(void)fputs("coffer: no disks found\n", stderr);
	show_unread(l);
}

static int run_status(void *options)
{
	const struct coffer_call *call = options;
	_cleanup_json_ struct json_object *report = NULL;
	struct listing l = {.call = call, .all = !call->device};

	l.devices = coffer_json_array_new();
	l.unchecked = coffer_json_array_new();
	if (l.all)
		report_all(&l);
	for (char **device = call->operands; *device; device++)
		report_one(&l, *device);
	free(l.unread);
	if (!call->json) {
		coffer_json_free(l.devices);
		coffer_json_free(l.unchecked);
		return coffer_show_end(l.code);
	}
	report = coffer_json_report(call->verb);
	(void)coffer_json_put(report, "devices", l.devices);
	if (l.all)
		(void)coffer_json_put(report, "unchecked", l.unchecked);
	else
		coffer_json_free(l.unchecked);
	return coffer_json_finish(report, l.code, &l.e);
}

const struct coffer_cmd coffer_cmd_status = {
	.name = "status",
	.args = "[DEVICE|IMAGE...]",
	.summary = "Show the stage of disks, their holders and the next command",
	.options = COFFER_GROUPS({coffer_common_options}),
	.size = sizeof(struct coffer_call),
	.any_number = true,
	.run = run_status,
};
