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
static const struct coffer_user *find_process(
	const struct coffer_status *s, enum coffer_user_kind kind, bool writes)
{
	for (size_t i = 0; i < s->n_users; i++)
		if (s->users[i].kind == kind && (!writes || s->users[i].writes))
			return &s->users[i];
	return NULL;
}

static int check_alone(
	const struct coffer_dev *dev, const struct coffer_status *s, struct coffer_err *e)
{
	const struct coffer_user *u = find_process(s, COFFER_USER_REENCRYPTS, false);

	if (u)
		return coffer_err_refuse(e, EBUSY,
			"process %d (%s) is converting %s right now; wait until it has ended",
			(int)u->pid, u->name, dev->name);
	return coffer_dev_check_alone(dev, e);
}

static int list_alone(const struct coffer_dev *dev, const struct coffer_status *s,
	struct coffer_checks *l, struct coffer_err *e)
{
	const struct coffer_user *writer = find_process(s, COFFER_USER_PROCESS, true);
	struct coffer_err why = {0};
	int r;

	if (check_alone(dev, s, &why) < 0)
		return coffer_guard_add_refusal(l, "alone", dev->name, &why, e);
	if (writer)
		r = coffer_checks_add(l, "alone", COFFER_CHECK_NOTE,
			"process %d (%s) has it open for writing, and should not write while a run "
			"lasts",
			(int)writer->pid, writer->name);
	else if (!s->users_complete)
		r = coffer_checks_add(l, "alone", COFFER_CHECK_NOTE,
			"nobody is seen to use it, but this user may not see everybody's "
			"processes");
	else
		r = coffer_checks_add(l, "alone", COFFER_CHECK_OK, "nobody is seen to use it");
	return r < 0 ? coffer_err_errno(e, ENOMEM, "look at %s", dev->name) : 0;
}

static int list_writable(
	const struct coffer_dev *dev, struct coffer_checks *l, struct coffer_err *e)
{
	struct coffer_err why = {0};

	if (coffer_dev_check_writable(dev, &why) < 0)
		return coffer_guard_add_refusal(l, "writable", dev->name, &why, e);
	if (coffer_checks_add(l, "writable", COFFER_CHECK_OK, "this user may write to it") < 0)
		return coffer_err_errno(e, ENOMEM, "look at %s", dev->name);
	return 0;
}

/* On a block device a run needs cryptsetup's locks; an image file is locked itself. */
static int list_locks(const struct coffer_dev *dev, struct coffer_checks *l, struct coffer_err *e)
{
	int r;

	if (coffer_locks_usable())
		r = coffer_checks_add(
			l, "locks", COFFER_CHECK_OK, "this user may use cryptsetup's locks");
	else if (!dev->is_block)
		r = coffer_checks_add(l, "locks", COFFER_CHECK_NOTE,
			"this user has no access to " COFFER_LOCK_DIR
			", so cryptsetup is not kept from resuming it at the same time");
	else
		r = coffer_checks_add(l, "locks", COFFER_CHECK_BAD,
			"this user has no access to " COFFER_LOCK_DIR
			", and without its locks no block device is touched");
	if (r < 0)
		return coffer_err_errno(e, ENOMEM, "look at %s", dev->name);
	if (l->items[l->n - 1].verdict == COFFER_CHECK_BAD)
		coffer_checks_remedy(l, "run coffer as root");
	return 0;
}

int coffer_access_list(const struct coffer_dev *dev, const struct coffer_status *s,
	struct coffer_checks *l, struct coffer_err *e)
{
	int r;

	r = list_alone(dev, s, l, e);
	if (r == 0)
		r = list_writable(dev, l, e);
	return r < 0 ? r : list_locks(dev, l, e);
}
