/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* backup.c - write the header of a disk to a file, as one consistent whole */
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
#include "luks2/metadata.h"

enum {
	TRIES = 5
};

int coffer_image_accepted(
	const uint8_t *image, uint64_t size, const struct coffer_stop *stop, struct coffer_err *e)
{
	_cleanup_close_ int fd = -1;
	struct coffer_err why = {0};
	int r;

	r = coffer_memfd("coffer-backup", size, &fd, e);
	if (r < 0)
		return r;
	if (pwrite(fd, image, size, 0) != (ssize_t)size)
		return coffer_err_set(e, EIO, "copy the header to memory");
	r = coffer_luks2_judge(fd, stop, &why);
	if (r > 0)
		return 0;
	if (r == 0)
		return coffer_err_set(
			e, EBADMSG, "libcryptsetup refuses the LUKS2 header: %s", why.msg);
	if (r != -EINTR)
		return coffer_err_pass(e, r, &why);
	(void)coffer_err_set(e, EINTR, "interrupted; nothing was written");
	coffer_err_outcome(e, COFFER_INTERRUPTED);
	return r;
}

/* --- reading --- */

struct backup {
	const struct coffer_header_backup_options *o;
	struct coffer_dev *dev;
	struct coffer_header *header;
	struct coffer_trailer trailer;
	struct coffer_areas areas;
	uint8_t *file; /* image and trailer */
	bool unlocked; /* no access to the metadata lock */
};

static int refuse_no_header(const struct coffer_disk *disk, struct coffer_err *e)
{
	const struct coffer_facts *f = &disk->facts;
	const char *name = disk->dev->name;

	if (disk->operation == COFFER_OP_REDO_PLACEMENT || disk->operation == COFFER_OP_FINISH_UNDO)
		return coffer_err_no(e, ENODATA,
			"%s: the LUKS2 header is only partly placed; for the next command, run %s",
			name, coffer_command("coffer status", name).s);
	if (f->transition_error == 0 || f->header.copy[0].magic ||
		(f->header.copy[1].magic && (f->block_0_is_ours || f->block_0_is_empty)))
		return coffer_err_id(e,
			coffer_err_needs_repair(e, EUCLEAN, "%s: %s; run %s", name,
				f->header.copy[1].usable ? "the first header copy is missing"
							 : "neither header copy is usable",
				coffer_command("coffer repair --dry-run", name).s),
			COFFER_FINDING_HEADER_COPIES);
	return coffer_err_id(e, coffer_err_no(e, ENODATA, "%s: no LUKS2 header found", name),
		COFFER_FINDING_HEADER_PRIMARY);
}

static int check_disk(struct backup *b, struct coffer_err *e)
{
	struct coffer_disk disk = {0};
	int r;

	r = coffer_disk_examine(b->dev, &disk, e);
	if (r < 0)
		return r;
	b->unlocked = disk.unlocked;
	if (!disk.header)
		r = refuse_no_header(&disk, e);
	else if (disk.facts.header.two_volumes)
		r = coffer_err_needs_repair(e, EUCLEAN,
			"%s: %s; it is unknown which one to back up", b->dev->name, disk.why);
	else if (disk.facts.kind_error < 0)
		r = coffer_err_needs_repair(e, EUCLEAN, "%s: contradictory metadata: %s",
			b->dev->name, disk.facts.kind_reason.msg);
	coffer_disk_reset(&disk);
	return r;
}

/* Read the header and its image, with space for the trailer. *ret is NULL if no copy is usable. */
static int read_once(
	struct backup *b, struct coffer_header **ret, uint8_t **ret_file, struct coffer_err *e)
{
	_cleanup_header_ struct coffer_header *h = NULL;
	_cleanup_free_ uint8_t *file = NULL;
	struct coffer_copies f;
	uint64_t size, copies;
	int r;

	r = coffer_header_read(b->dev, &f, &h, e);
	if (r < 0 || !h)
		return r;
	copies = 2 * h->copy_size;
	size = coffer_metadata_header_size(h->json, h->copy_size);
	if (size == 0 || size > b->dev->size ||
		coffer_areas_read(h->json, copies, size, &b->areas) < 0)
		return coffer_err_needs_repair(
			e, EUCLEAN, "%s: the keyslots are at impossible offsets", b->dev->name);
	file = coffer_dev_buffer(size + COFFER_TRAILER_SIZE);
	if (!file)
		return coffer_err_errno(e, ENOMEM, "copy the header of %s", b->dev->name);
	for (int i = 0; i < 2; i++)
		memcpy(file + i * h->copy_size, h->copy[i], h->copy_size);
	if (size > copies)
		r = coffer_dev_read(b->dev, file + copies, size - copies, copies, e);
	if (r < 0)
		return r;
	b->trailer.info.image_size = size;
	*ret = TAKE_PTR(h);
	*ret_file = TAKE_PTR(file);
	return 0;
}

