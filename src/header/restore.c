/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* restore.c - verify a header backup, compare it with the disk, ask, write it */
#include "header/restore.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/findings.h"
#include "block/holders.h"
#include "block/open.h"
#include "convert/moved_segment.h"
#include "fs/signatures.h"
#include "header/backup.h"
#include "luks2/copy.h"
#include "luks2/keyslots.h"
#include "luks2/locks.h"
#include "luks2/metadata.h"

/* --- read the disk --- */

/* Find content that is not LUKS2: in place of the first copy, or beside a usable one. @ret is "" if
 * there is none. */
static int read_content(struct coffer_restore *s, char *ret, size_t size, struct coffer_err *e)
{
	struct coffer_content c = {0};
	int r;

	ret[0] = '\0';
	r = coffer_signatures_read(s->dev, 0, s->dev->size, &c, e);
	if (r < 0)
		return r;
	/* Each disk of a RAID with its metadata at the end has a usable header at its start. */
	if (s->facts.header.copy[0].usable && c.foreign[0])
		(void)snprintf(
			ret, size, "a signature of %s at byte %" PRIu64, c.foreign, c.foreign_at);
	else if (s->facts.header.copy[0].usable)
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

/* Find the traces of a conversion although no header is usable. */
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
	s->now.unfinished = found[0] != '\0';
	(void)snprintf(s->now.content, sizeof(s->now.content), "%s", found);
	coffer_disk_reset(&disk);
	return r;
}

/* Read the header. A second copy alone counts: here it can only speak against the restore. */
static int read_header(struct coffer_restore *s, struct coffer_err *e)
{
	coffer_header_free(TAKE_PTR(s->now.header));
	memset(&s->facts, 0, sizeof(s->facts));
	return coffer_facts_read_header(s->dev, &s->facts, &s->now.header, e);
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

/* Compare the keyslots' bytes with the backup: fills differ and damaged_slots, and the areas of the
 * header on the disk. */
static int compare_keyslots(
	struct coffer_restore *s, struct coffer_areas *now, struct coffer_err *e)
{
	const struct coffer_areas *l = &s->backup.areas;
	int r;

	*now = (struct coffer_areas){0};
	if (!s->now.header)
		return 0;
	if (coffer_areas_read(s->now.header->json, 0, COFFER_MAX_HEADER_IMAGE, now) < 0)
		return coffer_err_needs_repair(
			e, EUCLEAN, "%s: the keyslots are at impossible offsets", s->dev->name);
	s->differ = s->now.damaged_slots = 0;
	for (size_t i = 0; i < l->n; i++) {
		const struct coffer_area *a = &l->a[i], *here = area_of(now, a->slot);
		const uint32_t bit = UINT32_C(1) << a->slot;
		bool there = true, intact = true;

		if (a->reencrypt)
			continue;
		r = is_there(s, a->offset, a->offset, a->size, &there, e);
		if (r == 0 && here && here->size == a->size &&
			coffer_keyslot_equal(s->now.header->json, s->backup.json, a->slot))
			r = is_there(s, here->offset, a->offset, a->size, &intact, e);
		if (r < 0)
			return r;
		s->differ |= there ? 0 : bit;
		s->now.damaged_slots |= intact ? 0 : bit;
	}
	return 0;
}

/* Read header, facts and content, under the shared metadata lock. A device that is opened read-only
 * is read without the lock if this user has no access to it. */
static int read_disk(struct coffer_restore *s, struct coffer_err *e)
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
	r = read_header(s, e);
	if (r == 0 && (s->facts.header.copy[0].usable || !s->now.content[0]))
		r = read_content(s, s->now.content, sizeof(s->now.content), e);
	return r;
}

/* --- compare --- */

