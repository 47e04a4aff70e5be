/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* doctor.c - check the machine, then its disks, without writing */
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

static int add_unread(struct coffer_doctor_report *r, const char *device, const char *reason)
{
	struct coffer_doctor_disk disk = {.device = strdup(device)};

	if (!disk.device ||
		coffer_findings_add(&disk.checks, COFFER_TEXT_DISK_UNREAD,
			COFFER_WITH(COFFER_ARG_TEXT("reason", reason)), NULL) < 0 ||
		!ARRAY_ROOM(r->disks, r->n_disks)) {
		free(disk.device);
		coffer_findings_free(&disk.checks);
		return -ENOMEM;
	}
	r->disks[r->n_disks++] = disk;
	return 0;
}

static int check_disk(
	const char *name, bool always, struct coffer_doctor_report *r, struct coffer_err *e)
{
	_cleanup_dev_ struct coffer_dev *dev = NULL;
	const int k = coffer_dev_open_reading(name, &dev, e);

	if (k < 0)
		return k;
	dev->no_locks = true;
	return coffer_doctor_disk(dev, always, r, e);
}

/* All @names, also after one that cannot be read. */
static int check_named(
	const char *const *names, struct coffer_doctor_report *r, struct coffer_err *e)
{
	int result = 0;

	for (; *names; names++) {
		struct coffer_err why = {0};
		const int k = check_disk(*names, true, r, &why);

		if (k == 0)
			continue;
		if (k == -ENOMEM || add_unread(r, *names, why.msg) < 0)
			return -ENOMEM;
		if (result == 0)
			result = coffer_err_pass(e, k, &why);
	}
	return result;
}

/* A drive without a medium, or one that was removed meanwhile. */
static bool is_gone(int r)
{
	return r == -ENOMEDIUM || r == -ENXIO || r == -ENODEV || r == -ENOENT;
}

static int check_all(struct coffer_doctor_report *r)
{
	struct coffer_err why = {0};
	char **list = NULL;
	size_t unread = 0;
	int k;

	k = coffer_device_list(&list, &why);
	if (k < 0)
		return k == -ENOMEM
			       ? k
			       : coffer_findings_add(&r->machine, COFFER_TEXT_DISKS_UNLISTED,
					 COFFER_WITH(COFFER_ARG_TEXT("reason", why.msg)), NULL);
	for (char **name = list; *name && k == 0; name++) {
		k = check_disk(*name, false, r, &why);
		if (k == 0 || k == -ENOMEM)
			continue;
		if (k == -EACCES || k == -EPERM)
			unread++;
		k = is_gone(k) || k == -EACCES || k == -EPERM ? 0 : add_unread(r, *name, why.msg);
	}
	coffer_device_list_free(list);
	if (k < 0)
		return k;
	if (unread > 0)
		return coffer_findings_add(&r->machine, COFFER_TEXT_DISKS_HIDDEN,
			COFFER_WITH(COFFER_ARG_NUMBER("disks", unread)), NULL);
	if (r->n_disks > 0)
		return 0;
	return coffer_findings_add(&r->machine, COFFER_TEXT_DISKS_NONE, NULL, NULL);
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
		e, EBADMSG, "%zu %s attention", bad, bad == 1 ? "finding needs" : "findings need");
	coffer_err_outcome(e, COFFER_NO);
	return k;
}

int coffer_doctor(const struct coffer_doctor_options *o, struct coffer_doctor_report **ret,
	struct coffer_err *e)
{
	_cleanup_(cleanup_report) struct coffer_doctor_report *report = calloc(1, sizeof(*report));
	int r = report ? coffer_doctor_machine(&report->machine) : -ENOMEM;

	if (r == 0)
		r = o->devices && *o->devices ? check_named(o->devices, report, e)
					      : check_all(report);
	if (r == -ENOMEM)
		return coffer_err_errno(e, ENOMEM, "doctor");
	if (r == 0)
		r = conclude(report, e);
	*ret = TAKE_PTR(report);
	return coffer_err_default(e, r);
}
