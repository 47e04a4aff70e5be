/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* judge_kernel.h - can this machine open volumes, and does it keep their secrets
 *
 * A container has the host's kernel without the host's files: what is only not visible there is a
 * note. All return 0 or -ENOMEM. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "block/dm_scan.h"
#include "coffer/finding.h"
#include "io/udev.h"

enum coffer_module {
	COFFER_MODULE_UNKNOWN,	 /* no list of this kernel's modules */
	COFFER_MODULE_ABSENT,	 /* not on the list */
	COFFER_MODULE_AVAILABLE, /* loaded, built in, or a file */
};

struct coffer_kernel_facts {
	bool container;	    /* not the first pid namespace */
	bool other_modules; /* /lib/modules has modules of other kernels only */
	enum coffer_module dm_crypt;
	char release[72];
};

/* "dm-crypt" */
int coffer_judge_dm_crypt(const struct coffer_kernel_facts *f, struct coffer_findings *l);
/* "udev" */
int coffer_judge_udev(enum coffer_udev u, struct coffer_findings *l);
/* "swap" for @n swaps, while @volumes encrypted volumes are open */
int coffer_judge_swaps(
	const struct coffer_swap *swaps, size_t n, size_t volumes, struct coffer_findings *l);
/* "memory-lock": @error is the errno of an attempt to lock @bytes, or 0 */
int coffer_judge_memory_lock(uint64_t bytes, int error, struct coffer_findings *l);
