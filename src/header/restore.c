/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* restore.c - a header from a file: verify it, compare it with the disk, ask, put it back */
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

_Static_assert(COFFER_ALLOW_UUID == (int)COFFER_RESTORE_UUID &&
		       COFFER_ALLOW_GEOMETRY == (int)COFFER_RESTORE_GEOMETRY &&
		       COFFER_ALLOW_KEYSLOTS == (int)COFFER_RESTORE_KEYSLOTS &&
		       COFFER_ALLOW_VOLUME_KEY == (int)COFFER_RESTORE_VOLUME_KEY,
	"model and caller speak of the same bits");

/* --- the file --- */

static int read_backup(struct coffer_restore *s, uint64_t n, struct coffer_err *e)
{
	const struct coffer_stop stop = {.wanted = s->o->stop, .userdata = s->o->userdata};
	const struct coffer_trailer *t = &s->backup.trailer;
	struct coffer_err why = {0};
	int r;

	r = coffer_backup_read(s->file, n, &s->backup, &why);
	if (r == 0)
		r = coffer_image_accepted(s->file, t->image_size, &stop, &why);
	if (r < 0 && e)
		*e = why;
	/* A file that is no good is refused; what broke beside it is not its fault. */
	if (r < 0 && r != -EINTR && r != -EIO && r != -ENOMEM && r != -ECOMM)
		coffer_err_outcome(e, COFFER_REFUSED);
	if (r < 0)
		return coffer_err_wrap(e, r, "%s", s->o->file);
	/* What stock left there of keys that were removed does not go back. */
	coffer_image_clean(s->file, t->image_size, t->copy_size, &s->backup.areas);
	coffer_backup_info_fill(&s->backup, &s->result->info);
	return 0;
}

/* --- what it would mean --- */

static int lock_volume(struct coffer_restore *s, struct coffer_err *e)
{
	const struct coffer_copy_facts *torn = coffer_restore_torn(&s->facts);
	const char *uuid = s->header			      ? s->header->uuid
			   : torn && !strchr(torn->uuid, '/') ? torn->uuid
							      : s->backup.trailer.uuid;
	struct coffer_err why = {0};
	int r;

	if (s->dev->read_only)
		return 0;
	r = coffer_lock_reencryption(s->dev, uuid, &s->reencryption, &why);
	if ((r == -EACCES || r == -EPERM || r == -EROFS) && !s->dev->is_block)
		return 0;
	if (r < 0 && e)
		*e = why;
	return r;
}

/* The header on the disk is what the backup has, but for what differs between any two copies of
 * one: sequence number and checksum. */
static bool is_same(const struct coffer_restore *s)
{
	_cleanup_free_ uint8_t *copy = NULL;
	const uint64_t n = s->backup.trailer.copy_size;
	const char *text = (const char *)s->backup.image + COFFER_LUKS2_BIN;

	if (!s->by_copy)
		return false;
	copy = malloc(n);
	if (!copy)
		return false; /* it is written then, which is never wrong */
	memcpy(copy, s->backup.image, n);
	return coffer_luks2_copy_seal(copy, s->header->seqid, text, NULL) == 0 &&
	       memcmp(copy, s->header->copy[0], n) == 0;
}

static int read_areas(struct coffer_restore *s, struct coffer_areas *ret, struct coffer_err *e)
{
	*ret = (struct coffer_areas){0};
	if (s->header && coffer_areas_read(s->header->json, 0, COFFER_MAX_HEADER_IMAGE, ret) < 0)
		return coffer_err_needs_repair(e, EUCLEAN,
			"the keyslots of the header on %s lie at impossible places", s->dev->name);
	return 0;
}

