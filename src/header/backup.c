/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* backup.c - the header of a disk into a file, as one consistent whole */
#include "header/backup.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/findings.h"
#include "base/quote.h"
#include "block/devices.h"
#include "block/holders.h"
#include "convert/disk.h"
#include "luks2/header.h"
#include "luks2/helper.h"
#include "luks2/locks.h"

enum {
	TRIES = 5
};

static void copy_text(char *to, size_t size, const char *from)
{
	memset(to, 0, size);
	(void)snprintf(to, size, "%s", from);
}

void coffer_backup_info_fill(const struct coffer_backup *b, struct coffer_backup_info *ret)
{
	const struct coffer_trailer *t = &b->trailer;

	*ret = (struct coffer_backup_info){
		.sealed = b->sealed,
		.conversion = t->kind == COFFER_LUKS2_ENCRYPTED	   ? COFFER_BACKUP_NONE
			      : t->kind == COFFER_LUKS2_CONVERTING ? COFFER_BACKUP_CONVERTING
								   : COFFER_BACKUP_OTHER,
		.pointer = t->pointer,
		.image_size = t->image_size,
		.seqid = t->seqid,
		.device_size = t->device_size,
		.data_offset = t->data_offset,
		.date = t->date,
	};
	copy_text(ret->uuid, sizeof(ret->uuid), t->uuid);
	copy_text(ret->version, sizeof(ret->version), t->version);
	copy_text(ret->device, sizeof(ret->device), t->device);
	copy_text(ret->partuuid, sizeof(ret->partuuid), t->partuuid);
	copy_text(ret->id, sizeof(ret->id), t->id);
}

int coffer_image_accepted(
	const uint8_t *image, uint64_t size, const struct coffer_stop *stop, struct coffer_err *e)
{
	_cleanup_close_ int fd = -1;
	int r;

	r = coffer_memfd("coffer-backup", size, &fd, e);
	for (uint64_t at = 0; r == 0 && at < size;) {
		const ssize_t k = pwrite(fd, image + at, size - at, (off_t)at);

		if (k <= 0)
			r = coffer_err_set(e, EIO, "copy the header to memory");
		else
			at += (uint64_t)k;
	}
	return r < 0 ? r : coffer_luks2_accepts(fd, stop, e);
}

/* --- reading --- */

struct backup {
	const struct coffer_header_backup_options *o;
	struct coffer_dev *dev;
	struct coffer_header *header;
	struct coffer_trailer trailer;
	uint8_t *file; /* image and trailer */
	bool unlocked; /* no access to the metadata lock */
};

/* Why there is no header to back up. */
static int no_header(const struct coffer_disk *disk, struct coffer_err *e)
{
	const struct coffer_facts *f = &disk->facts;
	const char *name = disk->dev->name;

	if (disk->operation == COFFER_OP_REDO_PLACEMENT ||
		disk->operation == COFFER_OP_FINISH_UNDO) {
		(void)coffer_err_set(e, ENODATA,
			"a LUKS2 header is half placed on %s, or half taken away: there is none to "
			"save; see %s",
			name, coffer_command("coffer status", name).s);
		coffer_err_outcome(e, COFFER_NO);
		return -ENODATA;
	}
	if (f->transition_error == 0 || f->header.copy[0].magic ||
		(f->header.copy[1].magic && f->block_0_is_ours))
		return coffer_err_id(e,
			coffer_err_needs_repair(e, EUCLEAN, "no header copy on %s is whole; see %s",
				name, coffer_command("coffer repair --dry-run", name).s),
			COFFER_FINDING_HEADER_COPIES);
	(void)coffer_err_set(e, ENODATA, "there is no LUKS2 header on %s", name);
	coffer_err_outcome(e, COFFER_NO);
	return coffer_err_id(e, -ENODATA, COFFER_FINDING_HEADER_PRIMARY);
}

/* Is there a header that counts? The judgement of a second copy alone is that of all verbs. */
static int look(struct backup *b, struct coffer_err *e)
{
	struct coffer_disk disk = {0};
	int r;

	r = coffer_disk_examine(b->dev, &disk, e);
	if (r < 0)
		return r;
	b->unlocked = disk.unlocked;
	if (!disk.header)
		r = no_header(&disk, e);
	else if (disk.facts.header.two_volumes)
		r = coffer_err_needs_repair(e, EUCLEAN,
			"%s: %s; nothing tells which of the two to save", b->dev->name, disk.why);
	else if (disk.facts.kind_error < 0)
		r = coffer_err_needs_repair(e, EUCLEAN, "the metadata on %s make no sense: %s",
			b->dev->name, disk.facts.kind_reason.msg);
	coffer_disk_reset(&disk);
	return r;
}