/* Compare the newest copies: the other one may be torn, and is then rebuilt at each reading. */
static bool same_header(const struct coffer_header *a, const struct coffer_header *b)
{
	const int newest = a->current[0] ? 0 : 1;

	return a->copy_size == b->copy_size && a->current[0] == b->current[0] &&
	       memcmp(a->copy[newest], b->copy[newest], a->copy_size) == 0;
}

/* Read header and keyslots twice. The lock alone is not enough: luksChangeKey writes keyslots
 * before the header, and some tools write keyslots without a lock. */
static int read_twice(struct backup *b, bool *ret_same, struct coffer_err *e)
{
	_cleanup_lock_ struct coffer_lock *lock = NULL;
	_cleanup_header_ struct coffer_header *again = NULL;
	_cleanup_free_ uint8_t *file = NULL;
	uint64_t copies;
	int r = 0;

	*ret_same = false;
	coffer_header_free(TAKE_PTR(b->header));
	free(TAKE_PTR(b->file));
	if (!b->unlocked)
		r = coffer_lock_metadata(b->dev, false, &lock, e);
	if (r == 0)
		r = read_once(b, &b->header, &b->file, e);
	if (r < 0)
		return r;
	if (!b->header)
		return coffer_err_set(
			e, EAGAIN, "%s: the header disappeared while it was read", b->dev->name);
	r = read_once(b, &again, &file, e);
	if (r < 0 || !again || !same_header(b->header, again))
		return r;
	copies = 2 * again->copy_size;
	*ret_same =
		memcmp(b->file + copies, file + copies, b->trailer.info.image_size - copies) == 0;
	return 0;
}

static int read_header(struct backup *b, struct coffer_err *e)
{
	const struct coffer_stop stop = {.wanted = b->o->stop, .userdata = b->o->userdata};
	const uint64_t *size = &b->trailer.info.image_size;
	struct coffer_err why = {0};
	bool same = false;
	int r;

	r = check_disk(b, e);
	for (int i = 0; i < TRIES && r == 0 && !same; i++)
		r = read_twice(b, &same, e);
	if (r < 0)
		return r;
	if (!same)
		return coffer_err_set(e, EAGAIN, "%s: the header changed during each of %d reads",
			b->dev->name, TRIES);
	coffer_image_clean(b->file, *size, b->header->copy_size, &b->areas);
	r = coffer_image_accepted(b->file, *size, &stop, &why);
	if (r == -EBADMSG)
		return coffer_err_needs_repair(
			e, EUCLEAN, "%s: unusable header: %s", b->dev->name, why.msg);
	return r < 0 ? coffer_err_pass(e, r, &why) : 0;
}

/* --- the trailer --- */

static int make_trailer(struct backup *b, struct coffer_err *e)
{
	struct coffer_backup_info *t = &b->trailer.info;
	const struct coffer_dev *d = b->dev;
	const dev_t dev = makedev(d->major, d->minor);
	struct timespec now;

	if (coffer_backup_read_conversion(b->header->json, t, NULL) < 0)
		return coffer_err_needs_repair(e, EUCLEAN, "%s: contradictory metadata", d->name);
	t->seqid = b->header->seqid;
	b->trailer.copy_size = b->header->copy_size;
	t->device_size = d->size;
	memcpy(t->uuid, b->header->uuid, sizeof(t->uuid));
	if (clock_gettime(CLOCK_REALTIME, &now) == 0 && now.tv_sec > 0)
		t->date = (uint64_t)now.tv_sec;
	(void)snprintf(t->version, sizeof(t->version), "%s", COFFER_VERSION);
	(void)snprintf(t->device, sizeof(t->device), "%s", d->name);
	if (d->is_block) {
		coffer_device_find_link(
			"/dev/disk/by-partuuid", dev, t->partuuid, sizeof(t->partuuid));
		coffer_device_find_link("/dev/disk/by-id", dev, t->id, sizeof(t->id));
	}
	if (coffer_sha256(b->file, t->image_size, b->trailer.image_hash) < 0 ||
		coffer_trailer_encode(&b->trailer, b->file + t->image_size) < 0)
		return coffer_err_set(e, EIO, "libcrypto failed to hash");
	return 0;
}