/* The order of writes; without room for it a BAD check. */
static int plan(struct coffer_restore *s, struct coffer_err *e)
{
	const struct coffer_trailer *t = &s->backup.trailer;
	struct coffer_areas now;
	int r;

	r = read_areas(s, &now, e);
	if (r < 0 || !s->header || s->dev->size < t->image_size)
		return r;
	r = coffer_restore_compare(s, &now, e);
	if (r == 0)
		r = coffer_restore_has_remnants(s->dev, &s->backup, &s->remnants, e);
	if (r < 0 || !s->by_copy)
		return r;
	if (coffer_keyslot_placement_find(&now, &s->backup.areas, s->differ, 2 * t->copy_size,
		    t->image_size, &s->order) == 0)
		return 0;
	if (coffer_findings_print(&s->result->checks, COFFER_FINDING_SPACE, COFFER_VERDICT_BAD,
		    "the keyslots area is too full to put the backup's keyslots beside those of "
		    "today, and to overwrite them would leave a moment in which no key opens the "
		    "volume") < 0)
		return coffer_err_errno(e, ENOMEM, "restore the header");
	coffer_findings_advise(&s->result->checks,
		"remove a keyslot that is not needed (cryptsetup luksKillSlot %s NUMBER)",
		s->dev->name);
	return 0;
}

/* A mapping of the backup's volume has the header's data open, and is proof enough of whose header
 * it was. A RAID, or whoever else holds the device, has something else in mind with it. */
static void check_holders(struct coffer_restore *s)
{
	struct stat st;

	s->active_same = s->dev->fd >= 0 && fstat(s->dev->fd, &st) == 0 &&
			 coffer_holders_only_map(&st, s->backup.trailer.uuid);
}

static int judge(struct coffer_restore *s, struct coffer_err *e)
{
	struct coffer_restore_facts f = {
		.backup = &s->backup,
		.device = s->dev->name,
		.device_size = s->dev->size,
		.json = s->header ? s->header->json : NULL,
		.uuid = s->header ? s->header->uuid : "",
		.block = s->header ? s->header->copy[0] : NULL,
		.copy_size = s->header ? s->header->copy_size : 0,
		.torn = coffer_restore_torn(&s->facts),
		.content = s->content,
		.beside = s->facts.header.copy[0].whole,
		.active = s->active,
		.allow = s->o->allow,
	};
	int r;

	if (s->active)
		check_holders(s);
	f.active_same = s->active_same;
	s->by_copy = coffer_restore_by_copy(&f);
	r = plan(s, e);
	if (r < 0)
		return r;
	f.damaged_slots = s->damaged_slots;
	s->same = is_same(s);
	s->result->header_whole = s->header != NULL;
	s->result->same = s->same && !s->differ && !s->remnants && s->header->current[0] &&
			  s->header->current[1];
	if (coffer_restore_judge(&f, &s->result->checks) < 0)
		return coffer_err_errno(e, ENOMEM, "restore the header");
	s->reason = coffer_restore_sum_up(&s->result->checks, s->o->allow);
	return 0;
}

/* --- doing it --- */

static bool same_copies(const struct coffer_facts *a, const struct coffer_facts *b)
{
	for (int i = 0; i < 2; i++)
		if (a->header.copy[i].magic != b->header.copy[i].magic ||
			a->header.copy[i].whole != b->header.copy[i].whole ||
			a->header.copy[i].seqid != b->header.copy[i].seqid ||
			strcmp(a->header.copy[i].uuid, b->header.copy[i].uuid) != 0)
			return false;
	return true;
}

/* The keyslots once more. Their bytes decide what is written where, and what is asked about. */
static int same_keyslots(struct coffer_restore *s, bool *ret, struct coffer_err *e)
{
	const uint32_t differ = s->differ, damaged_slots = s->damaged_slots;
	struct coffer_areas now;
	int r = 0;

	if (s->header) {
		r = read_areas(s, &now, e);
		if (r == 0)
			r = coffer_restore_compare(s, &now, e);
	}
	*ret = s->differ == differ && s->damaged_slots == damaged_slots;
	return r;
}

