/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* doctor.h - the parts of a check of machine and disks */
#pragma once
#include "coffer/doctor.h"
#include "io/dev.h"

/* Add what needs care on the machine itself. -ENOMEM. */
int coffer_doctor_machine(struct coffer_findings *l);

/* Check the disk @dev, opened for reading, and add it to @r; unless @always only if it has LUKS or
 * an unfinished conversion. -errno when it cannot be read. */
int coffer_doctor_disk(
	struct coffer_dev *dev, bool always, struct coffer_doctor_report *r, struct coffer_err *e);