static int read_backup(struct coffer_restore *s, uint64_t n, struct coffer_err *e)
{
	const struct coffer_stop stop = {.wanted = s->o->stop, .userdata = s->o->userdata};
	const struct coffer_backup *b = &s->backup;
	struct coffer_err why = {0};
	int r;

	r = coffer_backup_read(s->file, n, &s->backup, &why);
	if (r == 0)
		r = coffer_image_accepted(s->file, b->info.image_size, &stop, &why);
	if (r == -EBADMSG || r == -ENODATA || r == -EOPNOTSUPP)
		coffer_err_outcome(&why, COFFER_REFUSED);
	if (r < 0)
		return coffer_err_wrap(e, coffer_err_pass(e, r, &why), "%s", s->o->file);
	/* A stock file may hold the material of removed keys: it does not go back to the disk. */
	coffer_image_clean(s->file, b->info.image_size, b->copy_size, &b->areas);
	s->result->info = b->info;
	return 0;
}

static int lock_volume(struct coffer_restore *s, struct coffer_err *e)
{
	const struct coffer_copy_facts *torn = coffer_restore_torn(&s->facts);
	const char *uuid = s->now.header		      ? s->now.header->uuid
			   : torn && !strchr(torn->uuid, '/') ? torn->uuid
							      : s->backup.info.uuid;
	struct coffer_err why = {0};
	int r;

	if (s->dev->read_only)
		return 0;
	r = coffer_lock_reencryption(s->dev, uuid, &s->reencryption, &why);
	if (coffer_err_is_no_access(r) && !s->dev->is_block)
		return 0;
	return r < 0 ? coffer_err_pass(e, r, &why) : 0;
}

/* Is the header on the disk the backup's, except for sequence number and checksum? */
static bool is_same(const struct coffer_restore *s)
{
	const char *text = (const char *)s->backup.image + COFFER_LUKS2_BIN;
	const uint64_t n = s->backup.copy_size;
	_cleanup_free_ uint8_t *copy = NULL;

	if (!coffer_restore_by_copy(&s->now))
		return false;
	copy = malloc(n);
	if (!copy)
		return false; /* then it is written, which is never wrong */
	memcpy(copy, s->backup.image, n);
	return coffer_luks2_copy_seal(copy, s->now.header->seqid, text, NULL) == 0 &&
	       memcmp(copy, s->now.header->copy[0], n) == 0;
}

/* Choose the order of writes; a BAD finding if the keyslots area has no space for it. */
static int choose_order(struct coffer_restore *s, struct coffer_err *e)
{
	const uint64_t size = s->backup.info.image_size;
	struct coffer_areas now;
	int r;

	r = compare_keyslots(s, &now, e);
	if (r < 0 || !s->now.header || s->dev->size < size)
		return r;
	r = coffer_restore_scan_unused(s, false, &s->remnants, e);
	if (r < 0 || !coffer_restore_by_copy(&s->now))
		return r;
	r = coffer_keyslot_placement_find(
		&now, &s->backup.areas, s->differ, 2 * s->backup.copy_size, size, &s->order);
	if (r < 0)
		r = coffer_findings_add(&s->result->checks, COFFER_TEXT_RESTORE_FULL, NULL,
			COFFER_RUN("cryptsetup", "luksKillSlot", s->dev->name, "NUMBER"));
	return r < 0 ? coffer_err_errno(e, ENOMEM, "restore the header") : 0;
}

static int judge(struct coffer_restore *s, struct coffer_err *e)
{
	struct coffer_restore_facts *f = &s->now;
	struct stat st;
	int r;

	f->backup = &s->backup;
	f->device = s->dev->name;
	f->device_size = s->dev->size;
	f->torn = coffer_restore_torn(&s->facts);
	f->beside = s->facts.header.copy[0].usable;
	f->allow = s->o->allow;

	/* A mapping of the backup's volume proves whose header it was. Any other holder, such as a
	 * RAID, uses the device for something else. */
	f->active_same = f->active && s->dev->fd >= 0 && fstat(s->dev->fd, &st) == 0 &&
			 coffer_holders_only_map(&st, s->backup.info.uuid);
	r = choose_order(s, e);
	if (r < 0)
		return r;
	s->same = is_same(s);
	s->result->header_usable = s->now.header != NULL;
	s->result->same = s->same && !s->differ && !s->remnants && s->now.header->current[0] &&
			  s->now.header->current[1];
	if (coffer_restore_judge(f, &s->result->checks) < 0)
		return coffer_err_errno(e, ENOMEM, "restore the header");
	return coffer_restore_refuse(&s->result->checks, s->dev->name, s->o->allow, e);
}

