/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* doctor_machine.c - the machine: locks, kernel, udev, swap, memory */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/findings.h"
#include "base/secret.h"
#include "block/dm_scan.h"
#include "convert/session.h"
#include "fs/signatures.h"
#include "io/udev.h"
#include "luks2/lock_files.h"
#include "report/doctor.h"
#include "report/judge_locks.h"
#include "report/kernel.h"

enum {
	/* Passphrase, volume key and the keys between them, in pages of their own. */
	LOCKED = COFFER_MAX_PASSPHRASE + (24 << 10)
};

static int add_locks(struct coffer_findings *l)
{
	_cleanup_lock_files_ struct coffer_lock_files files = {0};
	struct coffer_err why = {0};
	int r = coffer_lock_files_read(&files, &why);

	if (r == -ENOMEM)
		return r;
	if (r == -EACCES || r == -EPERM)
		return coffer_findings_print(l, COFFER_FINDING_LOCKS, COFFER_VERDICT_UNCHECKED,
			"which locks are held only root can see");
	if (r < 0)
		return coffer_findings_print(
			l, COFFER_FINDING_LOCKS, COFFER_VERDICT_UNCHECKED, "%s", why.msg);
	return coffer_judge_locks(files.items, files.n, l);
}

static int look_at_locks(struct coffer_findings *l)
{
	struct coffer_lock_dir_facts dir;
	int r;

	coffer_lock_dir_read(&dir);
	r = coffer_judge_lock_dir(&dir, l);
	if (r == 0 && dir.dir == COFFER_ENTRY_FOLDER)
		r = add_locks(l);
	return r;
}

static int look_at_swap(struct coffer_findings *l)
{
	struct coffer_swap_list swaps = {0};
	int r;

	r = coffer_dm_scan_swaps(&swaps);
	if (r == 0)
		r = coffer_judge_swaps(swaps.items, swaps.n, coffer_dm_scan_count(), l);
	free(swaps.items);
	return r;
}

static int look_for_hibernation(bool root, struct coffer_findings *l)
{
	struct coffer_err why = {0};
	int r;

	if (!root)
		return coffer_findings_print(l, COFFER_FINDING_HIBERNATION,
			COFFER_VERDICT_UNCHECKED,
			"only root can see whether a swap holds a hibernated system");
	if (coffer_refuse_hibernation(&why) == 0)
		return coffer_findings_print(l, COFFER_FINDING_HIBERNATION, COFFER_VERDICT_OK,
			"no hibernated system is to be seen on this machine's swaps");
	r = coffer_findings_print(l, COFFER_FINDING_HIBERNATION, COFFER_VERDICT_BAD, "%.*s",
		(int)strcspn(why.msg, ";"), why.msg);
	coffer_findings_advise(l, "%s", why.msg + strcspn(why.msg, ";") + 2);
	return r;
}

/* Not by the limit: whoever may pass over it is not bound by it. */
static int look_at_memory_lock(struct coffer_findings *l)
{
	struct coffer_secret *s = NULL;
	const int r = coffer_secret_new(LOCKED, &s, NULL);

	coffer_secret_free(s);
	return coffer_judge_memory_lock(LOCKED, -r, l);
}

int coffer_doctor_machine(struct coffer_findings *l, struct coffer_err *e)
{
	struct coffer_kernel_facts kernel;
	int r;

	coffer_kernel_read(&kernel);
	r = look_at_locks(l);
	if (r == 0)
		r = coffer_judge_dm_crypt(&kernel, l);
	if (r == 0)
		r = coffer_judge_udev(coffer_udev_probe(), l);
	if (r == 0)
		r = look_at_swap(l);
	if (r == 0)
		r = look_for_hibernation(geteuid() == 0, l);
	if (r == 0)
		r = look_at_memory_lock(l);
	return r < 0 ? coffer_err_errno(e, -r, "look at this machine") : 0;
}
