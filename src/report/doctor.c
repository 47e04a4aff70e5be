/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* doctor.c - check the machine, then its disks, without writing */
#include "report/doctor.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/array.h"
#include "base/err.h"
#include "base/findings.h"
#include "fs/signatures.h"
#include "header/check.h"
#include "header/judge_copies.h"
#include "io/clock.h"
#include "report/status.h"

enum {
	MAX_READS = 4 /* of differing header copies: without a lock they may be read in a commit */
};
#define INTERVAL 0.1 /* seconds */

DEFINE_CLEANUP(struct coffer_doctor_report *, report, coffer_doctor_free);

static void reset_disk(struct coffer_doctor_disk *d)
{
	free(d->device);
	coffer_status_free(d->status);
	coffer_findings_free(&d->checks);
}

void coffer_doctor_free(struct coffer_doctor_report *r)
{
	if (!r)
		return;
	coffer_findings_free(&r->machine);
	for (size_t i = 0; i < r->n_disks; i++)
		reset_disk(&r->disks[i]);
	free(r->disks);
	free(r);
}

/* Take over what is in @d. -ENOMEM. */
static int add_disk(struct coffer_doctor_report *r, const char *name, struct coffer_doctor_disk *d)
{
	d->device = strdup(name);
	if (!d->device || !ARRAY_ROOM(r->disks, r->n_disks))
		return -ENOMEM;
	r->disks[r->n_disks++] = *d;
	*d = (struct coffer_doctor_disk){0};
	return 0;
}

static int add_unread(struct coffer_doctor_report *r, const char *name, const char *reason)
{
	_cleanup_(reset_disk) struct coffer_doctor_disk unread = {0};
	const int k = coffer_findings_add(&unread.checks, COFFER_TEXT_DISK_UNREAD,
		COFFER_WITH(COFFER_ARG_TEXT("reason", reason)), NULL);

	return k < 0 ? k : add_disk(r, name, &unread);
}

/* --- one disk --- */

/* LUKS, or an unfinished conversion? A member of a RAID has what the array has, which is checked
 * itself. */
static int is_interesting(struct coffer_dev *dev, bool *ret, struct coffer_err *e)
{
	_cleanup_(coffer_disk_reset) struct coffer_disk disk = {0};
	struct coffer_content content;
	int r;

	r = coffer_signatures_read(dev, 0, dev->size, &content, e);
	if (r == 0)
		r = coffer_disk_examine(dev, &disk, e);
	if (r == 0)
		*ret = strcmp(content.type, "linux_raid_member") != 0 &&
		       (content.luks || disk.operation != COFFER_OP_START);
	return r;
}

/* Is its header written now? coffer locks the disk, which is visible through namespaces; a stock
 * tool holds the reencryption lock, whose holder root finds. */
static bool is_converted_now(const struct coffer_dev *dev, const struct coffer_status *s)
{
	return coffer_dev_is_locked(dev) || coffer_status_holder(s, COFFER_HOLDER_REENCRYPTION);
}

/* The copies are judged elsewhere. */
static int check_metadata(struct coffer_dev *dev, struct coffer_findings *l, struct coffer_err *e)
{
	_cleanup_(coffer_findings_free) struct coffer_findings all = {0};
	int r;

	r = coffer_header_checks(dev, &all, e);
	for (size_t i = 0; i < all.n && r == 0; i++) {
		struct coffer_finding *f = &all.items[i];

		if ((f->verdict == COFFER_VERDICT_BAD || f->verdict == COFFER_VERDICT_UNCHECKED) &&
			f->id != COFFER_FINDING_HEADER_PRIMARY &&
			f->id != COFFER_FINDING_HEADER_SECONDARY)
			r = coffer_findings_put(l, f);
	}
	return r;
}

static int check_header(struct coffer_dev *dev, const struct coffer_disk *disk,
	const struct coffer_status *s, struct coffer_findings *l, struct coffer_err *e)
{
	const struct coffer_copies *h = &disk->facts.header;
	int r;

	if (!disk->header &&
		(s->stage != COFFER_STAGE_DAMAGED || (!h->copy[0].magic && !h->copy[1].magic)))
		return 0;
	if (!h->agree && is_converted_now(dev, s))
		return coffer_findings_add(l, COFFER_TEXT_HEADER_COPIES_WRITTEN, NULL, NULL);
	r = coffer_judge_copies(&disk->facts, s->device, l);
	return r < 0 || !disk->header ? r : check_metadata(dev, l, e);
}

static int check_keyslots(
	const struct coffer_disk *disk, const struct coffer_status *s, struct coffer_findings *l)
{
	const struct coffer_keyslot_state state = {.device = s->device,
		.converting = s->stage != COFFER_STAGE_ENCRYPTED,
		.open = coffer_status_holder(s, COFFER_HOLDER_DEVICE) != NULL,
		.available_kib = coffer_doctor_memory()};

	if (!disk->header || disk->facts.kind_error < 0)
		return 0;
	return coffer_judge_keyslots(disk->header->json, &state, l);
}

