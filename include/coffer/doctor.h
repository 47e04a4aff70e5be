/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* coffer/doctor.h - what on this machine and its encrypted disks needs attention
 *
 * Only reads: it takes no lock, creates no file, loads no module and mounts nothing. What this user
 * cannot read is UNCHECKED; what is merely unusual is a NOTE. */
#ifndef COFFER_DOCTOR_H
#define COFFER_DOCTOR_H

#include <stddef.h>

#include "coffer/err.h"
#include "coffer/finding.h"
#include "coffer/status.h"

#ifdef __cplusplus
extern "C" {
#endif

struct coffer_doctor_options {
	/* Block devices and image files, a list that ends with NULL, owned by the caller. NULL or
	 * empty: every block device of the machine that has LUKS or an unfinished conversion. */
	const char *const *devices;
};

struct coffer_doctor_disk {
	char *device;
	struct coffer_status *status; /* NULL: unreadable, see the finding "disk" */
	struct coffer_findings checks;
};

struct coffer_doctor_report {
	struct coffer_findings machine; /* locks, kernel, swap, ... */
	struct coffer_doctor_disk *disks;
	size_t n_disks;
};

/* Check the machine and disks. *ret is set unless memory ran out; free it with coffer_doctor_free.
 * Returns 0 if no finding is BAD, or a negative errno. Outcome NO with -EBADMSG: a finding is BAD;
 * REFUSED with -ENOTBLK: one of @o->devices is neither a block device nor a regular file; FAILED:
 * one of them cannot be read, or memory ran out. */
COFFER_API int coffer_doctor(const struct coffer_doctor_options *o,
	struct coffer_doctor_report **ret, struct coffer_err *e);
COFFER_API void coffer_doctor_free(struct coffer_doctor_report *r); /* NULL is fine */

#ifdef __cplusplus
}
#endif
#endif