/* Under the exclusive lock: is it still what was compared, and what was asked about? */
static int check_unchanged(struct coffer_restore *s, struct coffer_err *e)
{
	_cleanup_header_ struct coffer_header *before = TAKE_PTR(s->header);
	const struct coffer_facts facts = s->facts;
	char content[sizeof(s->content)];
	bool same = true;
	int r;

	/* As for every examination: durable first, then read from the disk. */
	r = coffer_dev_flush(s->dev, e);
	coffer_dev_forget(s->dev, 0, min_u64(s->dev->size, COFFER_MAX_HEADER_IMAGE));
	if (r == 0)
		r = coffer_restore_header(s, e);
	if (r == 0)
		r = coffer_restore_content(s, content, sizeof(content), e);
	if (r == 0)
		r = same_keyslots(s, &same, e);
	if (r < 0)
		return r;
	if (!same || !before != !s->header || content[0] || !same_copies(&facts, &s->facts) ||
		(before && (before->seqid != s->header->seqid ||
				   before->copy_size != s->header->copy_size ||
				   memcmp(before->copy[s->facts.header.newest],
					   s->header->copy[s->facts.header.newest],
					   before->copy_size) != 0)))
		return coffer_err_id(e,
			coffer_err_refuse(e, EAGAIN,
				"%s was changed by another program in between; nothing was written",
				s->dev->name),
			COFFER_FINDING_CHANGED);
	return 0;
}

/* Where the header ends that is on the disk and has another size; never among data. */
static uint64_t old_end(const struct coffer_restore *s)
{
	uint64_t limit = s->dev->size, end, data;

	if (!s->header || s->by_copy ||
		coffer_image_size(s->header->json, s->header->copy_size, &end) < 0)
		return 0;
	/* 0: it is a header in a file of its own. */
	data = coffer_data_offset(s->header->json);
	if (data > 0)
		limit = min_u64(limit, data);
	data = s->backup.trailer.data_offset;
	if (data > 0)
		limit = min_u64(limit, data);
	return min_u64(limit, end);
}

static int write_back(struct coffer_restore *s, struct coffer_err *e)
{
	const uint64_t highest = s->header && s->header->seqid > s->backup.trailer.seqid
					 ? s->header->seqid
					 : s->backup.trailer.seqid;
	struct coffer_restore_job j = {
		.dev = s->dev,
		.backup = &s->backup,
		.header = s->by_copy ? s->header : NULL,
		.same = s->same,
		.order = s->order,
		.seqid = highest + 1,
		.changed = &s->changed,
	};
	int r;

	if (highest > UINT64_MAX - 3)
		return coffer_err_id(e,
			coffer_err_refuse(e, EOVERFLOW,
				"no number is left for a newer header on %s", s->dev->name),
			COFFER_FINDING_SEQUENCE_NUMBER);
	r = coffer_restore_lock(s, true, e);
	if (r == 0)
		r = check_unchanged(s, e);
	if (r == 0) {
		j.header = s->by_copy ? s->header : NULL;
		j.old_end = old_end(s);
		coffer_dev_set_direct(s->dev, s->dev->size % COFFER_BLOCK == 0);
		r = coffer_restore_write(&j, e);
		coffer_dev_set_direct(s->dev, false);
	}
	coffer_restore_unlock(s);
	s->result->changed = s->changed;
	s->result->seqid = j.ret_seqid;
	return r;
}

/* One reason against it, as an error, with the way out of all of them. */
static int refuse(const struct coffer_restore *s, struct coffer_err *e)
{
	const struct coffer_restore_reason *reason = &s->reason;
	const struct coffer_finding *c = &s->result->checks.items[reason->first];

	if (reason->n == 0)
		return 0;
	if (!reason->words[0])
		(void)coffer_err_refuse(e, EPERM, "%s%s%s; nothing was changed", c->text,
			c->advice[0] ? "; " : "", c->advice);
	else if (reason->n == 1)
		(void)coffer_err_refuse(e, EPERM,
			"%s; if that is what you want: --allow %s; nothing was changed", c->text,
			reason->words);
	else
		(void)coffer_err_refuse(e, EPERM,
			"%s, and %zu more; if all of that is what you want: --allow %s; nothing "
			"was changed",
			c->text, reason->n - 1, reason->words);
	return coffer_err_id(e, -EPERM, c->id);
}

