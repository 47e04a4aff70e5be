/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* restore_read.c - read what a restore needs to know of the disk */
#include "header/restore_read.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "convert/moved_segment.h"
#include "fs/signatures.h"
#include "luks2/keyslots.h"

int coffer_restore_read_content(
	struct coffer_restore *s, char *ret, size_t size, struct coffer_err *e)
{
	struct coffer_content c = {0};
	int r;

	ret[0] = '\0';
	r = coffer_signatures_read(s->dev, 0, s->dev->size, &c, e);
	if (r < 0)
		return r;
	/* Each disk of a RAID with its metadata at the end has a whole header at its start. */
	if (s->facts.header.copy[0].whole && c.foreign[0])
		(void)snprintf(
			ret, size, "a signature of %s at byte %" PRIu64, c.foreign, c.foreign_at);
	else if (s->facts.header.copy[0].whole)
		return 0;
	else if (c.type[0] && strcmp(c.type, "crypto_LUKS") != 0)
		(void)snprintf(ret, size, "a signature of %s", c.type);
	else if (c.luks && !c.luks2)
		(void)snprintf(ret, size, "a LUKS1 volume");
	else if (c.partitions[0])
		(void)snprintf(ret, size, "a partition table (%s)", c.partitions);
	else if (c.foreign[0])
		(void)snprintf(ret, size, "a signature of %s", c.foreign);
	return 0;
}

/* Find the traces of a conversion although no header is whole. */
static int find_traces(struct coffer_restore *s, struct coffer_err *e)
{
	struct coffer_moved_segment v = {0};
	struct coffer_disk disk = {0};
	const char *found = "";
	char why[512];
	int r;

	r = coffer_disk_examine(s->dev, &disk, e);
	if (r == 0 && disk.facts.transition_error == 0)
		found = "the transition block of an unfinished conversion";
	else if (r == 0 && disk.facts.header.newest < 0)
		r = coffer_moved_segment_read(&disk, &v, e);
	if (r == 0 && coffer_moved_segment_is_torn(&v, why, sizeof(why)))
		found = "a torn moved segment";
	(void)snprintf(s->content, sizeof(s->content), "%s", found);
	coffer_disk_reset(&disk);
	return r;
}

int coffer_restore_read_header(struct coffer_restore *s, struct coffer_err *e)
{
	coffer_header_free(TAKE_PTR(s->header));
	memset(&s->facts, 0, sizeof(s->facts));
	return coffer_facts_read_header(s->dev, &s->facts, &s->header, e);
}

/* Are the @n bytes at @at of the device equal to those at @off of the backup? */
static int is_there(struct coffer_restore *s, uint64_t at, uint64_t off, uint64_t n, bool *ret,
	struct coffer_err *e)
{
	_cleanup_free_ uint8_t *buf = coffer_dev_buffer(n);
	int r;

	*ret = false;
	if (!buf)
		return coffer_err_errno(e, ENOMEM, "compare keyslots");
	if (at > s->dev->size || n > s->dev->size - at)
		return 0;
	r = coffer_dev_read(s->dev, buf, n, at, e);
	*ret = r == 0 && memcmp(buf, s->backup.image + off, n) == 0;
	return r;
}

static const struct coffer_area *area_of(const struct coffer_areas *l, unsigned int slot)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->a[i].slot == slot)
			return &l->a[i];
	return NULL;
}

int coffer_restore_compare(
	struct coffer_restore *s, const struct coffer_areas *now, struct coffer_err *e)
{
	const struct coffer_areas *l = &s->backup.areas;
	int r;

	s->differ = s->damaged_slots = 0;
	for (size_t i = 0; i < l->n; i++) {
		const struct coffer_area *a = &l->a[i], *here = area_of(now, a->slot);
		const uint32_t bit = UINT32_C(1) << a->slot;
		bool there = true, intact = true;

		if (a->reencrypt)
			continue;
		r = is_there(s, a->offset, a->offset, a->size, &there, e);
		if (r == 0 && here && here->size == a->size &&
			coffer_keyslot_equal(s->header->json, s->backup.json, a->slot))
			r = is_there(s, here->offset, a->offset, a->size, &intact, e);
		if (r < 0)
			return r;
		s->differ |= there ? 0 : bit;
		s->damaged_slots |= intact ? 0 : bit;
	}
	return 0;
}

int coffer_restore_read(struct coffer_restore *s, struct coffer_err *e)
{
	_cleanup_lock_ struct coffer_lock *lock = NULL;
	struct coffer_err why = {0};
	int r;

	r = find_traces(s, e);
	if (r < 0)
		return r;
	r = coffer_lock_metadata(s->dev, false, &lock, &why);
	if (r < 0 && !(s->dev->read_only && coffer_err_is_no_access(r)))
		return coffer_err_pass(e, r, &why);
	r = coffer_restore_read_header(s, e);
	if (r == 0 && (s->facts.header.copy[0].whole || !s->content[0]))
		r = coffer_restore_read_content(s, s->content, sizeof(s->content), e);
	return r;
}
