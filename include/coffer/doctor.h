/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* coffer/doctor.h - what on this machine and its encrypted disks needs care
 *
 * Only reads. It takes no lock, makes no file or folder, loads no module and mounts nothing.
 * What this user may not see is UNCHECKED, and what is only unusual is a NOTE. */
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
	/* Disks and images to check, a NULL-ended list. NULL or empty: every block device of the
	 * machine that holds LUKS or a conversion of coffer's. */
	const char *const *devices;
};

struct coffer_doctor_disk {
	char *device;
	struct coffer_status *status; /* NULL: it could not be read, see the finding "disk" */
	struct coffer_findings checks;
};

struct coffer_doctor_report {
	struct coffer_findings machine; /* locks, kernel, swap, ... */
	struct coffer_doctor_disk *disks;
	size_t n_disks;
};

/* Check the machine and disks. *ret, for coffer_doctor_free, is also set where the outcome is
 * NO, or where a disk of @o->devices could not be read.
 * 0: no check is BAD. Outcome NO with -EBADMSG: one is; FAILED with others: a disk of @o->devices
 * cannot be read, or memory ran out. */
COFFER_API int coffer_doctor(const struct coffer_doctor_options *o,
	struct coffer_doctor_report **ret, struct coffer_err *e);
COFFER_API void coffer_doctor_free(struct coffer_doctor_report *r); /* NULL is fine */

#ifdef __cplusplus
}
#endif
#endif
