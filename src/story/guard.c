/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "story/guard.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "os/probe.h"

/* Does libblkid name the same kind as our reader? ext2 and ext3 are one kind here. */
static bool same_kind(const char *type, enum coffer_fs_kind kind)
{
	if (kind == COFFER_FS_EXT)
		return strncmp(type, "ext", 3) == 0;
	return strcmp(type, coffer_fs_name(kind)) == 0;
}

static int check_content(
	const struct coffer_dev *d, const struct coffer_content *c, struct coffer_err *e)
{
	if (c->luks2)
		return coffer_err_repair(e, EUCLEAN,
			"%s has a magic of LUKS2, but no header to be trusted: 'cryptsetup repair' "
			"may bring its first copy back from the second; else restore a "
			"backup of "
			"the header with 'cryptsetup luksHeaderRestore', and keep a copy of the "
			"disk "
			"first; nothing was changed",
			d->name);
	if (c->luks)
		return coffer_err_refuse(e, EEXIST,
			"%s is LUKS already: nothing to encrypt; look "
			"with 'cryptsetup luksDump %s'",
			d->name, d->name);
	if (c->suspended)
		return coffer_err_refuse(e, EBUSY,
			"%s holds the memory of a hibernated system; resume and shut it down, or "
			"run "
			"mkswap on it",
			d->name);
	if (c->partitions[0])
		return coffer_err_refuse(e, EINVAL,
			"%s holds a partition table (%s); name one of its partitions", d->name,
			c->partitions);
	return 0;
}

/* A filesystem that both libblkid and the reader know, or an explicit size. */
static int check_filesystem(struct coffer_dev *d, const struct coffer_encrypt_options *o,
	const struct coffer_content *c, struct coffer_fs *fs, struct coffer_err *e)
{
	_cleanup_free_ uint8_t *head = coffer_dev_buffer(COFFER_FS_HEAD);
	int r;

	if (!head)
		return coffer_err_errno(e, ENOMEM, "look at %s", d->name);
	if (d->size >= COFFER_FS_HEAD) {
		r = coffer_dev_read(d, head, COFFER_FS_HEAD, 0, e);
		if (r < 0)
			return r;
		r = coffer_fs_read(head, COFFER_FS_HEAD, fs, e);
		if (r < 0) {
			coffer_err_outcome(e, COFFER_REFUSED);
			return coffer_err_wrap(e, r, "%s", d->name);
		}
	}
	if (fs->other_part)
		return coffer_err_refuse(e, EXDEV,
			"%s is %s, but %s; what is encrypted must lie on one device", d->name,
			coffer_fs_name(fs->kind), fs->other_part);
	if (fs->kind != COFFER_FS_NONE && c->type[0] && !same_kind(c->type, fs->kind))
		return coffer_err_refuse(e, EUCLEAN,
			"%s looks like %s and like %s; wipe the wrong signature first (wipefs)",
			d->name, c->type, coffer_fs_name(fs->kind));
	if (d->size < COFFER_FS_HEAD)
		return coffer_err_refuse(e, ENOSPC,
			"%s has %" PRIu64 " bytes: too small for any filesystem coffer knows",
			d->name, d->size);
	if (fs->kind == COFFER_FS_NONE && o->device_size == 0)
		return coffer_err_refuse(e, EMEDIUMTYPE,
			"%s holds %s, whose end coffer cannot tell; say how many bytes are in use "
			"with --device-size",
			d->name, c->type[0] ? c->type : "nothing that is known");
	return 0;
}

/* The largest reserve (2S) in powers of two that leaves room for @end bytes of content and is not
 * above twice the data's size; 0 when there is none. With an explicit size the data is just that,
 * else all but the reserve. */
static uint64_t fitting_reserve(uint64_t device, uint64_t end, bool explicit_size)
{
	for (uint64_t s = COFFER_RESERVE / 2; s >= COFFER_MIN_SHIFT; s /= 2)
		if (device >= 2 * s && end <= device - 2 * s &&
			s <= (explicit_size ? end : device - 2 * s))
			return 2 * s;
	return 0;
}

static void name_fitting_reserve(const struct coffer_dev *d, uint64_t end, bool explicit_size,
	const char *before, struct coffer_err *e)
{
	const uint64_t fits = fitting_reserve(d->size, end, explicit_size);

	if (fits)
		coffer_err_add(e, "%suse --reduce-device-size %" PRIu64 "M", before, fits >> 20);
	else
		coffer_err_add(e, "; no smaller reserve fits either (2M is the least)");
}

static int no_room(const struct coffer_dev *d, uint64_t end, uint64_t reserve, bool explicit_size,
	enum coffer_fs_kind kind, struct coffer_err *e)
{
	(void)coffer_err_refuse(e, ENOSPC,
		"%s: filesystem ends at %" PRIu64 ", device at %" PRIu64
		": no room for the %" PRIu64
		"-byte reserve; make the filesystem smaller or the device larger",
		d->name, end, d->size, reserve);
	name_fitting_reserve(d, end, explicit_size, ", or ", e);
	if (kind == COFFER_FS_EXT && d->size > reserve)
		coffer_err_add(e,
			"; an ext4 shrinks by 'e2fsck -f %s && resize2fs %s %" PRIu64 "K'%s",
			d->name, d->name, round_down_u64(d->size - reserve, 65536) / 1024,
			d->is_block ? "" : ", then the image gets its size back by 'truncate'");
	if (kind == COFFER_FS_XFS)
		coffer_err_add(e, "; an xfs cannot shrink, so make room behind it");
	return -ENOSPC;
}

