/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* restore.c - verify a header backup, compare it with the disk, ask, write it */
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
#include "header/restore_judge.h"
#include "header/restore_read.h"
#include "header/restore_write.h"
#include "luks2/copy.h"

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
	const char *uuid = s->header			      ? s->header->uuid
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

	if (!s->by_copy)
		return false;
	copy = malloc(n);
	if (!copy)
		return false; /* then it is written, which is never wrong */
	memcpy(copy, s->backup.image, n);
	return coffer_luks2_copy_seal(copy, s->header->seqid, text, NULL) == 0 &&
	       memcmp(copy, s->header->copy[0], n) == 0;
}

static int compare_keyslots(
	struct coffer_restore *s, struct coffer_areas *ret_now, struct coffer_err *e)
{
	*ret_now = (struct coffer_areas){0};
	if (!s->header)
		return 0;
	if (coffer_areas_read(s->header->json, 0, COFFER_MAX_HEADER_IMAGE, ret_now) < 0)
		return coffer_err_needs_repair(
			e, EUCLEAN, "%s: the keyslots are at impossible offsets", s->dev->name);
	return coffer_restore_compare(s, ret_now, e);
}

/* Choose the order of writes; a BAD finding if the keyslots area has no space for it. */
static int choose_order(struct coffer_restore *s, struct coffer_err *e)
{
	const uint64_t size = s->backup.info.image_size;
	struct coffer_areas now;
	int r;

	r = compare_keyslots(s, &now, e);
	if (r < 0 || !s->header || s->dev->size < size)
		return r;
	r = coffer_restore_has_remnants(s->dev, &s->backup, &s->remnants, e);
	if (r < 0 || !s->by_copy)
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
	struct coffer_restore_facts f = {
		.backup = &s->backup,
		.device = s->dev->name,
		.device_size = s->dev->size,
		.header = s->header,
		.torn = coffer_restore_torn(&s->facts),
		.content = s->content,
		.beside = s->facts.header.copy[0].whole,
		.active = s->active,
		.allow = s->o->allow,
	};
	struct stat st;
	int r;

	/* A mapping of the backup's volume proves whose header it was. Any other holder, such as a
	 * RAID, uses the device for something else. */
	s->active_same = s->active && s->dev->fd >= 0 && fstat(s->dev->fd, &st) == 0 &&
			 coffer_holders_only_map(&st, s->backup.info.uuid);
	f.active_same = s->active_same;
	s->by_copy = coffer_restore_by_copy(&f);
	r = choose_order(s, e);
	if (r < 0)
		return r;
	f.damaged_slots = s->damaged_slots;
	s->same = is_same(s);
	s->result->header_whole = s->header != NULL;
	s->result->same = s->same && !s->differ && !s->remnants && s->header->current[0] &&
			  s->header->current[1];
	if (coffer_restore_judge(&f, &s->result->checks) < 0)
		return coffer_err_errno(e, ENOMEM, "restore the header");
	return coffer_restore_refuse(&s->result->checks, s->dev->name, s->o->allow, e);
}

/* --- write --- */

static bool same_copies(const struct coffer_copies *a, const struct coffer_copies *b)
{
	for (int i = 0; i < 2; i++)
		if (a->copy[i].magic != b->copy[i].magic || a->copy[i].whole != b->copy[i].whole ||
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
	_cleanup_header_ struct coffer_header *before = TAKE_PTR(s->header);
	const uint32_t differ = s->differ, damaged_slots = s->damaged_slots;
	const struct coffer_copies copies = s->facts.header;
	char content[sizeof(s->content)];
	struct coffer_areas now;
	int r;

	/* As in every examination: make it durable, then read from the disk. */
	r = coffer_dev_flush(s->dev, e);
	if (r < 0)
		return r;
	coffer_dev_forget(s->dev, 0, min_u64(s->dev->size, COFFER_MAX_HEADER_IMAGE));
	r = coffer_restore_read_header(s, e);
	if (r == 0)
		r = coffer_restore_read_content(s, content, sizeof(content), e);
	if (r == 0)
		r = compare_keyslots(s, &now, e);
	if (r < 0)
		return r;
	if (s->differ == differ && s->damaged_slots == damaged_slots && !content[0] &&
		same_copies(&copies, &s->facts.header) &&
		same_header(before, s->header, copies.newest))
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

	if (!s->header || s->by_copy)
		return 0;
	/* 0: the header has no data on this device */
	data = coffer_data_offset(s->header->json);
	if (data > 0)
		limit = min_u64(limit, data);
	data = s->backup.info.data_offset;
	if (data > 0)
		limit = min_u64(limit, data);
	return min_u64(limit, coffer_image_size(s->header->json, s->header->copy_size));
}

static int write_back(struct coffer_restore *s, struct coffer_err *e)
{
	const uint64_t highest = s->header && s->header->seqid > s->backup.info.seqid
					 ? s->header->seqid
					 : s->backup.info.seqid;
	_cleanup_lock_ struct coffer_lock *lock = NULL;
	struct coffer_restore_job j = {
		.dev = s->dev,
		.backup = &s->backup,
		.same = s->same,
		.order = s->order,
		.seqid = highest + 1,
		.changed = &s->changed,
	};
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
	j.header = s->by_copy ? s->header : NULL;
	j.old_end = old_end(s);
	coffer_dev_set_direct(s->dev, s->dev->size % COFFER_BLOCK == 0);
	r = coffer_restore_write(&j, e);
	coffer_dev_set_direct(s->dev, false);
	s->result->changed = s->changed;
	s->result->seqid = j.ret_seqid;
	return r;
}

static int run(struct coffer_restore *s, uint64_t n, struct coffer_err *e)
{
	const struct coffer_header_restore_options *o = s->o;
	int r;

	r = read_backup(s, n, e);
	if (r == 0)
		r = coffer_restore_read(s, e);
	if (r == 0)
		r = lock_volume(s, e);
	/* The last holder of that lock may have changed the disk until now. */
	if (r == 0 && s->reencryption)
		r = coffer_restore_read(s, e);
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
	struct coffer_restore s = {.o = o, .dev = dev, .file = file, .active = active};
	struct coffer_err own = {0};
	int r;

	s.result = calloc(1, sizeof(*s.result));
	r = s.result ? run(&s, n, &own) : coffer_err_errno(&own, ENOMEM, "restore the header");
	if (r < 0 && s.changed && (own.outcome == COFFER_FAILED || own.outcome == COFFER_REFUSED))
		own.outcome = COFFER_INTERRUPTED;
	coffer_header_free(s.header);
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
