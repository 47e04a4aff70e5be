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

struct query {
	uint32_t dev;
	uint64_t end;  /* of the filesystem */
	uint64_t last; /* the end of the last free range */
	struct coffer_range *items;
	size_t n;
};

static int add(struct query *q, const struct fsmap *rec, struct coffer_err *e)
{
	uint64_t end;

	/* Without this flag an owner is an inode number, and 1 is one, too. */
	if (!(rec->fmr_flags & FMR_OF_SPECIAL_OWNER) || rec->fmr_owner != FMR_OWN_FREE ||
		rec->fmr_device != q->dev)
		return 0;
	if (!add_u64(rec->fmr_physical, rec->fmr_length, &end) || end > q->end ||
		rec->fmr_physical < q->last)
		return coffer_err_set(e, EUCLEAN,
			"the kernel reports an impossible free range at byte %" PRIu64,
			(uint64_t)rec->fmr_physical);
	q->last = end;
	return coffer_ranges_add(&q->items, &q->n, rec->fmr_physical, end, e);
}

/* -EAGAIN: there is more. */
static int ask(struct query *q, int root, struct fsmap_head *head, struct coffer_err *e)
{
	int r = 0;

	head->fmh_count = RECORDS;
	if (ioctl(root, FS_IOC_GETFSMAP, head) < 0)
		return coffer_err_errno(e, errno, "ask the kernel for free space");
	if (head->fmh_entries > RECORDS)
		return coffer_err_set(e, EIO, "the kernel's answer is invalid");
	if (head->fmh_entries > 0 && !(head->fmh_oflags & FMH_OF_DEV_T))
		return coffer_err_set(
			e, EOPNOTSUPP, "the kernel does not say which device the free space is on");
	for (uint32_t i = 0; i < head->fmh_entries && r == 0; i++)
		r = add(q, &head->fmh_recs[i], e);
	if (r < 0 || head->fmh_entries == 0 ||
		(head->fmh_recs[head->fmh_entries - 1].fmr_flags & FMR_OF_LAST))
		return r;
	fsmap_advance(head);
	return -EAGAIN;
}

int coffer_fsmap_need_mount(struct coffer_err *e)
{
	return coffer_err_set(
		e, EPERM, "only the kernel can report its free space, and only to root");
}

int coffer_fsmap_ask_kernel(const struct coffer_hidden_mount *h, uint64_t end,
	struct coffer_range **ret, size_t *ret_n, struct coffer_err *e)
{
	_cleanup_free_ struct fsmap_head *head = calloc(1, fsmap_sizeof(RECORDS));
	struct query q = {.dev = encode_dev(h->dev), .end = end};
	struct fsmap *high;
	int r;

	if (!head)
		return coffer_err_errno(e, ENOMEM, "ask the kernel for free space");
	high = &head->fmh_keys[1];
	high->fmr_device = high->fmr_flags = UINT32_MAX;
	high->fmr_physical = high->fmr_owner = high->fmr_offset = UINT64_MAX;
	do
		r = ask(&q, h->root, head, e);
	while (r == -EAGAIN);
	if (r < 0) {
		free(q.items);
		return r;
	}
	*ret = q.items;
	*ret_n = q.n;
	return 0;
}
