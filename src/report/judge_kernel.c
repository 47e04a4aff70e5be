/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* judge_kernel.c - can this machine open volumes, and does it keep their secrets */
#include "report/judge_kernel.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/findings.h"

/* --- dm-crypt --- */

static int judge_no_crypt(const struct coffer_kernel_facts *f, struct coffer_findings *l)
{
	int r;

	if (f->container)
		return coffer_findings_print(l, COFFER_FINDING_DM_CRYPT, COFFER_VERDICT_NOTE,
			"dm-crypt is not to be seen; in a container that may be as it must be, but "
			"volumes cannot be opened here");
	if (f->dm_crypt == COFFER_MODULE_UNKNOWN && f->other_modules) {
		r = coffer_findings_print(l, COFFER_FINDING_DM_CRYPT, COFFER_VERDICT_BAD,
			"the modules of the running kernel %s are gone, and dm-crypt is not "
			"loaded: no volume can be opened before the next boot",
			f->release);
		coffer_findings_advise(l, "reboot into an installed kernel, or install the modules "
					  "of this one again");
		return r;
	}
	if (f->dm_crypt == COFFER_MODULE_UNKNOWN)
		return coffer_findings_print(l, COFFER_FINDING_DM_CRYPT, COFFER_VERDICT_NOTE,
			"%s, and no list of its modules tells whether dm-crypt could be loaded, "
			"without which no volume can be opened here",
			f->device_mapper ? "dm-crypt is not loaded"
					 : "the kernel has no device-mapper now");
	r = coffer_findings_print(l, COFFER_FINDING_DM_CRYPT, COFFER_VERDICT_BAD,
		"the kernel %s has no dm-crypt, and no module of it is installed: no volume can be "
		"opened here",
		f->release);
	coffer_findings_advise(l, "install the package with the rest of this kernel's modules "
				  "(linux-modules-extra, kernel-modules)");
	return r;
}

int coffer_judge_dm_crypt(const struct coffer_kernel_facts *f, struct coffer_findings *l)
{
	switch (f->dm_crypt) {
	case COFFER_MODULE_LOADED:
		return coffer_findings_print(l, COFFER_FINDING_DM_CRYPT, COFFER_VERDICT_OK,
			"the kernel has dm-crypt loaded");
	case COFFER_MODULE_BUILTIN:
		return coffer_findings_print(l, COFFER_FINDING_DM_CRYPT, COFFER_VERDICT_OK,
			"dm-crypt is a part of this kernel");
	case COFFER_MODULE_FILE:
		return coffer_findings_print(l, COFFER_FINDING_DM_CRYPT, COFFER_VERDICT_OK,
			"dm-crypt is a module of this kernel, loaded when it is needed");
	case COFFER_MODULE_UNKNOWN:
	case COFFER_MODULE_ABSENT:
		break;
	}
	return judge_no_crypt(f, l);
}

int coffer_judge_udev(enum coffer_udev u, struct coffer_findings *l)
{
	int r;

	switch (u) {
	case COFFER_UDEV_ANSWERS:
		return coffer_findings_print(
			l, COFFER_FINDING_UDEV, COFFER_VERDICT_OK, "udev runs");
	case COFFER_UDEV_NONE:
		return coffer_findings_print(l, COFFER_FINDING_UDEV, COFFER_VERDICT_OK,
			"there is no udev, and device-mapper's tools do not wait for one");
	case COFFER_UDEV_HIDDEN:
		return coffer_findings_print(l, COFFER_FINDING_UDEV, COFFER_VERDICT_UNCHECKED,
			"only root can ask whether udev runs");
	case COFFER_UDEV_SILENT:
		break;
	}
	r = coffer_findings_print(l, COFFER_FINDING_UDEV, COFFER_VERDICT_NOTE,
		"/run/udev/control is there, but nobody answers: cryptsetup and dmsetup would wait "
		"for udev without end");
	coffer_findings_advise(l, "start udev; where there is none, as in a container: rm "
				  "/run/udev/control, or set DM_DISABLE_UDEV=1");
	return r;
}

int coffer_judge_swaps(
	const struct coffer_swap *swaps, size_t n, size_t volumes, struct coffer_findings *l)
{
	size_t plain = 0;
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++) {
		if (swaps[i].kind == COFFER_SWAP_UNKNOWN) {
			r = coffer_findings_print(l, COFFER_FINDING_SWAP, COFFER_VERDICT_UNCHECKED,
				"whether the swap %s lies on an encrypted disk cannot be told",
				swaps[i].name);
		} else if (swaps[i].kind == COFFER_SWAP_PLAIN && volumes > 0) {
			r = coffer_findings_print(l, COFFER_FINDING_SWAP, COFFER_VERDICT_NOTE,
				"the swap %s is not encrypted, while an encrypted volume is open: "
				"what programs hold in memory, passwords too, can get to that disk",
				swaps[i].name);
			coffer_findings_advise(l, "put the swap on an encrypted disk, or take the "
						  "option 'swap' in /etc/crypttab");
		} else {
			continue;
		}
		plain++;
	}
	if (r < 0 || plain > 0)
		return r;
	return coffer_findings_print(l, COFFER_FINDING_SWAP, COFFER_VERDICT_OK, "%s",
		n == 0	       ? "no swap is to be seen"
		: volumes == 0 ? "no encrypted volume is open whose secrets could get to the swap"
			       : "all swap is encrypted or in memory");
}

int coffer_judge_memory_lock(uint64_t bytes, int error, struct coffer_findings *l)
{
	int r;

	if (error == 0)
		return coffer_findings_print(l, COFFER_FINDING_MEMORY_LOCK, COFFER_VERDICT_OK,
			"the %" PRIu64 " bytes that hold keys during a run can be locked in memory",
			bytes);
	r = coffer_findings_print(l, COFFER_FINDING_MEMORY_LOCK, COFFER_VERDICT_BAD,
		"the %" PRIu64
		" bytes that hold keys during a run cannot be locked in memory (%s), "
		"and a run does not begin without that",
		bytes, strerror(error));
	coffer_findings_advise(l, "ulimit -l %" PRIu64 ", or run coffer as root", bytes / 1024);
	return r;
}