/* One look: the header, NULL where none is whole, and its keyslots in a memfd. */
static int read_part(
	struct backup *b, struct coffer_header **ret, int *ret_fd, struct coffer_err *e)
{
	struct coffer_copies f;
	int r;

	r = coffer_header_read(b->dev, &f, ret, e);
	if (r < 0 || !*ret)
		return r;
	return coffer_header_memfd(
		b->dev, *ret, min_u64(b->dev->size, COFFER_MAX_HEADER_IMAGE), ret_fd, e);
}

/* The copy that counts: the other one may be torn, and built anew at each look. */
static const uint8_t *newest_of(const struct coffer_header *h)
{
	return h->copy[h->current[0] ? 0 : 1];
}

static bool same_header(const struct coffer_header *a, const struct coffer_header *b)
{
	return a->copy_size == b->copy_size && a->current[0] == b->current[0] &&
	       memcmp(newest_of(a), newest_of(b), a->copy_size) == 0;
}

/* Have both memfds the same bytes from @at to their end? */
static int same_keyslots(int a, int b, uint64_t at, bool *ret, struct coffer_err *e)
{
	enum {
		PIECE = 1 << 20
	};
	_cleanup_free_ uint8_t *x = coffer_dev_buffer(PIECE), *y = coffer_dev_buffer(PIECE);
	ssize_t n, k;

	if (!x || !y)
		return coffer_err_errno(e, ENOMEM, "compare keyslots");
	do {
		n = pread(a, x, PIECE, (off_t)at);
		k = pread(b, y, PIECE, (off_t)at);
		if (n < 0 || k < 0)
			return coffer_err_set(e, EIO, "read the header from memory");
		*ret = n == k && memcmp(x, y, (size_t)n) == 0;
		at += PIECE;
	} while (*ret && n == PIECE);
	return 0;
}

/* Header and keyslots area to memory, both of one moment: without a lock what was read twice is.
 * luksChangeKey writes keyslots before the header, and others write nothing but keyslots. */
static int read_once(struct backup *b, int *ret_fd, bool *ret_same, struct coffer_err *e)
{
	_cleanup_lock_ struct coffer_lock *lock = NULL;
	_cleanup_header_ struct coffer_header *after = NULL;
	_cleanup_close_ int again = -1;
	int r = 0;

	*ret_same = false;

	coffer_header_free(TAKE_PTR(b->header));
	if (!b->unlocked)
		r = coffer_lock_metadata(b->dev, false, &lock, e);
	if (r == 0)
		r = read_part(b, &b->header, ret_fd, e);
	if (r == 0 && !b->header)
		r = coffer_err_set(e, EAGAIN, "the header of %s has just gone", b->dev->name);
	if (r == 0)
		r = read_part(b, &after, &again, e);
	if (r < 0 || !after || !same_header(b->header, after))
		return r;
	return same_keyslots(*ret_fd, again, 2 * b->header->copy_size, ret_same, e);
}

static int read_consistent(struct backup *b, int *ret_fd, struct coffer_err *e)
{
	bool same = false;

	for (int i = 0; i < TRIES; i++) {
		_cleanup_close_ int fd = -1;
		const int r = read_once(b, &fd, &same, e);

		if (r < 0)
			return r;
		if (same) {
			*ret_fd = TAKE_FD(fd);
			return 0;
		}
	}
	return coffer_err_set(e, EAGAIN,
		"the header of %s changes again and again while it is read", b->dev->name);
}

