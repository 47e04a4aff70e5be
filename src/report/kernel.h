/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* kernel.h - what this kernel can do, from /proc, /sys and /lib/modules; no module is loaded */
#pragma once
#include <stdint.h>

#include "report/judge_kernel.h"

void coffer_kernel_read(struct coffer_kernel_facts *ret);

/* KiB of memory and swap that a program can still get; 0: unknown. */
uint64_t coffer_kernel_available(void);
