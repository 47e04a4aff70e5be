/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* doctor_machine.c - check the machine: locks, kernel, udev, swap, memory */
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
	/* What a run locks at a time, each in pages of its own: the passphrase, a keyslot's key and
	 * the volume key. */
	LOCKED = COFFER_MAX_PASSPHRASE + (16 << 10)
};

static int check_locks(struct coffer_findings *l)
{
	_cleanup_lock_files_ struct coffer_lock_files files = {0};
	struct coffer_lock_dir_facts dir;
	struct coffer_err why = {0};
	int r;

	coffer_lock_dir_read(&dir);
	r = coffer_judge_lock_dir(&dir, l);
	if (r < 0 || dir.dir != COFFER_ENTRY_FOLDER)
		return r;
	r = coffer_lock_files_read(&files, &why);
	if (r == -ENOMEM)
		return r;
	if (r == -EACCES || r == -EPERM)
		return coffer_findings_add(l, COFFER_TEXT_LOCKS_HIDDEN, NULL, NULL);
	if (r < 0)
		return coffer_findings_add(l, COFFER_TEXT_LOCKS_UNREAD,
			COFFER_WITH(COFFER_ARG_TEXT("reason", why.msg)), NULL);
	return coffer_judge_locks(files.items, files.n, l);
}

static int check_swap(struct coffer_findings *l)
{
	struct coffer_swap_list swaps = {0};
	int r;

	r = coffer_dm_scan_swaps(&swaps);
	if (r == 0)
		r = coffer_judge_swaps(swaps.items, swaps.n, coffer_dm_scan_count(), l);
	free(swaps.items);
	return r;
}

static int check_hibernation(struct coffer_findings *l)
{
	struct coffer_err why = {0};

	if (geteuid() != 0)
		return coffer_findings_add(l, COFFER_TEXT_HIBERNATION_HIDDEN, NULL, NULL);
	if (coffer_refuse_hibernation(&why) == 0)
		return coffer_findings_add(l, COFFER_TEXT_HIBERNATION, NULL, NULL);
	return coffer_findings_add_err(l, COFFER_FINDING_HIBERNATION, "", &why);
}

/* An attempt, since a limit does not bind every process. */
static int check_memory_lock(struct coffer_findings *l)
{
	struct coffer_secret *s = NULL;
	const int r = coffer_secret_new(LOCKED - sizeof(*s), &s, NULL);

	coffer_secret_free(s);
	return coffer_judge_memory_lock(LOCKED, -r, l);
}

int coffer_doctor_machine(struct coffer_findings *l)
{
	struct coffer_kernel_facts kernel;
	int r;

	coffer_kernel_read(&kernel);
	r = check_locks(l);
	if (r == 0)
		r = coffer_judge_dm_crypt(&kernel, l);
	if (r == 0)
		r = coffer_judge_udev(coffer_udev_probe(), l);
	if (r == 0)
		r = check_swap(l);
	if (r == 0)
		r = check_hibernation(l);
	return r < 0 ? r : check_memory_lock(l);
}