/* The image as it will be in the file, and the room for the trailer behind it. */
static int read_image(struct backup *b, int fd, struct coffer_err *e)
{
	struct coffer_areas areas;
	const uint64_t copy = b->header->copy_size;
	uint64_t size;

	if (coffer_image_size(b->header->json, copy, &size) < 0 ||
		coffer_areas_read(b->header->json, 2 * copy, size, &areas) < 0)
		return coffer_err_needs_repair(
			e, EUCLEAN, "the keyslots of %s lie at impossible places", b->dev->name);
	b->trailer.image_size = size;
	b->file = coffer_dev_buffer(size + COFFER_TRAILER_SIZE);
	if (!b->file)
		return coffer_err_errno(e, ENOMEM, "copy the header of %s", b->dev->name);
	for (uint64_t at = 0; at < size;) {
		const ssize_t k = pread(fd, b->file + at, size - at, (off_t)at);

		if (k <= 0)
			return coffer_err_set(e, EIO, "read the header from memory");
		at += (uint64_t)k;
	}
	coffer_image_clean(b->file, size, copy, &areas);
	return 0;
}

static int read_header(struct backup *b, struct coffer_err *e)
{
	const struct coffer_stop stop = {.wanted = b->o->stop, .userdata = b->o->userdata};
	_cleanup_close_ int fd = -1;
	struct coffer_err why = {0};
	int r;

	r = look(b, e);
	if (r == 0)
		r = read_consistent(b, &fd, e);
	if (r == 0)
		r = read_image(b, fd, e);
	if (r < 0)
		return r;
	r = coffer_image_accepted(b->file, b->trailer.image_size, &stop, &why);
	if (r == -EINTR || r == -EIO || r == -ENOMEM || r == -ECOMM) {
		if (e)
			*e = why;
		return r;
	}
	return r < 0 ? coffer_err_needs_repair(
			       e, EUCLEAN, "the header of %s is no good: %s", b->dev->name, why.msg)
		     : 0;
}

/* --- the trailer --- */

static void tell_names(const struct coffer_dev *d, struct coffer_trailer *t)
{
	const dev_t dev = makedev(d->major, d->minor);

	copy_text(t->version, sizeof(t->version), COFFER_VERSION);
	copy_text(t->device, sizeof(t->device), d->name);
	if (!d->is_block)
		return;
	coffer_device_find_link("/dev/disk/by-partuuid", dev, t->partuuid, sizeof(t->partuuid));
	coffer_device_find_link("/dev/disk/by-id", dev, t->id, sizeof(t->id));
}

static int make_trailer(struct backup *b, struct coffer_err *e)
{
	struct coffer_trailer *t = &b->trailer;
	struct coffer_conversion c;
	struct timespec now;

	if (coffer_conversion_read(b->header->json, &t->kind, &c, NULL) < 0)
		return coffer_err_needs_repair(
			e, EUCLEAN, "the metadata of %s make no sense", b->dev->name);
	t->pointer = t->kind == COFFER_LUKS2_CONVERTING ? c.pointer : 0;
	t->seqid = b->header->seqid;
	t->copy_size = b->header->copy_size;
	t->device_size = b->dev->size;
	t->data_offset = coffer_data_offset(b->header->json);
	memcpy(t->uuid, b->header->uuid, sizeof(t->uuid));
	if (clock_gettime(CLOCK_REALTIME, &now) == 0 && now.tv_sec > 0)
		t->date = (uint64_t)now.tv_sec;
	tell_names(b->dev, t);
	if (coffer_sha256(b->file, t->image_size, t->image_hash) < 0 ||
		coffer_trailer_encode(t, b->file + t->image_size) < 0)
		return coffer_err_set(e, EIO, "libcrypto failed to hash");
	return 0;
}

static int add_notes(const struct backup *b, struct coffer_findings *l)
{
	const enum coffer_luks2_kind kind = b->trailer.kind;
	int r = 0;

	if (kind != COFFER_LUKS2_ENCRYPTED)
		r = coffer_findings_print(l, COFFER_FINDING_CONVERSION, COFFER_VERDICT_NOTE,
			"a conversion is under way: with its next step this backup is worthless, "
			"and to restore it would destroy the data; make another one at the end");
	if (r == 0 && !(b->header->current[0] && b->header->current[1]))
		r = coffer_findings_print(l, COFFER_FINDING_METADATA, COFFER_VERDICT_NOTE,
			"one header copy on the disk is torn or behind; in the backup both are "
			"whole");
	if (r == 0 && b->unlocked)
		r = coffer_findings_print(l, COFFER_FINDING_LOCKS, COFFER_VERDICT_NOTE,
			"read without the metadata lock, to which this user has no access");
	return r;
}