static int check_stop(const struct coffer_restore *s, struct coffer_err *e)
{
	if (!s->o->stop || !s->o->stop(s->o->userdata))
		return 0;
	(void)coffer_err_set(e, EINTR, "stopped as asked; %s was not changed", s->dev->name);
	coffer_err_outcome(e, COFFER_INTERRUPTED);
	return -EINTR;
}

static int run(struct coffer_restore *s, uint64_t n, struct coffer_err *e)
{
	int r;

	r = read_backup(s, n, e);
	if (r == 0)
		r = coffer_restore_read(s, e);
	if (r == 0)
		r = lock_volume(s, e);
	/* Whoever held that lock may have been at work until now. */
	if (r == 0 && s->reencryption)
		r = coffer_restore_read(s, e);
	if (r == 0)
		r = judge(s, e);
	if (r == 0)
		r = refuse(s, e);
	if (r < 0 || s->o->dry_run || s->result->same)
		return r;
	if (s->o->confirm && !s->o->confirm(s->o->userdata, s->result)) {
		(void)coffer_err_set(e, ECANCELED, "%s: nothing was changed", s->dev->name);
		coffer_err_outcome(e, COFFER_NO);
		return -ECANCELED;
	}
	r = check_stop(s, e);
	return r < 0 ? r : write_back(s, e);
}

static void restore_close(struct coffer_restore *s)
{
	coffer_header_free(s->header);
	coffer_backup_reset(&s->backup);
	free(s->file);
	coffer_lock_free(s->metadata);
	coffer_lock_free(s->reencryption);
	coffer_dev_close(s->dev);
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
	restore_close(&s);
	if (s.result && s.result->checks.n > 0)
		*ret = TAKE_PTR(s.result);
	coffer_header_restore_free(s.result);
	if (r < 0 && e)
		*e = own;
	return r;
}

/* Alone if that can be; else beside whoever uses it, and the checks say whether that will do. */
static int open_device(const struct coffer_header_restore_options *o, struct coffer_dev **ret,
	bool *ret_active, struct coffer_err *e)
{
	struct coffer_err why = {0};
	int r;

	*ret_active = false;
	if (o->dry_run) {
		r = coffer_dev_open_reading(o->device, ret, e);
		if (r < 0)
			return r;
		r = coffer_dev_check_exclusive(*ret, &why);
		*ret_active = r == -EBUSY;
		if (r == -EBUSY && (*ret)->is_block)
			return 0;
	} else {
		r = coffer_dev_open(o->device, ret, &why);
		if (r == -EBUSY && coffer_dev_open_shared(o->device, ret, NULL) == 0) {
			*ret_active = true;
			return 0;
		}
	}
	if (r < 0 && e)
		*e = why;
	return r;
}

int coffer_header_restore(const struct coffer_header_restore_options *o,
	struct coffer_header_restore_result **ret, struct coffer_err *e)
{
	_cleanup_dev_ struct coffer_dev *dev = NULL;
	uint8_t *file = NULL;
	bool active = false;
	uint64_t n = 0;
	int r = 0;

	if (!o->file)
		r = coffer_err_usage(e, "no file with a backup was named");
	if (r == 0)
		r = coffer_file_read(
			o->file, COFFER_MAX_HEADER_IMAGE + COFFER_TRAILER_SIZE, &file, &n, e);
	if (r == 0)
		r = open_device(o, &dev, &active, e);
	if (r == 0)
		r = coffer_header_restore_dev(TAKE_PTR(dev), TAKE_PTR(file), n, active, o, ret, e);
	free(file);
	return coffer_err_wrap(e, r, "header restore");
}

void coffer_header_restore_free(struct coffer_header_restore_result *r)
{
	if (!r)
		return;
	coffer_findings_free(&r->checks);
	free(r);
}
