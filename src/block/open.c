/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* open.c - open a device for a run, or name its holders */
#include "block/open.h"

#include <errno.h>
#include <sys/stat.h>

#include "base/err.h"
#include "block/busy.h"

typedef int (*explain_fn)(const char *name, const struct stat *st, struct coffer_err *e);

static int explain(explain_fn how, const char *name, const struct stat *st, struct coffer_err *e)
{
	const int r = how(name, st, e);

	return r == -EBUSY ? coffer_err_id(e, r, COFFER_FINDING_EXCLUSIVE) : r;
}

static int refuse_attached(const struct coffer_dev *d, struct stat *ret, struct coffer_err *e)
{
	if (fstat(d->fd, ret) < 0)
		return coffer_err_errno(e, errno, "stat %s", d->name);
	return explain(coffer_busy_refuse_attached, d->name, ret, e);
}

static int open_for_run(
	const char *path, bool exclusive, struct coffer_dev **ret, struct coffer_err *e)
{
	_cleanup_dev_ struct coffer_dev *d = NULL;
	struct stat st;
	int r;

	r = coffer_dev_open_writing(path, exclusive, &d, e);
	if ((r == -EBUSY || r == -EAGAIN) && stat(path, &st) == 0)
		return explain(r == -EBUSY ? coffer_busy_explain : coffer_busy_explain_locked, path,
			&st, e);
	if (r < 0)
		return r;
	/* A loop device has a cache of its own over an image file. */
	r = exclusive || !d->is_block ? refuse_attached(d, &st, e) : 0;
	if (r < 0)
		return r;
	*ret = TAKE_PTR(d);
	return 0;
}

int coffer_dev_open(const char *path, struct coffer_dev **ret, struct coffer_err *e)
{
	return open_for_run(path, true, ret, e);
}

int coffer_dev_open_shared(const char *path, struct coffer_dev **ret, struct coffer_err *e)
{
	return open_for_run(path, false, ret, e);
}

int coffer_dev_check_exclusive(const struct coffer_dev *d, struct coffer_err *e)
{
	struct stat st;
	int r;

	r = refuse_attached(d, &st, e);
	if (r < 0 || !coffer_dev_is_locked(d))
		return r;
	return explain(coffer_busy_explain_locked, d->name, &st, e);
}
