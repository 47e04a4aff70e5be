/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* doctor.h - what doctor reads of the machine */
#pragma once
#include "coffer/doctor.h"

/* Add what needs care on the machine itself. -ENOMEM. */
int coffer_doctor_machine(struct coffer_findings *l);

/* KiB of memory and swap that a program can still get; 0: unknown. */
uint64_t coffer_doctor_memory(void);
