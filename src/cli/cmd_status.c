/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmd_status.c - coffer status */
#include <inttypes.h>
#include <unistd.h>

#include "base/err.h"
#include "base/quote.h"
#include "base/size.h"
#include "cli/cli.h"

DEFINE_CLEANUP(struct coffer_status *, status, coffer_status_free);

struct stage_text {
	char s[48];
};

/* "converting, 44 %" */
static struct stage_text stage_text(const struct coffer_status *s)
{
	const double share = s->total ? (double)s->converted / (double)s->total : 0;
	struct stage_text t;

	(void)snprintf(t.s, sizeof(t.s), "%s", coffer_stage_name(s->stage));
	if (s->stage == COFFER_STAGE_CONVERTING)
		(void)snprintf(t.s, sizeof(t.s), "%s, %u %%", coffer_stage_name(s->stage),
			(unsigned int)(share * 100));
	return t;
}

/* The next command; without one, the reason for the stage may say what to do. */
static const char *next_text(const struct coffer_status *s)
{
	return s->next[0]			 ? s->next
	       : s->stage == COFFER_STAGE_SHRUNK ? "enlarge the device to its old size"
	       : s->why[0]			 ? "-"
						 : "nothing";
}

static void show_holder(const struct coffer_holder *h)
{
	static const char *const texts[COFFER_N_HOLDER_KINDS] = {
		[COFFER_HOLDER_MOUNT] = "mounted on ",
		[COFFER_HOLDER_DEVICE] = "block device ",
		[COFFER_HOLDER_LOOP] = "attached to ",
		[COFFER_HOLDER_SWAP] = "swap ",
	};
	char what[384];

	if (texts[h->kind] && h->pid > 0)
		(void)snprintf(what, sizeof(what), "%s%s in the mount namespace of process %d",
			texts[h->kind], h->name, (int)h->pid);
	else if (texts[h->kind])
		(void)snprintf(what, sizeof(what), "%s%s", texts[h->kind], h->name);
	else
		(void)snprintf(what, sizeof(what), "process %d (%s)%s", (int)h->pid, h->name,
			h->kind == COFFER_HOLDER_REENCRYPTION ? " is converting it"
			: h->writes			      ? ", open for writing"
							      : "");
	coffer_show_field(stdout, "holder", "%s%s%s", h->on, h->on[0] ? ": " : "", what);
}

static void show_status(const struct coffer_status *s)
{
	coffer_show_line(stdout, "%s: %s", s->device, stage_text(s).s);
	if (s->why[0])
		coffer_show_field(stdout, "why", "%s", s->why);
	coffer_show_field(stdout, "size", "%s, %s", coffer_size_format(s->size).s,
		s->is_block ? "block device" : "image file");
	if (s->filesystem[0])
		coffer_show_field(stdout, "content", "%s", s->filesystem);
	if (s->luks_version)
		coffer_show_field(stdout, "volume", "LUKS%d %s", s->luks_version, s->uuid);
	if (s->cipher[0])
		coffer_show_field(stdout, "cipher", "%s, %" PRIu32 "-byte sectors", s->cipher,
			s->sector_size);
	if (s->total)
		coffer_show_field(stdout, "progress", "%s of %s",
			coffer_size_format(s->converted).s, coffer_size_format(s->total).s);
	for (size_t i = 0; i < s->n_holders; i++)
		show_holder(&s->holders[i]);
	if (!s->holders_complete)
		coffer_show_field(stdout, "note", "not all processes are visible%s",
			geteuid() == 0 ? "" : " without root");
	if (!s->locked)
		coffer_show_field(
			stdout, "note", "read without a lock: no access to /run/cryptsetup");
	if (s->can_abort)
		coffer_show_field(stdout, "abort", "%s restores the plain filesystem",
			coffer_command("coffer abort", s->device).s);
	coffer_show_field(stdout, "next", "%s", next_text(s));
}

/* A line of the table of all disks. */
static void show_row(const struct coffer_status *s)
{
	const char *content = s->filesystem[0]	     ? s->filesystem
			      : s->luks_version == 2 ? "LUKS2"
			      : s->luks_version == 1 ? "LUKS1"
						     : "-";

	coffer_show_line(stdout, "%-22s %10s  %-16s %-12s %s", s->device,
		coffer_size_format(s->size).s, stage_text(s).s, content, next_text(s));
}

struct listing {
	const struct coffer_call *call;
	struct json_object *devices;
	struct json_object *unchecked;
	bool all;   /* no operand: all disks of this machine */
	bool table; /* its heading was printed */
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
	if (l->all && !l->table)
		coffer_show_line(stdout, "%-22s %10s  %-16s %-12s %s", "DEVICE", "SIZE", "STAGE",
			"CONTENT", "NEXT");
	l->table = l->all;
	if (l->all)
		show_row(s);
	else
		show_status(s);
}

/* Some of all disks cannot be read: a drive without a medium, or any disk by an ordinary user. This
 * is not a failure, but a list of unencrypted disks is then incomplete. */
static void note_unread(struct listing *l, const char *device, const struct coffer_err *e)
{
	struct json_object *o = coffer_json_object_new();

	COFFER_PUT(o, "device", device);
	coffer_json_put_error(o, e);
	(void)coffer_json_append(l->unchecked, o);
	if (!l->call->json)
		coffer_show_line(stderr, "coffer: not checked: %s", e->msg);
}

static void fail(struct listing *l, int r, const struct coffer_err *e)
{
	if (!l->call->json)
		coffer_show_error(e->msg);
	if (l->code != COFFER_DONE)
		return;
	l->code = coffer_err_exit_code(e, r);
	l->e = *e;
}

static void report_one(struct listing *l, const char *device)
{
	_cleanup_(cleanup_status) struct coffer_status *s = NULL;
	struct coffer_err e = {0};
	const int r = coffer_status(device, &s, &e);

	if (r == 0)
		list_status(l, s);
	else if (l->all)
		note_unread(l, device, &e);
	else
		fail(l, r, &e);
}

static void report_all(struct listing *l)
{
	struct coffer_err e = {0};
	char **list = NULL;
	const int r = coffer_device_list(&list, &e);

	if (r < 0) {
		fail(l, r, &e);
		return;
	}
	for (char **name = list; *name; name++)
		report_one(l, *name);
	coffer_device_list_free(list);
	if (!l->call->json && !l->table)
		coffer_show_error("no disks found");
}

static int run_status(void *options)
{
	const struct coffer_call *call = options;
	_cleanup_json_ struct json_object *report = coffer_json_report(call);
	struct listing l = {.call = call, .all = !*call->operands};

	l.devices = coffer_json_array_new();
	l.unchecked = coffer_json_array_new();
	if (l.all)
		report_all(&l);
	for (char **device = call->operands; *device; device++)
		report_one(&l, *device);
	COFFER_PUT(report, "devices", l.devices);
	if (l.all)
		COFFER_PUT(report, "unchecked", l.unchecked);
	else
		coffer_json_free(l.unchecked);
	return call->json ? coffer_json_finish(report, l.code, &l.e) : coffer_show_end(l.code);
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
