/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* doctor_disk.c - one disk: where it stands, its header, its keyslots */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/array.h"
#include "base/err.h"
#include "base/findings.h"
#include "base/quote.h"
#include "fs/signatures.h"
#include "header/check.h"
#include "header/judge_copies.h"
#include "io/clock.h"
#include "report/doctor.h"
#include "report/judge_disk.h"
#include "report/judge_volume.h"
#include "report/kernel.h"
#include "report/status.h"

enum {
	LOOKS = 4 /* at header copies that differ: without a lock a commit may be under way */
};
#define BETWEEN_LOOKS 0.1 /* seconds */

DEFINE_CLEANUP(struct coffer_status *, status, coffer_status_free);

/* LUKS, or something of coffer's? A member of a RAID shows what the array holds, which is looked at
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

static const struct coffer_holder *find_holder(
	const struct coffer_status *s, enum coffer_holder_kind kind)
{
	for (size_t i = 0; i < s->n_holders; i++)
		if (s->holders[i].kind == kind)
			return &s->holders[i];
	return NULL;
}

/* What is wrong with the metadata, rule by rule. The copies are judged elsewhere. */
static int look_at_rules(struct coffer_dev *dev, struct coffer_findings *l, struct coffer_err *e)
{
	_cleanup_(coffer_findings_free) struct coffer_findings all = {0};
	int r;

	r = coffer_header_checks(dev, &all, e);
	for (size_t i = 0; i < all.n && r == 0; i++) {
		const struct coffer_finding *c = &all.items[i];

		if (c->verdict != COFFER_VERDICT_BAD || c->id == COFFER_FINDING_COPIES ||
			c->id == COFFER_FINDING_HEADER_PRIMARY ||
			c->id == COFFER_FINDING_HEADER_SECONDARY)
			continue;
		if (coffer_findings_print(l, c->id, c->verdict, "%s", c->text) < 0)
			return coffer_err_errno(e, ENOMEM, "look at %s", dev->name);
		if (c->advice[0])
			coffer_findings_advise(l, "%s", c->advice);
	}
	return r;
}

/* Both header copies, by coffer's own reader. Whoever converts the volume now writes them at any
 * moment, so a difference means nothing then. */
static int look_at_header(struct coffer_dev *dev, const struct coffer_disk *disk,
	const struct coffer_status *s, const char *device, struct coffer_findings *l,
	struct coffer_err *e)
{
	const struct coffer_facts *f = &disk->facts;
	int r;

	if (!disk->header && !f->header.copy[0].magic && !f->header.copy[1].magic)
		return 0;
	if (!disk->header && s->stage != COFFER_STAGE_DAMAGED)
		return 0;
	if (!f->header.agree &&
		(find_holder(s, COFFER_HOLDER_REENCRYPTION) || coffer_dev_is_locked(dev)))
		return coffer_findings_print(l, COFFER_FINDING_HEADER_COPIES,
			       COFFER_VERDICT_UNCHECKED,
			       "the header is being written at this moment") < 0
			       ? coffer_err_errno(e, ENOMEM, "look at %s", dev->name)
			       : 0;
	r = coffer_judge_copies(f, device, l);
	if (r < 0)
		return coffer_err_errno(e, -r, "look at %s", dev->name);
	return disk->header ? look_at_rules(dev, l, e) : 0;
}

/* Who works on it holds a lock: coffer one on the device, which is seen through namespaces, stock
 * tools the one of reencryption, whose holder root finds. What is outside of a container nobody in
 * it sees; whoever follows the remedy there is refused by the lock. */
static int look_at_state(
	const struct coffer_dev *dev, const struct coffer_status *s, struct coffer_findings *l)
{
	const struct coffer_holder *worker = find_holder(s, COFFER_HOLDER_REENCRYPTION);
	const struct coffer_disk_state state = {.stage = s->stage,
		.luks_version = s->luks_version,
		.why = s->why,
		.next = s->next,
		.at_work = worker || coffer_dev_is_locked(dev),
		.worker = worker ? worker->pid : 0,
		.command = worker ? worker->name : "",
		.everybody = s->holders_complete || geteuid() == 0};

	return coffer_judge_state(&state, l);
}

static int look_at_volume(const struct coffer_disk *disk, const struct coffer_status *s,
	const char *device, struct coffer_findings *l)
{
	const struct coffer_volume_state state = {.device_size = s->size,
		.is_block = s->is_block,
		.converting = s->stage != COFFER_STAGE_ENCRYPTED,
		.open = find_holder(s, COFFER_HOLDER_DEVICE) != NULL,
		.available_kib = coffer_kernel_available(),
		.device = device};

	if (!disk->header || disk->facts.kind_error < 0)
		return 0;
	return coffer_judge_volume(disk->header->json, &state, l);
}

/* The status and the facts behind it; again where the header may have been written meanwhile. */
static int read_disk(struct coffer_dev *dev, struct coffer_status **ret_status,
	struct coffer_disk *ret_disk, struct coffer_err *e)
{
	int r = 0;

	for (int i = 0; i < LOOKS; i++) {
		if (i > 0)
			coffer_sleep(BETWEEN_LOOKS);
		coffer_disk_reset(ret_disk);
		coffer_status_free(TAKE_PTR(*ret_status));
		r = coffer_status_of(dev, ret_status, ret_disk, NULL, e);
		if (r < 0 || ret_disk->facts.header.agree ||
			(!ret_disk->facts.header.copy[0].magic &&
				!ret_disk->facts.header.copy[1].magic))
			break;
	}
	return r;
}

static int add_checks(struct coffer_dev *dev, const struct coffer_disk *disk,
	const struct coffer_status *s, struct coffer_findings *l, struct coffer_err *e)
{
	char device[4096];
	int r;

	coffer_quote(s->device, device, sizeof(device));
	if (look_at_state(dev, s, l) < 0)
		return coffer_err_errno(e, ENOMEM, "look at %s", s->device);
	r = look_at_header(dev, disk, s, device, l, e);
	if (r < 0)
		return r;
	r = look_at_volume(disk, s, device, l);
	return r < 0 ? coffer_err_errno(e, -r, "look at %s", s->device) : 0;
}

int coffer_doctor_check_disk(
	struct coffer_dev *dev, bool always, struct coffer_doctor_report *r, struct coffer_err *e)
{
	_cleanup_(cleanup_status) struct coffer_status *s = NULL;
	_cleanup_free_ char *name = strdup(dev->name);
	struct coffer_findings checks = {0};
	struct coffer_disk disk = {0};
	bool wanted = always;
	int k = 0;

	if (!name)
		return coffer_err_errno(e, ENOMEM, "look at %s", dev->name);
	if (!always)
		k = is_interesting(dev, &wanted, e);
	if (k < 0 || !wanted)
		return k;
	k = read_disk(dev, &s, &disk, e);
	if (k == 0)
		k = add_checks(dev, &disk, s, &checks, e);
	coffer_disk_reset(&disk);
	if (k == 0 && !ARRAY_ROOM(r->disks, r->n_disks))
		k = coffer_err_errno(e, ENOMEM, "look at %s", dev->name);
	if (k < 0) {
		coffer_findings_free(&checks);
		return k;
	}
	r->disks[r->n_disks++] = (struct coffer_doctor_disk){
		.device = TAKE_PTR(name), .status = TAKE_PTR(s), .checks = checks};
	return 0;
}
