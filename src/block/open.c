/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* open.c - open a device for work, and name who is in the way where that cannot be */
#include "block/open.h"

#include <errno.h>
#include <sys/stat.h>

#include "base/err.h"
#include "block/busy.h"

/* The kernel tells that somebody is in the way, and not who. */
static int explain(const char *path, int r, struct coffer_err *e)
{
	struct stat st;

	if ((r != -EBUSY && r != -EAGAIN) || stat(path, &st) < 0)
		return r;
	r = r == -EBUSY ? coffer_busy_explain(path, &st, e)
			: coffer_busy_explain_locked(path, &st, e);
	return r == -EBUSY ? coffer_err_id(e, r, COFFER_FINDING_EXCLUSIVE) : r;
}

static int refuse_attached(const struct coffer_dev *d, struct coffer_err *e)
{
	struct stat st;
	int r;

	if (fstat(d->fd, &st) < 0)
		return coffer_err_errno(e, errno, "look at %s", d->name);
	r = coffer_busy_refuse_attached(d->name, &st, e);
	return r == -EBUSY ? coffer_err_id(e, r, COFFER_FINDING_EXCLUSIVE) : r;
}

static int open_for_work(
	const char *path, bool exclusive, struct coffer_dev **ret, struct coffer_err *e)
{
	_cleanup_dev_ struct coffer_dev *d = NULL;
	int r;

	r = coffer_dev_open_writing(path, exclusive, &d, e);
	if (r < 0)
		return explain(path, r, e);
	/* A loop device keeps its own view of an image file's blocks. */
	if (exclusive || !d->is_block)
		r = refuse_attached(d, e);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(d);
	return 0;
}

int coffer_dev_open(const char *path, struct coffer_dev **ret, struct coffer_err *e)
{
	return open_for_work(path, true, ret, e);
}

int coffer_dev_open_shared(const char *path, struct coffer_dev **ret, struct coffer_err *e)
{
	return open_for_work(path, false, ret, e);
}

int coffer_dev_check_exclusive(const struct coffer_dev *d, struct coffer_err *e)
{
	struct stat st;
	int r;

	r = refuse_attached(d, e);
	if (r < 0 || !coffer_dev_is_locked(d))
		return r;
	if (fstat(d->fd, &st) < 0)
		return coffer_err_errno(e, errno, "look at %s", d->name);
	r = coffer_busy_explain_locked(d->name, &st, e);
	return r == -EBUSY ? coffer_err_id(e, r, COFFER_FINDING_EXCLUSIVE) : r;
}