/* What was made is read as a restore would read it: a backup that cannot be restored is none. */
static int check_file(const struct backup *b, struct coffer_backup_info *info, struct coffer_err *e)
{
	struct coffer_backup read;
	int r;

	r = coffer_backup_read(b->file, b->trailer.image_size + COFFER_TRAILER_SIZE, &read, e);
	if (r < 0)
		return r;
	coffer_backup_info_fill(&read, info);
	coffer_backup_reset(&read);
	return 0;
}

int coffer_header_backup_dev(struct coffer_dev *dev, const struct coffer_new_file *file,
	const struct coffer_header_backup_options *o, struct coffer_header_backup_result **ret,
	struct coffer_err *e)
{
	struct coffer_header_backup_result *result = calloc(1, sizeof(*result));
	struct backup b = {.o = o, .dev = dev};
	int r = result ? 0 : coffer_err_errno(e, ENOMEM, "back up the header");

	if (r == 0)
		r = read_header(&b, e);
	if (r == 0)
		r = make_trailer(&b, e);
	if (r == 0)
		r = check_file(&b, &result->info, e);
	if (r == 0 && add_notes(&b, &result->notes) < 0)
		r = coffer_err_errno(e, ENOMEM, "back up the header");
	if (r == 0)
		r = coffer_new_file_write(
			file, b.file, b.trailer.image_size + COFFER_TRAILER_SIZE, e);
	coffer_header_free(b.header);
	free(b.file);
	coffer_dev_close(dev);
	if (r == 0)
		*ret = TAKE_PTR(result);
	coffer_header_backup_free(result);
	return r;
}

/* btrfs has a device number for each subvolume, so the mount is compared as well. */
static bool same_mount(int folder, const char *path)
{
	const unsigned int want = STATX_BASIC_STATS | STATX_MNT_ID;
	struct statx here, there;

	if (statx(folder, "", AT_EMPTY_PATH, want, &here) < 0 ||
		statx(AT_FDCWD, path, AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC, want, &there) < 0)
		return false;
	if (here.stx_dev_major == there.stx_dev_major && here.stx_dev_minor == there.stx_dev_minor)
		return true;
	return (here.stx_mask & there.stx_mask & STATX_MNT_ID) &&
	       here.stx_mnt_id == there.stx_mnt_id;
}

/* REFUSED with -EXDEV: the folder is on a filesystem that lies on @d, directly or through mappings
 * and loop devices. What is mounted only in other mount namespaces is not found. */
static int refuse_on_device(
	const struct coffer_new_file *f, const struct coffer_dev *d, struct coffer_err *e)
{
	_cleanup_holders_ struct coffer_holders all = {0};
	struct stat st;
	int r;

	if (d->fd < 0)
		return 0;
	if (fstat(d->fd, &st) < 0)
		return coffer_err_errno(e, errno, "look at %s", d->name);
	r = coffer_holders_find_devices(&st, &all, e);
	for (size_t i = 0; i < all.n && r == 0; i++)
		if (all.items[i].kind == COFFER_HOLDER_MOUNT && all.items[i].pid == 0 &&
			same_mount(f->folder, all.items[i].name))
			r = coffer_err_refuse(e, EXDEV,
				"%s would lie on %s itself, where it cannot be read when it is "
				"needed; take another disk, or /run to carry it away from there",
				f->path, d->name);
	return r;
}

int coffer_header_backup(const struct coffer_header_backup_options *o,
	struct coffer_header_backup_result **ret, struct coffer_err *e)
{
	_cleanup_new_file_ struct coffer_new_file file = {.folder = -1};
	struct coffer_dev *dev = NULL;
	int r = 0;

	if (!o->file)
		r = coffer_err_usage(e, "no file was named for the backup");
	if (r == 0)
		r = coffer_new_file_open(o->file, &file, e);
	if (r == 0)
		r = coffer_dev_open_reading(o->device, &dev, e);
	if (r == 0) {
		r = refuse_on_device(&file, dev, e);
		if (r < 0)
			coffer_dev_close(TAKE_PTR(dev));
	}
	if (r == 0)
		r = coffer_header_backup_dev(TAKE_PTR(dev), &file, o, ret, e);
	return coffer_err_wrap(e, r, "header backup");
}

void coffer_header_backup_free(struct coffer_header_backup_result *r)
{
	if (!r)
		return;
	coffer_findings_free(&r->notes);
	free(r);
}
