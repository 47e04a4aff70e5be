/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* doctor.h - the parts of a look at machine and disks */
#pragma once
#include "coffer/doctor.h"
#include "io/dev.h"

/* Add all that is to be said of the machine itself. -ENOMEM. */
int coffer_doctor_machine(struct coffer_findings *l, struct coffer_err *e);

/* Look at the disk @dev, which was opened for reading, and add it to @r; if it holds neither LUKS
 * nor anything of coffer's, only where @always. -errno when it cannot be read. */
int coffer_doctor_check_disk(
	struct coffer_dev *dev, bool always, struct coffer_doctor_report *r, struct coffer_err *e);
