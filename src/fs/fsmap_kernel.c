/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fsmap_kernel.c - FS_IOC_GETFSMAP: the kernel's report of free space */
#include <errno.h>
#include <inttypes.h>
#include <linux/fsmap.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

#include "base/bytes.h"
#include "base/err.h"
#include "fs/fsmap_kinds.h"

enum {
	RECORDS = 16384 /* 1 MiB */
};

/* A device number in the 32 bits that the kernel uses. */
static uint32_t encode_dev(dev_t dev)
{
	const uint32_t mi = minor(dev);

	return (mi & 0xff) | major(dev) << 8 | (mi & ~0xffu) << 12;
}

static int add(const struct fsmap *rec, uint64_t end, struct coffer_ranges *l, struct coffer_err *e)
{
	const uint64_t last = l->n > 0 ? l->items[l->n - 1].end : 0;
	uint64_t rec_end;

	if (!add_u64(rec->fmr_physical, rec->fmr_length, &rec_end) || rec_end > end ||
		rec->fmr_physical < last)
		return coffer_err_set(e, EUCLEAN,
			"the kernel reports an impossible free range at byte %" PRIu64,
			(uint64_t)rec->fmr_physical);
	return coffer_ranges_add(l, rec->fmr_physical, rec_end, e);
}

static int ask(int root, struct fsmap_head *head, struct coffer_err *e)
{
	head->fmh_count = RECORDS;
	if (ioctl(root, FS_IOC_GETFSMAP, head) < 0)
		return coffer_err_errno(e, errno, "ask the kernel for free space");
	if (head->fmh_entries > RECORDS)
		return coffer_err_set(e, EIO, "the kernel's answer is invalid");
	if (head->fmh_entries > 0 && !(head->fmh_oflags & FMH_OF_DEV_T))
		return coffer_err_set(
			e, EOPNOTSUPP, "the kernel does not report the device of free space");
	return 0;
}

int coffer_fsmap_need_mount(struct coffer_err *e)
{
	return coffer_err_set(
		e, EPERM, "only the kernel can report its free space, and only to root");
}

int coffer_fsmap_ask_kernel(const struct coffer_hidden_mount *h, uint64_t end,
	struct coffer_ranges *ret, struct coffer_err *e)
{
	_cleanup_free_ struct fsmap_head *head = calloc(1, fsmap_sizeof(RECORDS));
	const uint32_t dev = encode_dev(h->dev);
	const struct fsmap *rec = NULL;
	struct fsmap *high;

	if (!head)
		return coffer_err_errno(e, ENOMEM, "ask the kernel for free space");
	high = &head->fmh_keys[1];
	high->fmr_device = high->fmr_flags = UINT32_MAX;
	high->fmr_physical = high->fmr_owner = high->fmr_offset = UINT64_MAX;
	for (;;) {
		int r = ask(h->root, head, e);

		for (uint32_t i = 0; i < head->fmh_entries && r == 0; i++) {
			rec = &head->fmh_recs[i];
			/* Without this flag an owner is an inode number, and 1 is one, too. */
			if ((rec->fmr_flags & FMR_OF_SPECIAL_OWNER) &&
				rec->fmr_owner == FMR_OWN_FREE && rec->fmr_device == dev)
				r = add(rec, end, ret, e);
		}
		if (r < 0)
			return r;
		if (head->fmh_entries == 0 || (rec->fmr_flags & FMR_OF_LAST))
			return 0;
		fsmap_advance(head);
	}
}