/* --- write --- */

static bool same_copies(const struct coffer_copies *a, const struct coffer_copies *b)
{
	for (int i = 0; i < 2; i++)
		if (a->copy[i].magic != b->copy[i].magic ||
			a->copy[i].usable != b->copy[i].usable ||
			a->copy[i].seqid != b->copy[i].seqid ||
			strcmp(a->copy[i].uuid, b->copy[i].uuid) != 0)
			return false;
	return true;
}

static bool same_header(const struct coffer_header *a, const struct coffer_header *b, int newest)
{
	if (!a || !b)
		return a == b;
	return a->seqid == b->seqid && a->copy_size == b->copy_size &&
	       memcmp(a->copy[newest], b->copy[newest], a->copy_size) == 0;
}

/* Under the exclusive lock: is the disk still what was compared, and what the question was about?
 * The keyslots' bytes decide what is written where. */
static int check_unchanged(struct coffer_restore *s, struct coffer_err *e)
{
	_cleanup_header_ struct coffer_header *before = TAKE_PTR(s->now.header);
	const uint32_t differ = s->differ, damaged_slots = s->now.damaged_slots;
	const struct coffer_copies copies = s->facts.header;
	char content[sizeof(s->now.content)];
	struct coffer_areas now;
	int r;

	/* As in every examination: make it durable, then read from the disk. */
	r = coffer_dev_flush(s->dev, e);
	if (r < 0)
		return r;
	coffer_dev_forget(s->dev, 0, min_u64(s->dev->size, COFFER_MAX_HEADER_IMAGE));
	r = read_header(s, e);
	if (r == 0)
		r = read_content(s, content, sizeof(content), e);
	if (r == 0)
		r = compare_keyslots(s, &now, e);
	if (r < 0)
		return r;
	if (s->differ == differ && s->now.damaged_slots == damaged_slots && !content[0] &&
		same_copies(&copies, &s->facts.header) &&
		same_header(before, s->now.header, copies.newest))
		return 0;
	return coffer_err_id(e,
		coffer_err_refuse(e, EAGAIN,
			"%s: another program changed the header; nothing was written",
			s->dev->name),
		COFFER_FINDING_CHANGED);
}

/* The end of a header of another size that is on the disk; never beyond the start of the data. */
static uint64_t old_end(const struct coffer_restore *s)
{
	uint64_t limit = s->dev->size, data;

	if (!s->now.header || coffer_restore_by_copy(&s->now))
		return 0;
	/* 0: the header has no data on this device */
	data = coffer_data_offset(s->now.header->json);
	if (data > 0)
		limit = min_u64(limit, data);
	data = s->backup.info.data_offset;
	if (data > 0)
		limit = min_u64(limit, data);
	return min_u64(
		limit, coffer_metadata_header_size(s->now.header->json, s->now.header->copy_size));
}

static int write_back(struct coffer_restore *s, struct coffer_err *e)
{
	const uint64_t highest = s->now.header && s->now.header->seqid > s->backup.info.seqid
					 ? s->now.header->seqid
					 : s->backup.info.seqid;
	_cleanup_lock_ struct coffer_lock *lock = NULL;
	int r;

	if (highest > UINT64_MAX - 3)
		return coffer_err_id(e,
			coffer_err_refuse(e, EOVERFLOW, "%s: no higher sequence number is left",
				s->dev->name),
			COFFER_FINDING_SEQUENCE_NUMBER);
	r = coffer_lock_header(s->dev, &lock, e);
	if (r == 0)
		r = check_unchanged(s, e);
	if (r < 0)
		return r;
	s->seqid = highest + 1;
	s->old_end = old_end(s);
	coffer_dev_set_direct(s->dev, s->dev->size % COFFER_BLOCK == 0);
	r = coffer_restore_write(s, e);
	coffer_dev_set_direct(s->dev, false);
	return r;
}

