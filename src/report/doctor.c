/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* doctor.c - look at the machine, then at its disks, and change nothing */
#include "report/doctor.h"

#include <errno.h>
#include <string.h>

#include "base/array.h"
#include "base/err.h"
#include "base/findings.h"

DEFINE_CLEANUP(struct coffer_doctor_report *, report, coffer_doctor_free);

void coffer_doctor_free(struct coffer_doctor_report *r)
{
	if (!r)
		return;
	coffer_findings_free(&r->machine);
	for (size_t i = 0; i < r->n_disks; i++) {
		free(r->disks[i].device);
		coffer_status_free(r->disks[i].status);
		coffer_findings_free(&r->disks[i].checks);
	}
	free(r->disks);
	free(r);
}

static int no_memory(struct coffer_err *e)
{
	return coffer_err_errno(e, ENOMEM, "look at this machine");
}

/* A disk of which there is nothing to say but why. */
static int add_unread(
	struct coffer_doctor_report *r, const char *device, const char *why, struct coffer_err *e)
{
	struct coffer_doctor_disk disk = {.device = strdup(device)};

	if (!disk.device ||
		coffer_findings_print(&disk.checks, COFFER_FINDING_DISK, COFFER_VERDICT_UNCHECKED,
			"%s", why) < 0 ||
		!ARRAY_ROOM(r->disks, r->n_disks)) {
		free(disk.device);
		coffer_findings_free(&disk.checks);
		return no_memory(e);
	}
	r->disks[r->n_disks++] = disk;
	return 0;
}

static int look(const char *name, bool always, struct coffer_doctor_report *r, struct coffer_err *e)
{
	_cleanup_dev_ struct coffer_dev *dev = NULL;
	int k;

	k = coffer_dev_open_reading(name, &dev, e);
	if (k < 0)
		return k;
	dev->no_locks = true;
	return coffer_doctor_check_disk(dev, always, r, e);
}

/* Those that were named. One that cannot be read keeps nobody from looking at the others. */
static int look_at_named(
	const char *const *names, struct coffer_doctor_report *r, struct coffer_err *e)
{
	int k, result = 0;

	for (; *names; names++) {
		struct coffer_err why = {0};

		k = look(*names, true, r, &why);
		if (k == 0)
			continue;
		if (e && result == 0)
			*e = why;
		result = result ? result : k;
		if (k == -ENOMEM)
			return k;
		k = add_unread(r, *names, why.msg, e);
		if (k < 0)
			return k;
	}
	return result;
}

/* A drive without a medium, or one that went while we looked. */
static bool is_nothing(int code)
{
	return code == ENOMEDIUM || code == ENXIO || code == ENODEV || code == ENOENT;
}

static int tell_unseen(size_t unseen, struct coffer_doctor_report *r, struct coffer_err *e)
{
	if (unseen > 0 &&
		coffer_findings_print(&r->machine, COFFER_FINDING_DISKS, COFFER_VERDICT_UNCHECKED,
			"%zu of the machine's block devices cannot be read by this user",
			unseen) < 0)
		return no_memory(e);
	if (unseen == 0 && r->n_disks == 0 &&
		coffer_findings_print(&r->machine, COFFER_FINDING_DISKS, COFFER_VERDICT_OK,
			"no block device of this machine holds LUKS or anything of coffer's") < 0)
		return no_memory(e);
	return 0;
}

static int look_at_all(struct coffer_doctor_report *r, struct coffer_err *e)
{
	struct coffer_err why = {0};
	char **list = NULL;
	size_t unseen = 0;
	int k;

	k = coffer_device_list(&list, &why);
	if (k == -ENOMEM)
		return no_memory(e);
	if (k < 0)
		return coffer_findings_print(&r->machine, COFFER_FINDING_DISKS,
			       COFFER_VERDICT_UNCHECKED,
			       "the block devices of this machine cannot be listed: %s",
			       why.msg) < 0
			       ? no_memory(e)
			       : 0;
	k = 0;
	for (char **name = list; *name && k == 0; name++) {
		const int seen = look(*name, false, r, &why);

		if (seen == -EACCES || seen == -EPERM)
			unseen++;
		else if (seen == -ENOMEM)
			k = no_memory(e);
		else if (seen < 0 && !is_nothing(-seen))
			k = add_unread(r, *name, why.msg, e);
	}
	coffer_device_list_free(list);
	return k < 0 ? k : tell_unseen(unseen, r, e);
}

static int conclude(const struct coffer_doctor_report *r, struct coffer_err *e)
{
	size_t bad = coffer_findings_count(&r->machine, COFFER_VERDICT_BAD);
	int k;

	for (size_t i = 0; i < r->n_disks; i++)
		bad += coffer_findings_count(&r->disks[i].checks, COFFER_VERDICT_BAD);
	if (bad == 0)
		return 0;
	k = coffer_err_set(
		e, EBADMSG, "%zu %s care", bad, bad == 1 ? "finding needs" : "findings need");
	coffer_err_outcome(e, COFFER_NO);
	return k;
}

int coffer_doctor(const struct coffer_doctor_options *o, struct coffer_doctor_report **ret,
	struct coffer_err *e)
{
	_cleanup_(cleanup_report) struct coffer_doctor_report *report = calloc(1, sizeof(*report));
	int r;

	if (!report)
		return no_memory(e);
	r = coffer_doctor_machine(&report->machine, e);
	if (r < 0)
		return coffer_err_wrap(e, r, "doctor");
	r = o->devices && *o->devices ? look_at_named(o->devices, report, e)
				      : look_at_all(report, e);
	if (r == 0)
		r = conclude(report, e);
	if (r != -ENOMEM)
		*ret = TAKE_PTR(report);
	return coffer_err_wrap(e, r, "doctor");
}
