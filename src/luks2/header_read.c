/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* header_read.c - read both header copies of a disk as of one moment */
#include "luks2/header_read.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "luks2/judge.h"
#include "luks2/locks.h"

enum {
	MAX_READS = 20, /* of copies that change meanwhile */
	BEST_RANK = 5,
};

void coffer_header_copies_reset(struct coffer_header_copies *l)
{
	for (int i = 0; i < 2; i++) {
		coffer_luks2_copy_reset(&l->copy[i]);
		free(l->data[i]);
	}
	*l = (struct coffer_header_copies){0};
}

static int no_memory(const struct coffer_dev *d, struct coffer_err *e)
{
	return coffer_err_errno(e, ENOMEM, "read the LUKS2 header of %s", d->name);
}

/* Read copy @i at byte @off, and forget what was read before. */
static int read_copy(struct coffer_dev *d, struct coffer_header_copies *l, int i, uint64_t off,
	struct coffer_err *e)
{
	const uint64_t there = off < d->size ? d->size - off : 0;
	_cleanup_free_ uint8_t *data = coffer_dev_buffer(COFFER_LUKS2_BIN);
	struct coffer_luks2_bin bin = {0};
	int r = 0;

	if (!data)
		return no_memory(d, e);
	if (there > 0)
		r = coffer_dev_read(d, data, min_u64(there, COFFER_LUKS2_BIN), off, e);
	if (r < 0)
		return r;
	if (coffer_luks2_bin_read(data, off, &bin) == 0 && bin.copy_size <= there) {
		free(data);
		data = coffer_dev_buffer(bin.copy_size);
		if (!data)
			return no_memory(d, e);
		r = coffer_dev_read(d, data, bin.copy_size, off, e);
	}
	if (r < 0)
		return r;
	coffer_luks2_copy_reset(&l->copy[i]);
	free(l->data[i]);
	l->data[i] = TAKE_PTR(data);
	l->copy[i].offset = off;
	r = coffer_luks2_copy_judge(l->data[i],
		bin.copy_size > 0 ? min_u64(there, bin.copy_size) : COFFER_LUKS2_BIN, &l->copy[i]);
	if (r < 0)
		return coffer_err_errno(e, -r, "read the LUKS2 header of %s", d->name);
	return l->copy[i].intact ? coffer_luks2_copy_ask(d, &l->copy[i], e) : 0;
}

/* How good a second copy is. A foreign one, of an earlier volume, is reported but never counts. */
static unsigned int rank(const struct coffer_luks2_copy *first, const struct coffer_luks2_copy *c)
{
	if (c->accepted)
		return c->foreign ? 4 : BEST_RANK;
	if (c->bin.copy_size && strcmp(c->bin.uuid, first->bin.uuid) == 0)
		return 3;
	return c->bin.copy_size ? 2 : c->magic;
}

static int read_second(struct coffer_dev *d, struct coffer_header_copies *l, uint64_t off,
	unsigned int *ret_rank, struct coffer_err *e)
{
	const struct coffer_luks2_copy *first = &l->copy[0];
	struct coffer_luks2_copy *second = &l->copy[1];
	const int r = read_copy(d, l, 1, off, e);

	if (r < 0)
		return r;
	second->foreign = !first->accepted && first->bin.copy_size > 0 &&
			  off != first->bin.copy_size &&
			  strcmp(second->bin.uuid, first->bin.uuid) != 0;
	*ret_rank = rank(first, second);
	return 0;
}

static int search_second(struct coffer_dev *d, struct coffer_header_copies *l, uint64_t expected,
	struct coffer_err *e)
{
	uint64_t best = expected, best_seqid, off = 0;
	unsigned int best_rank, now;
	int r = read_second(d, l, expected, &best_rank, e);

	if (r < 0 || l->copy[0].accepted || best_rank == BEST_RANK)
		return r;
	best_seqid = l->copy[1].bin.seqid;
	while (coffer_luks2_next_copy_size(&off)) {
		r = read_second(d, l, off, &now, e);
		if (r < 0 || now == BEST_RANK)
			return r;
		if (now < best_rank || (now == best_rank && l->copy[1].bin.seqid <= best_seqid))
			continue;
		best = off;
		best_rank = now;
		best_seqid = l->copy[1].bin.seqid;
	}
	return read_second(d, l, best, &now, e);
}

int coffer_header_copies_read_once(
	struct coffer_dev *d, struct coffer_header_copies *l, struct coffer_err *e)
{
	const int r = read_copy(d, l, 0, 0, e);

	if (r < 0)
		return r;
	return search_second(d, l,
		l->copy[0].bin.copy_size ? l->copy[0].bin.copy_size : COFFER_LUKS2_MIN_COPY, e);
}

/* Not from the cache: another program may have written through another descriptor. */
static int read_both(struct coffer_dev *d, struct coffer_header_copies *l, struct coffer_err *e)
{
	if (d->is_block)
		coffer_dev_forget(d, 0, min_u64(d->size, 2 * COFFER_LUKS2_MAX_COPY));
	return coffer_header_copies_read_once(d, l, e);
}

static bool is_same(const struct coffer_header_copies *a, const struct coffer_header_copies *b)
{
	for (int i = 0; i < 2; i++)
		if (a->copy[i].offset != b->copy[i].offset ||
			!a->copy[i].copy != !b->copy[i].copy ||
			a->copy[i].bin.copy_size != b->copy[i].bin.copy_size ||
			memcmp(a->data[i], b->data[i],
				a->copy[i].copy ? a->copy[i].bin.copy_size : COFFER_LUKS2_BIN) != 0)
			return false;
	return true;
}

/* Without a lock another program may write meanwhile: two equal reads are of one moment. */
static int read_unlocked(
	struct coffer_dev *d, struct coffer_header_copies *ret, struct coffer_err *e)
{
	int r = read_both(d, ret, e);

	for (int i = 0; i < MAX_READS && r == 0; i++) {
		_cleanup_header_copies_ struct coffer_header_copies before = *ret;

		*ret = (struct coffer_header_copies){0};
		r = read_both(d, ret, e);
		if (r == 0 && is_same(&before, ret))
			return 0;
	}
	if (r < 0)
		return r;
	return coffer_err_set(
		e, EBUSY, "the LUKS2 header of %s keeps changing while it is read", d->name);
}

int coffer_header_copies_read(
	struct coffer_dev *d, struct coffer_header_copies *ret, struct coffer_err *e)
{
	_cleanup_lock_ struct coffer_lock *lock = NULL;
	struct coffer_err why = {0};
	bool unlocked;
	int r;

	*ret = (struct coffer_header_copies){0};
	r = coffer_lock_metadata(d, false, &lock, &why);
	unlocked = coffer_err_is_no_access(r);
	if (r < 0 && !unlocked)
		return coffer_err_pass(e, r, &why);
	r = unlocked ? read_unlocked(d, ret, e) : read_both(d, ret, e);
	if (r < 0)
		coffer_header_copies_reset(ret);
	else
		ret->unlocked = unlocked;
	return r;
}