/* The status and its facts; again if the header may have been written meanwhile. */
static int read_disk(struct coffer_dev *dev, struct coffer_status **ret_status,
	struct coffer_disk *ret_disk, struct coffer_err *e)
{
	const struct coffer_copies *h = &ret_disk->facts.header;

	for (int i = 0; i < MAX_READS; i++) {
		int r;

		if (i > 0)
			coffer_sleep(INTERVAL);
		coffer_disk_reset(ret_disk);
		coffer_status_free(TAKE_PTR(*ret_status));
		r = coffer_status_of(dev, ret_status, ret_disk, NULL, e);
		if (r < 0 || h->agree || (!h->copy[0].magic && !h->copy[1].magic))
			return r;
	}
	return 0;
}

static int add_checks(struct coffer_dev *dev, const struct coffer_disk *disk,
	const struct coffer_status *s, struct coffer_findings *l, struct coffer_err *e)
{
	int r;

	r = coffer_judge_stage(
		s, coffer_dev_is_locked(dev), s->holders_complete || geteuid() == 0, l);
	if (r == 0)
		r = check_header(dev, disk, s, l, e);
	return r < 0 ? r : check_keyslots(disk, s, l);
}

/* Add the disk @name; unless @always only if it has LUKS or an unfinished conversion. -errno when
 * it cannot be read. */
static int check_disk(
	const char *name, bool always, struct coffer_doctor_report *r, struct coffer_err *e)
{
	_cleanup_dev_ struct coffer_dev *dev = NULL;
	_cleanup_(reset_disk) struct coffer_doctor_disk found = {0};
	_cleanup_(coffer_disk_reset) struct coffer_disk disk = {0};
	bool wanted = always;
	int k;

	k = coffer_dev_open_reading(name, &dev, e);
	if (k < 0)
		return k;
	dev->no_locks = true;
	if (!always)
		k = is_interesting(dev, &wanted, e);
	if (k < 0 || !wanted)
		return k;
	k = read_disk(dev, &found.status, &disk, e);
	if (k == 0)
		k = add_checks(dev, &disk, found.status, &found.checks, e);
	return k < 0 ? k : add_disk(r, name, &found);
}

/* --- all of them --- */

/* A drive without a medium, or one that was removed meanwhile. */
static bool is_gone(int r)
{
	return r == -ENOMEDIUM || r == -ENXIO || r == -ENODEV || r == -ENOENT;
}

/* All @names, also after one that cannot be read. *@hidden: how many this user may not read; NULL
 * for disks that the caller has named, which must all be there and readable. */
static int check_list(const char *const *names, size_t *hidden, struct coffer_doctor_report *r,
	struct coffer_err *e)
{
	int result = 0;

	for (; *names; names++) {
		struct coffer_err why = {0};
		const int k = check_disk(*names, !hidden, r, &why);

		if (k == 0 || (hidden && is_gone(k)))
			continue;
		if (hidden && (k == -EACCES || k == -EPERM)) {
			(*hidden)++;
			continue;
		}
		if (k == -ENOMEM || add_unread(r, *names, why.msg) < 0)
			return -ENOMEM;
		if (!hidden && result == 0)
			result = coffer_err_pass(e, k, &why);
	}
	return result;
}

static int check_all(struct coffer_doctor_report *r)
{
	struct coffer_err why = {0};
	char **list = NULL;
	size_t hidden = 0;
	int k;

	k = coffer_device_list(&list, &why);
	if (k < 0)
		return k == -ENOMEM
			       ? k
			       : coffer_findings_add(&r->machine, COFFER_TEXT_DISKS_UNLISTED,
					 COFFER_WITH(COFFER_ARG_TEXT("reason", why.msg)), NULL);
	k = check_list((const char *const *)list, &hidden, r, NULL);
	coffer_device_list_free(list);
	if (k < 0 || (hidden == 0 && r->n_disks > 0))
		return k;
	return coffer_findings_add(&r->machine,
		hidden > 0 ? COFFER_TEXT_DISKS_HIDDEN : COFFER_TEXT_DISKS_NONE,
		COFFER_WITH(COFFER_ARG_NUMBER("disks", hidden)), NULL);
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
		r = o->devices && *o->devices ? check_list(o->devices, NULL, report, e)
					      : check_all(report);
	if (r == -ENOMEM)
		return coffer_err_errno(e, ENOMEM, "doctor");
	if (r == 0)
		r = conclude(report, e);
	*ret = TAKE_PTR(report);
	return coffer_err_default(e, r);
}