static int add_notes(const struct backup *b, struct coffer_findings *l)
{
	int r = 0;

	if (b->trailer.info.conversion != COFFER_BACKUP_NONE)
		r = coffer_findings_add(l, COFFER_TEXT_BACKUP_CONVERSION, NULL, NULL);
	if (r == 0 && !(b->header->current[0] && b->header->current[1]))
		r = coffer_findings_add(l, COFFER_TEXT_BACKUP_TORN, NULL, NULL);
	if (r == 0 && b->unlocked)
		r = coffer_findings_add(l, COFFER_TEXT_HEADER_UNLOCKED, NULL, NULL);
	return r;
}

static int make_backup(struct backup *b, const struct coffer_new_file *file,
	struct coffer_header_backup_result *result, struct coffer_err *e)
{
	struct coffer_backup read;
	uint64_t size;
	int r;

	r = read_header(b, e);
	if (r == 0)
		r = make_trailer(b, e);
	if (r < 0)
		return r;
	/* Read it as a restore would: a file that cannot be restored is not a backup. */
	size = b->trailer.info.image_size + COFFER_TRAILER_SIZE;
	r = coffer_backup_read(b->file, size, &read, e);
	if (r < 0)
		return r;
	result->info = read.info;
	coffer_backup_reset(&read);
	if (add_notes(b, &result->notes) < 0)
		return coffer_err_errno(e, ENOMEM, "back up the header");
	return coffer_new_file_write(file, b->file, size, e);
}

int coffer_header_backup_dev(struct coffer_dev *dev, const struct coffer_new_file *file,
	const struct coffer_header_backup_options *o, struct coffer_header_backup_result **ret,
	struct coffer_err *e)
{
	struct coffer_header_backup_result *result = calloc(1, sizeof(*result));
	struct backup b = {.o = o, .dev = dev};
	int r;

	r = result ? make_backup(&b, file, result, e)
		   : coffer_err_errno(e, ENOMEM, "back up the header");
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

/* REFUSED with -EXDEV: the folder is on a filesystem on @d, directly or through mappings and loop
 * devices. Mounts of other mount namespaces are not found. */
static int refuse_on_device(
	const struct coffer_new_file *f, const struct coffer_dev *d, struct coffer_err *e)
{
	_cleanup_holders_ struct coffer_holders all = {0};
	struct stat st;
	int r;

	if (d->fd < 0)
		return 0;
	if (fstat(d->fd, &st) < 0)
		return coffer_err_errno(e, errno, "%s", d->name);
	r = coffer_holders_find_devices(&st, &all, e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < all.n; i++)
		if (all.items[i].kind == COFFER_HOLDER_MOUNT && all.items[i].pid == 0 &&
			same_mount(f->folder, all.items[i].name))
			return coffer_err_refuse(e, EXDEV,
				"%s is on %s itself; write the backup to another disk, or to /run "
				"and copy it from there",
				f->path, d->name);
	return 0;
}

static int backup(const struct coffer_header_backup_options *o,
	struct coffer_header_backup_result **ret, struct coffer_err *e)
{
	_cleanup_new_file_ struct coffer_new_file file = {.folder = -1};
	_cleanup_dev_ struct coffer_dev *dev = NULL;
	int r;

	if (!o->file)
		return coffer_err_usage(e, "no backup file given");
	r = coffer_new_file_open(o->file, &file, e);
	if (r == 0)
		r = coffer_dev_open_reading(o->device, &dev, e);
	if (r == 0)
		r = refuse_on_device(&file, dev, e);
	return r < 0 ? r : coffer_header_backup_dev(TAKE_PTR(dev), &file, o, ret, e);
}

int coffer_header_backup(const struct coffer_header_backup_options *o,
	struct coffer_header_backup_result **ret, struct coffer_err *e)
{
	return coffer_err_default(e, backup(o, ret, e));
}

void coffer_header_backup_free(struct coffer_header_backup_result *r)
{
	if (!r)
		return;
	coffer_findings_free(&r->notes);
	free(r);
}