static int run(struct coffer_restore *s, uint64_t n, struct coffer_err *e)
{
	const struct coffer_header_restore_options *o = s->o;
	int r;

	r = read_backup(s, n, e);
	if (r == 0)
		r = read_disk(s, e);
	if (r == 0)
		r = lock_volume(s, e);
	/* The last holder of that lock may have changed the disk until now. */
	if (r == 0 && s->reencryption)
		r = read_disk(s, e);
	if (r == 0)
		r = judge(s, e);
	if (r < 0 || o->dry_run || s->result->same)
		return r;
	if (o->confirm && !o->confirm(o->userdata, s->result))
		return coffer_err_no(e, ECANCELED, "%s: not changed", s->dev->name);
	if (o->stop && o->stop(o->userdata)) {
		(void)coffer_err_set(e, EINTR, "interrupted; %s was not changed", s->dev->name);
		coffer_err_outcome(e, COFFER_INTERRUPTED);
		return -EINTR;
	}
	return write_back(s, e);
}

int coffer_header_restore_dev(struct coffer_dev *dev, uint8_t *file, uint64_t n, bool active,
	const struct coffer_header_restore_options *o, struct coffer_header_restore_result **ret,
	struct coffer_err *e)
{
	struct coffer_restore s = {.o = o, .dev = dev, .file = file, .now.active = active};
	struct coffer_err own = {0};
	int r;

	s.result = calloc(1, sizeof(*s.result));
	r = s.result ? run(&s, n, &own) : coffer_err_errno(&own, ENOMEM, "restore the header");
	if (r < 0 && s.result && s.result->changed &&
		(own.outcome == COFFER_FAILED || own.outcome == COFFER_REFUSED))
		own.outcome = COFFER_INTERRUPTED;
	coffer_header_free(s.now.header);
	coffer_backup_reset(&s.backup);
	free(s.file);
	coffer_lock_free(s.reencryption);
	coffer_dev_close(s.dev);
	if (s.result && s.result->checks.n > 0)
		*ret = TAKE_PTR(s.result);
	coffer_header_restore_free(s.result);
	return r < 0 ? coffer_err_pass(e, r, &own) : r;
}

/* Open the device exclusively if possible, else beside its holders: then the findings decide. */
static int open_device(const struct coffer_header_restore_options *o, struct coffer_dev **ret,
	bool *ret_active, struct coffer_err *e)
{
	struct coffer_err why = {0};
	int r;

	if (!o->dry_run) {
		r = coffer_dev_open(o->device, ret, &why);
		*ret_active = r == -EBUSY && coffer_dev_open_shared(o->device, ret, NULL) == 0;
	} else {
		r = coffer_dev_open_reading(o->device, ret, &why);
		if (r == 0)
			r = coffer_dev_check_exclusive(*ret, &why);
		*ret_active = r == -EBUSY && *ret && (*ret)->is_block;
	}
	return r < 0 && !*ret_active ? coffer_err_pass(e, r, &why) : 0;
}

static int restore(const struct coffer_header_restore_options *o,
	struct coffer_header_restore_result **ret, struct coffer_err *e)
{
	_cleanup_dev_ struct coffer_dev *dev = NULL;
	_cleanup_free_ uint8_t *file = NULL;
	bool active = false;
	uint64_t n = 0;
	int r;

	if (!o->file)
		return coffer_err_usage(e, "no backup file given");
	r = coffer_file_read(o->file, COFFER_MAX_HEADER_IMAGE + COFFER_TRAILER_SIZE, &file, &n, e);
	if (r == 0)
		r = open_device(o, &dev, &active, e);
	if (r < 0)
		return r;
	return coffer_header_restore_dev(TAKE_PTR(dev), TAKE_PTR(file), n, active, o, ret, e);
}

int coffer_header_restore(const struct coffer_header_restore_options *o,
	struct coffer_header_restore_result **ret, struct coffer_err *e)
{
	return coffer_err_default(e, restore(o, ret, e));
}

void coffer_header_restore_free(struct coffer_header_restore_result *r)
{
	if (!r)
		return;
	coffer_findings_free(&r->checks);
	free(r);
}
