/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* judge_kernel.c - can this machine open volumes, and does it keep their secrets */
#include "report/judge_kernel.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/findings.h"

int coffer_judge_dm_crypt(const struct coffer_kernel_facts *f, struct coffer_findings *l)
{
	enum coffer_text t = COFFER_TEXT_DM_CRYPT_ABSENT;

	if (f->dm_crypt == COFFER_MODULE_AVAILABLE)
		t = COFFER_TEXT_DM_CRYPT;
	else if (f->container)
		t = COFFER_TEXT_DM_CRYPT_CONTAINER;
	else if (f->dm_crypt == COFFER_MODULE_UNKNOWN)
		t = f->other_modules ? COFFER_TEXT_DM_CRYPT_NO_MODULES
				     : COFFER_TEXT_DM_CRYPT_UNKNOWN;
	return coffer_findings_add(l, t, COFFER_WITH(COFFER_ARG_TEXT("release", f->release)), NULL);
}

int coffer_judge_udev(enum coffer_udev u, struct coffer_findings *l)
{
	static const enum coffer_text texts[] = {
		[COFFER_UDEV_ANSWERS] = COFFER_TEXT_UDEV,
		[COFFER_UDEV_NONE] = COFFER_TEXT_UDEV_NONE,
		[COFFER_UDEV_HIDDEN] = COFFER_TEXT_UDEV_HIDDEN,
		[COFFER_UDEV_SILENT] = COFFER_TEXT_UDEV_SILENT,
	};

	return coffer_findings_add(l, texts[u], NULL, NULL);
}

int coffer_judge_swaps(
	const struct coffer_swap *swaps, size_t n, size_t volumes, struct coffer_findings *l)
{
	const size_t before = l->n;

	for (size_t i = 0; i < n; i++) {
		const struct coffer_argument *swap =
			COFFER_WITH(COFFER_ARG_TEXT("swap", swaps[i].name));
		int r = 0;

		if (swaps[i].kind == COFFER_SWAP_UNKNOWN)
			r = coffer_findings_add(l, COFFER_TEXT_SWAP_UNKNOWN, swap, NULL);
		else if (swaps[i].kind == COFFER_SWAP_PLAIN && volumes > 0)
			r = coffer_findings_add(l, COFFER_TEXT_SWAP_PLAIN, swap, NULL);
		if (r < 0)
			return r;
	}
	return l->n > before ? 0 : coffer_findings_add(l, COFFER_TEXT_SWAP, NULL, NULL);
}

int coffer_judge_memory_lock(uint64_t bytes, int error, struct coffer_findings *l)
{
	char kib[32];

	(void)snprintf(kib, sizeof(kib), "%" PRIu64, bytes / 1024);
	return coffer_findings_add(l,
		error ? COFFER_TEXT_MEMORY_LOCK_FAILED : COFFER_TEXT_MEMORY_LOCK,
		COFFER_WITH(COFFER_ARG_SIZE("size", bytes),
			COFFER_ARG_TEXT("error", error ? strerror(error) : "")),
		error ? COFFER_RUN("ulimit", "-l", kib) : NULL);
}
