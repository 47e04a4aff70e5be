/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* doctor_disk.c - check one disk: its stage, its header, its keyslots */
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
#include "report/doctor.h"
#include "report/kernel.h"
#include "report/status.h"

enum {
	MAX_READS = 4 /* of differing header copies: without a lock they may be read in a commit */
};
#define INTERVAL 0.1 /* seconds */

DEFINE_CLEANUP(struct coffer_status *, status, coffer_status_free);

/* LUKS, or an unfinished conversion? A member of a RAID has what the array has, which is checked
 * itself. */
static int is_interesting(struct coffer_dev *dev, bool *ret, struct coffer_err *e)
{
	struct coffer_content content;
	struct coffer_disk disk = {0};
	int r;

	r = coffer_signatures_read(dev, 0, dev->size, &content, e);
	if (r == 0)
		r = coffer_disk_examine(dev, &disk, e);
	if (r == 0)
		*ret = strcmp(content.type, "linux_raid_member") != 0 &&
		       (content.luks || disk.operation != COFFER_OP_START);
	coffer_disk_reset(&disk);
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
		.available_kib = coffer_kernel_available()};

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

int coffer_doctor_disk(
	struct coffer_dev *dev, bool always, struct coffer_doctor_report *r, struct coffer_err *e)
{
	_cleanup_(cleanup_status) struct coffer_status *s = NULL;
	_cleanup_(coffer_findings_free) struct coffer_findings checks = {0};
	_cleanup_free_ char *name = strdup(dev->name);
	struct coffer_disk disk = {0};
	bool wanted = always;
	int k = 0;

	if (!name)
		return -ENOMEM;
	if (!always)
		k = is_interesting(dev, &wanted, e);
	if (k < 0 || !wanted)
		return k;
	k = read_disk(dev, &s, &disk, e);
	if (k == 0)
		k = add_checks(dev, &disk, s, &checks, e);
	coffer_disk_reset(&disk);
	if (k < 0)
		return k;
	if (!ARRAY_ROOM(r->disks, r->n_disks))
		return -ENOMEM;
	r->disks[r->n_disks++] = (struct coffer_doctor_disk){
		.device = TAKE_PTR(name), .status = TAKE_PTR(s), .checks = checks};
	checks = (struct coffer_findings){0};
	return 0;
}