static int too_little(const struct coffer_dev *d, uint64_t length, uint64_t end, uint64_t reserve,
	bool explicit_size, struct coffer_err *e)
{
	(void)coffer_err_refuse(e, ENOSPC,
		"%s: %" PRIu64 " bytes of data are less than half the reserve of %" PRIu64, d->name,
		length, reserve);
	name_fitting_reserve(d, end, explicit_size, "; ", e);
	return -ENOSPC;
}

static int lay_out(struct coffer_dev *d, const struct coffer_encrypt_options *o,
	const struct coffer_fs *fs, struct coffer_geometry *g, struct coffer_err *e)
{
	const uint64_t reserve = o->reserve ? o->reserve : COFFER_RESERVE;
	const uint64_t end = o->device_size ? o->device_size : fs->end;

	if (d->size % COFFER_SECTOR)
		return coffer_err_refuse(e, EINVAL,
			"%s has %" PRIu64
			" bytes, which is no multiple of 512; 'truncate -s %" PRIu64
			"' cuts off the rest",
			d->name, d->size, round_down_u64(d->size, COFFER_SECTOR));
	if (o->device_size && o->device_size < fs->end)
		return coffer_err_refuse(e, EINVAL,
			"%s: the filesystem ends at %" PRIu64 ", behind --device-size %" PRIu64,
			d->name, fs->end, o->device_size);
	g->shift = reserve / 2;
	if (o->device_size > d->size)
		return coffer_err_refuse(e, ENOSPC,
			"%s: --device-size %" PRIu64 " is above the device's size of %" PRIu64,
			d->name, o->device_size, d->size);
	if (d->size < reserve || end > d->size - reserve)
		return no_room(d, end, reserve, o->device_size > 0, fs->kind, e);
	/* With an explicit size the conversion ends 2S behind it, wherever the device ends. */
	g->device =
		o->device_size ? round_up_u64(o->device_size, COFFER_SECTOR) + reserve : d->size;
	g->length = g->device - reserve;
	if (g->length < g->shift)
		return too_little(d, g->length, end, reserve, o->device_size > 0, e);
	return 0;
}

/* 4096 only where device, data and filesystem can live with it. */
static int choose_sector_size(struct coffer_dev *d, const struct coffer_encrypt_options *o,
	const struct coffer_fs *fs, struct coffer_geometry *g, struct coffer_err *e)
{
	/* The device itself too: the finished volume reaches to its end. */
	const bool aligned = d->size % 4096 == 0 && g->device % 4096 == 0 && g->length % 4096 == 0;
	const bool fs_can = fs->kind != COFFER_FS_NONE && fs->block_size >= 4096;

	g->sector_size = o->sector_size ? o->sector_size : aligned && fs_can ? 4096 : 512;
	if (g->sector_size == 4096 && !aligned)
		return coffer_err_refuse(e, EINVAL,
			"%s: --sector-size 4096 needs sizes that are multiples of 4096, but the "
			"device has %" PRIu64 " bytes and the data %" PRIu64
			"; use --sector-size 512",
			d->name, d->size, g->length);
	if (g->sector_size == 4096 && fs->kind != COFFER_FS_NONE && !fs_can)
		return coffer_err_refuse(e, EINVAL,
			"%s: its %s writes blocks of %" PRIu32
			" bytes and could not be mounted with --sector-size 4096; use "
			"--sector-size 512",
			d->name, coffer_fs_name(fs->kind), fs->block_size);
	if (d->logical_block > g->sector_size)
		return coffer_err_refuse(e, EINVAL,
			"%s has sectors of %" PRIu32 " bytes, and %s cannot be encrypted in those",
			d->name, d->logical_block,
			fs->kind == COFFER_FS_NONE ? "this content" : coffer_fs_name(fs->kind));
	return 0;
}

int coffer_guard(struct coffer_dev *d, const struct coffer_encrypt_options *o,
	struct coffer_fs *ret_fs, struct coffer_geometry *ret, struct coffer_err *e)
{
	struct coffer_geometry g = {0};
	struct coffer_content c = {0};
	struct coffer_fs fs = {0};
	int r;

	r = coffer_probe(d, 0, d->size, &c, e);
	if (r == 0)
		r = check_content(d, &c, e);
	if (r == 0)
		r = check_filesystem(d, o, &c, &fs, e);
	if (r == 0)
		r = lay_out(d, o, &fs, &g, e);
	if (r == 0)
		r = choose_sector_size(d, o, &fs, &g, e);
	if (r < 0)
		return r;
	r = coffer_geometry_check(&g, e);
	if (r < 0) {
		coffer_err_outcome(e, COFFER_REFUSED);
		return coffer_err_wrap(e, r, "%s", d->name);
	}
	if (d->is_block) {
		r = coffer_refuse_hibernation(e);
		if (r < 0)
			return r;
	}
	*ret_fs = fs;
	*ret = g;
	return 0;
}
