/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* header_read.c - both header copies as they lie on a disk, of one moment */
#include "luks2/header_read.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "luks2/judge.h"
#include "luks2/locks.h"

enum {
	MAX_LOOKS = 20 /* at copies that change meanwhile */
};

void coffer_header_copies_reset(struct coffer_header_copies *l)
{
	for (int i = 0; i < 2; i++) {
		coffer_luks2_copy_reset(&l->copy[i]);
		free(l->data[i]);
	}
	*l = (struct coffer_header_copies){0};
}

/* Read copy @i at byte @off; what was there before goes. */
static int read_copy(struct coffer_dev *d, struct coffer_header_copies *l, int i, uint64_t off,
	struct coffer_err *e)
{
	const uint64_t there = off < d->size ? d->size - off : 0;
	_cleanup_free_ uint8_t *data = coffer_dev_buffer(COFFER_LUKS2_BIN);
	uint64_t size;
	int r = 0;

	if (!data)
		return coffer_err_errno(e, ENOMEM, "read the LUKS2 header of %s", d->name);
	if (there > 0)
		r = coffer_dev_read(d, data, min_u64(there, COFFER_LUKS2_BIN), off, e);
	size = coffer_luks2_copy_size(data, off);
	if (r == 0 && size > 0 && size <= there) {
		free(data);
		data = coffer_dev_buffer(size);
		if (!data)
			return coffer_err_errno(e, ENOMEM, "read the LUKS2 header of %s", d->name);
		r = coffer_dev_read(d, data, size, off, e);
	}
	if (r < 0)
		return r;
	coffer_luks2_copy_reset(&l->copy[i]);
	free(l->data[i]);
	l->data[i] = TAKE_PTR(data);
	l->n[i] = size > 0 ? min_u64(there, size) : COFFER_LUKS2_BIN;
	l->copy[i].offset = off;
	r = coffer_luks2_copy_judge(l->data[i], l->n[i], &l->copy[i], NULL);
	if (r < 0)
		return coffer_err_errno(e, -r, "read the LUKS2 header of %s", d->name);
	return l->copy[i].whole ? coffer_luks2_copy_ask(d, &l->copy[i], e) : 0;
}

/* How much a second copy says. One that an earlier volume has left elsewhere is marked foreign: it
 * is reported, and never counts. */
static unsigned int rank(const struct coffer_luks2_copy *first, const struct coffer_luks2_copy *c)
{
	if (c->accepted && !c->foreign)
		return 5;
	if (c->accepted)
		return 4;
	if (c->bin.copy_size && strcmp(c->bin.uuid, first->bin.uuid) == 0)
		return 3;
	return c->bin.copy_size ? 2 : c->magic;
}

static bool says_more(const struct coffer_luks2_copy *first, const struct coffer_luks2_copy *a,
	const struct coffer_luks2_copy *b)
{
	const unsigned int x = rank(first, a), y = rank(first, b);

	return x > y || (x == y && a->bin.seqid > b->bin.seqid);
}

static int read_second(
	struct coffer_dev *d, struct coffer_header_copies *l, uint64_t off, struct coffer_err *e)
{
	const struct coffer_luks2_copy *first = &l->copy[0];
	struct coffer_luks2_copy *second = &l->copy[1];
	const int r = read_copy(d, l, 1, off, e);

	second->foreign = r == 0 && !first->accepted && first->bin.copy_size > 0 &&
			  off != first->bin.copy_size &&
			  strcmp(second->bin.uuid, first->bin.uuid) != 0;
	return r;
}

/* The one place that knows where a second copy can lie. */
static int search_second(struct coffer_dev *d, struct coffer_header_copies *l, uint64_t expected,
	struct coffer_err *e)
{
	struct coffer_luks2_copy best = {.offset = expected};
	int r = read_second(d, l, expected, e);

	if (r < 0 || l->copy[0].accepted || rank(&l->copy[0], &l->copy[1]) == 5)
		return r;
	best = l->copy[1];
	best.json = NULL; /* not owned */
	for (uint64_t off = COFFER_LUKS2_MIN_COPY; off <= COFFER_LUKS2_MAX_COPY; off *= 2) {
		r = read_second(d, l, off, e);
		if (r < 0 || rank(&l->copy[0], &l->copy[1]) == 5)
			return r;
		if (!says_more(&l->copy[0], &l->copy[1], &best))
			continue;
		best = l->copy[1];
		best.json = NULL;
	}
	return read_second(d, l, best.offset, e);
}

int coffer_header_copies_read(
	struct coffer_dev *d, struct coffer_header_copies *l, struct coffer_err *e)
{
	const int r = read_copy(d, l, 0, 0, e);

	if (r < 0)
		return r;
	return search_second(d, l,
		l->copy[0].bin.copy_size ? l->copy[0].bin.copy_size : COFFER_LUKS2_MIN_COPY, e);
}

/* What another descriptor has written counts, not what was read before. */
static int read_both(struct coffer_dev *d, struct coffer_header_copies *l, struct coffer_err *e)
{
	if (d->is_block)
		coffer_dev_forget(d, 0, min_u64(d->size, 2 * COFFER_LUKS2_MAX_COPY));
	return coffer_header_copies_read(d, l, e);
}

static bool is_same(const struct coffer_header_copies *a, const struct coffer_header_copies *b)
{
	for (int i = 0; i < 2; i++)
		if (a->copy[i].offset != b->copy[i].offset || a->n[i] != b->n[i] ||
			memcmp(a->data[i], b->data[i],
				a->copy[i].copy ? a->n[i] : COFFER_LUKS2_BIN) != 0)
			return false;
	return true;
}

/* Without a lock somebody may write while it is read: what was read twice is of one moment. */
static int read_unlocked(
	struct coffer_dev *d, struct coffer_header_copies *ret, struct coffer_err *e)
{
	struct coffer_header_copies before = {0};
	bool same = false;
	int r = read_both(d, ret, e);

	for (int i = 0; i < MAX_LOOKS && r == 0 && !same; i++) {
		coffer_header_copies_reset(&before);
		before = *ret;
		*ret = (struct coffer_header_copies){0};
		r = read_both(d, ret, e);
		same = r == 0 && is_same(&before, ret);
	}
	coffer_header_copies_reset(&before);
	if (r == 0 && !same)
		return coffer_err_set(e, EBUSY,
			"the LUKS2 header of %s changes again and again while it is read", d->name);
	return r;
}

int coffer_header_copies_read_locked(
	struct coffer_dev *d, struct coffer_header_copies *ret, struct coffer_err *e)
{
	_cleanup_lock_ struct coffer_lock *lock = NULL;
	struct coffer_err why = {0};
	bool unlocked;
	int r;

	*ret = (struct coffer_header_copies){0};
	r = coffer_lock_metadata(d, false, &lock, &why);
	unlocked = r == -EACCES || r == -EPERM || r == -EROFS;
	if (r < 0 && !unlocked) {
		if (e)
			*e = why;
		return r;
	}
	r = unlocked ? read_unlocked(d, ret, e) : read_both(d, ret, e);
	if (r < 0)
		coffer_header_copies_reset(ret);
	else
		ret->unlocked = unlocked;
	return r;
}
