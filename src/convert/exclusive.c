/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* exclusive.c - could a run have the disk for itself? Asked without opening it for work */
#include "convert/exclusive.h"

#include <errno.h>

#include "base/err.h"
#include "base/findings.h"
#include "block/open.h"
#include "convert/preflight.h"
#include "luks2/locks.h"

/* A process of a kind, one that writes where @writes. */
static const struct coffer_holder *find_process(
	const struct coffer_status *s, enum coffer_holder_kind kind, bool writes)
{
	for (size_t i = 0; i < s->n_holders; i++)
		if (s->holders[i].kind == kind && (!writes || s->holders[i].writes))
			return &s->holders[i];
	return NULL;
}

static int check_exclusive(
	const struct coffer_dev *dev, const struct coffer_status *s, struct coffer_err *e)
{
	const struct coffer_holder *u = find_process(s, COFFER_HOLDER_REENCRYPTION, false);

	if (u)
		return coffer_err_refuse(e, EBUSY,
			"process %d (%s) is converting %s right now; wait until it has ended",
			(int)u->pid, u->name, dev->name);
	return coffer_dev_check_exclusive(dev, e);
}

static int list_exclusive(const struct coffer_dev *dev, const struct coffer_status *s,
	struct coffer_findings *l, struct coffer_err *e)
{
	const struct coffer_holder *writer = find_process(s, COFFER_HOLDER_PROCESS, true);
	struct coffer_err why = {0};
	int r;

	if (check_exclusive(dev, s, &why) < 0)
		return coffer_preflight_add_refusal(
			l, COFFER_FINDING_EXCLUSIVE, dev->name, &why, e);
	if (writer)
		r = coffer_findings_add(l, COFFER_FINDING_EXCLUSIVE, COFFER_VERDICT_NOTE,
			"process %d (%s) has it open for writing, and should not write while a run "
			"lasts",
			(int)writer->pid, writer->name);
	else if (!s->holders_complete)
		r = coffer_findings_add(l, COFFER_FINDING_EXCLUSIVE, COFFER_VERDICT_NOTE,
			"nobody is seen to use it, but this user may not see everybody's "
			"processes");
	else
		r = coffer_findings_add(
			l, COFFER_FINDING_EXCLUSIVE, COFFER_VERDICT_OK, "nobody is seen to use it");
	return r < 0 ? coffer_err_errno(e, ENOMEM, "look at %s", dev->name) : 0;
}

static int list_writable(
	const struct coffer_dev *dev, struct coffer_findings *l, struct coffer_err *e)
{
	struct coffer_err why = {0};

	if (coffer_dev_check_writable(dev, &why) < 0)
		return coffer_preflight_add_refusal(l, COFFER_FINDING_WRITABLE, dev->name, &why, e);
	if (coffer_findings_add(
		    l, COFFER_FINDING_WRITABLE, COFFER_VERDICT_OK, "this user may write to it") < 0)
		return coffer_err_errno(e, ENOMEM, "look at %s", dev->name);
	return 0;
}

/* On a block device a run needs cryptsetup's locks; an image file is locked itself. */
static int list_locks(const struct coffer_dev *dev, struct coffer_findings *l, struct coffer_err *e)
{
	int r;

	if (coffer_locks_usable())
		r = coffer_findings_add(l, COFFER_FINDING_LOCKS, COFFER_VERDICT_OK,
			"this user may use cryptsetup's locks");
	else if (!dev->is_block)
		r = coffer_findings_add(l, COFFER_FINDING_LOCKS, COFFER_VERDICT_NOTE,
			"this user has no access to " COFFER_LOCK_DIR
			", so cryptsetup is not kept from resuming it at the same time");
	else
		r = coffer_findings_add(l, COFFER_FINDING_LOCKS, COFFER_VERDICT_BAD,
			"this user has no access to " COFFER_LOCK_DIR
			", and without its locks no block device is touched");
	if (r < 0)
		return coffer_err_errno(e, ENOMEM, "look at %s", dev->name);
	if (l->items[l->n - 1].verdict == COFFER_VERDICT_BAD)
		coffer_findings_remedy(l, "run coffer as root");
	return 0;
}

int coffer_exclusive_list(const struct coffer_dev *dev, const struct coffer_status *s,
	struct coffer_findings *l, struct coffer_err *e)
{
	int r;

	r = list_exclusive(dev, s, l, e);
	if (r == 0)
		r = list_writable(dev, l, e);
	return r < 0 ? r : list_locks(dev, l, e);
}
