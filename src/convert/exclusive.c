/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* exclusive.c - could a run have exclusive access? Asked without opening the disk for it */
#include "convert/exclusive.h"

#include <errno.h>
#include <unistd.h>

#include "base/err.h"
#include "base/findings.h"
#include "block/open.h"
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

int coffer_exclusive_check(
	const struct coffer_dev *dev, const struct coffer_status *s, struct coffer_err *e)
{
	const struct coffer_holder *u = find_process(s, COFFER_HOLDER_REENCRYPTION, false);
	_cleanup_finding_ struct coffer_finding f = {0};
	int r;

	if (!u)
		return coffer_dev_check_exclusive(dev, e);
	r = coffer_finding_make(&f, COFFER_TEXT_EXCLUSIVE_CONVERTING,
		COFFER_WITH(COFFER_ARG_NUMBER("pid", (uint64_t)u->pid),
			COFFER_ARG_TEXT("program", u->name)),
		NULL);
	return r < 0 ? coffer_err_errno(e, -r, "check %s", dev->name)
		     : coffer_err_from_finding(e, dev->name, &f);
}

static int list_exclusive(
	const struct coffer_dev *dev, const struct coffer_status *s, struct coffer_findings *l)
{
	const struct coffer_holder *u = find_process(s, COFFER_HOLDER_REENCRYPTION, false);
	enum coffer_text t = COFFER_TEXT_EXCLUSIVE_CONVERTING;
	struct coffer_err why = {0};

	if (!u) {
		const int r = coffer_dev_check_exclusive(dev, &why);

		if (r < 0)
			return why.code == 0 ? r
					     : coffer_findings_add_err(l, COFFER_FINDING_EXCLUSIVE,
						       dev->name, &why);
		t = COFFER_TEXT_EXCLUSIVE_WRITER;
		u = find_process(s, COFFER_HOLDER_PROCESS, true);
	}
	if (u)
		return coffer_findings_add(l, t,
			COFFER_WITH(COFFER_ARG_NUMBER("pid", (uint64_t)u->pid),
				COFFER_ARG_TEXT("program", u->name)),
			NULL);
	if (s->holders_complete)
		return coffer_findings_add(l, COFFER_TEXT_EXCLUSIVE, NULL, NULL);
	/* In a container, root may not see all either. */
	return coffer_findings_add(l, COFFER_TEXT_EXCLUSIVE_NOT_ALL,
		COFFER_WITH(COFFER_ARG_TEXT("missing", geteuid() == 0 ? "" : "root")), NULL);
}

static int list_writable(const struct coffer_dev *dev, struct coffer_findings *l)
{
	struct coffer_err why = {0};

	if (coffer_dev_check_writable(dev, &why) < 0)
		return coffer_findings_add_err(l, COFFER_FINDING_WRITABLE, dev->name, &why);
	return coffer_findings_add(l, COFFER_TEXT_WRITABLE, NULL, NULL);
}

/* On a block device a run needs cryptsetup's locks; an image file is locked itself. */
static int list_locks(const struct coffer_dev *dev, struct coffer_findings *l)
{
	const enum coffer_text t = coffer_locks_usable() ? COFFER_TEXT_LOCKS
				   : dev->is_block	 ? COFFER_TEXT_LOCKS_BLOCK
							 : COFFER_TEXT_LOCKS_IMAGE;

	return coffer_findings_add(
		l, t, COFFER_WITH(COFFER_ARG_TEXT("directory", COFFER_LOCK_DIR)), NULL);
}

int coffer_exclusive_list(const struct coffer_dev *dev, const struct coffer_status *s,
	struct coffer_findings *l, struct coffer_err *e)
{
	int r;

	r = list_exclusive(dev, s, l);
	if (r == 0)
		r = list_writable(dev, l);
	if (r == 0)
		r = list_locks(dev, l);
	return r == -ENOMEM ? coffer_err_errno(e, ENOMEM, "check %s", dev->name) : r;
}
