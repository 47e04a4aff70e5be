/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* judge_kernel.h - can this machine open volumes, and does it keep their secrets
 *
 * A container sees the host's kernel without the host's files; what is only missing from its view
 * is worth a note there and no more. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "block/dm_scan.h"
#include "coffer/finding.h"
#include "io/udev.h"

enum coffer_module {
	COFFER_MODULE_UNKNOWN, /* there is no list of this kernel's modules */
	COFFER_MODULE_ABSENT,
	COFFER_MODULE_FILE,    /* is loaded when it is needed */
	COFFER_MODULE_BUILTIN, /* a part of the kernel */
	COFFER_MODULE_LOADED,
};

struct coffer_kernel_facts {
	bool container;	    /* not the first pid namespace */
	bool other_modules; /* /lib/modules has modules of other kernels only */
	bool device_mapper; /* is there now */
	enum coffer_module dm_crypt;
	char release[72];
};

/* Add the check "dm-crypt". -ENOMEM. */
int coffer_judge_dm_crypt(const struct coffer_kernel_facts *f, struct coffer_findings *l);

/* Add the check "udev". -ENOMEM. */
int coffer_judge_udev(enum coffer_udev u, struct coffer_findings *l);

/* Add checks "swap" for @n swaps while @volumes encrypted volumes are open. -ENOMEM. */
int coffer_judge_swaps(
	const struct coffer_swap *swaps, size_t n, size_t volumes, struct coffer_findings *l);

/* Add the check "memory-lock": could @bytes be locked? @error: errno of the try, or 0. -ENOMEM. */
int coffer_judge_memory_lock(uint64_t bytes, int error, struct coffer_findings *l);
