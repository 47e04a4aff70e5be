/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* preflight.c - everything that must be true before the first byte is written */
#include "convert/preflight.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/findings.h"
#include "block/open.h"
#include "convert/disk.h"
#include "convert/new_header.h"
#include "convert/volume.h"
#include "luks2/locks.h"

enum {
	LEAST_BTRFS = 256 << 20 /* btrfs shrinks to no smaller size */
};

/* Does libblkid name the same kind as our reader? ext2 and ext3 are one kind here, and so is a
 * journal that lies alone. */
static bool same_kind(const char *type, enum coffer_fs_kind kind)
{
	if (kind == COFFER_FS_EXT)
		return strncmp(type, "ext", 3) == 0 || strcmp(type, "jbd") == 0;
	return strcmp(type, coffer_fs_name(kind)) == 0;
}

/* LUKS2 on a disk on which nothing was begun when it was examined: a header that is not usable, or
 * one that another program has placed since. */
static int check_luks2(struct coffer_dev *d, struct coffer_findings *l, struct coffer_err *e)
{
	struct coffer_disk now = {0};
	bool placed, second;
	int r;

	r = coffer_disk_examine(d, &now, e);
	placed = r == 0 && now.operation != COFFER_OP_START;
	second = r == 0 && now.facts.header.newest == 1;
	coffer_disk_reset(&now);
	if (r < 0)
		return r;
	if (placed)
		return coffer_findings_add(l, COFFER_TEXT_CONTENT_BEGUN, NULL, NULL);
	if (second)
		return coffer_findings_add(l, COFFER_TEXT_CONTENT_FIRST_COPY_LOST, NULL,
			COFFER_RUN("coffer", "repair", "--dry-run", d->name));
	return coffer_findings_add(l, COFFER_TEXT_CONTENT_NO_HEADER, NULL, NULL);
}

static int check_content(
	struct coffer_preflight *p, struct coffer_findings *l, struct coffer_err *e)
{
	struct coffer_dev *d = p->dev;
	struct coffer_content *c = &p->content;
	int r;

	r = coffer_signatures_read(d, 0, d->size, c, e);
	if (r < 0)
		return r;
	if (c->luks2)
		return check_luks2(d, l, e);
	if (c->luks)
		return coffer_disk_refuse_encrypted(d, e);
	if (c->suspended)
		return coffer_findings_add(
			l, COFFER_TEXT_CONTENT_SUSPENDED, NULL, COFFER_RUN("mkswap", d->name));
	if (c->partitions[0])
		return coffer_findings_add(l, COFFER_TEXT_CONTENT_PARTITIONS,
			COFFER_WITH(COFFER_ARG_TEXT("table", c->partitions)),
			d->is_block ? NULL : COFFER_RUN("losetup", "-fP", "--show", d->name));
	return coffer_findings_add(l, COFFER_TEXT_CONTENT, NULL, NULL);
}

static int check_unknown(
	struct coffer_preflight *p, struct coffer_findings *l, struct coffer_err *e)
{
	static const enum coffer_text texts[2][2] = {
		{COFFER_TEXT_FILESYSTEM_UNKNOWN, COFFER_TEXT_FILESYSTEM_LOST},
		{COFFER_TEXT_FILESYSTEM_GIVEN, COFFER_TEXT_FILESYSTEM_GIVEN_LOST}};
	bool lost;
	const int r = coffer_dev_has_unknown_content(p->dev, &p->content, &lost, e);

	return r < 0 ? r
		     : coffer_findings_add(l, texts[p->o->device_size > 0][lost],
			       COFFER_WITH(COFFER_ARG_TEXT("signature", p->content.type),
				       COFFER_ARG_SIZE("given_size", p->o->device_size)),
			       lost ? COFFER_RUN("coffer", "header", "restore", p->dev->name,
					      "--header-backup-file", "FILE")
				    : NULL);
}

/* A filesystem that both libblkid and the reader know, or an explicit size. */
static int check_filesystem(
	struct coffer_preflight *p, struct coffer_findings *l, struct coffer_err *e)
{
	struct coffer_dev *d = p->dev;
	const char *type = p->content.type;
	struct coffer_volume plain = coffer_volume_plain(d, d->size);
	struct coffer_fs *fs = &p->fs;
	int r;

	if (d->size < COFFER_SUPERBLOCK_BYTES)
		return coffer_findings_add(l, COFFER_TEXT_FILESYSTEM_TOO_SMALL,
			COFFER_WITH(COFFER_ARG_SIZE("device_size", d->size)), NULL);
	r = coffer_volume_fs(&plain, fs, e);
	if (r == -EUCLEAN) {
		coffer_err_outcome(e, COFFER_REFUSED);
		return coffer_err_wrap(e, r, "%s", d->name);
	}
	if (r < 0)
		return r;
	if (fs->kind == COFFER_FS_NONE)
		return check_unknown(p, l, e);
	if (type[0] && !same_kind(type, fs->kind))
		return coffer_findings_add(l, COFFER_TEXT_FILESYSTEM_TWO,
			COFFER_WITH(COFFER_ARG_TEXT("signature", type),
				COFFER_ARG_TEXT("filesystem", coffer_fs_name(fs->kind))),
			COFFER_RUN("wipefs", d->name));
	return coffer_findings_add(l, COFFER_TEXT_FILESYSTEM,
		COFFER_WITH(COFFER_ARG_TEXT("filesystem", coffer_fs_name(fs->kind)),
			COFFER_ARG_SIZE("filesystem_size", fs->end)),
		NULL);
}

static int check_single_device(
	struct coffer_preflight *p, struct coffer_findings *l, struct coffer_err *e)
{
	const struct coffer_fs *fs = &p->fs;

	(void)e;
	if (fs->other_part)
		return coffer_findings_add(l, COFFER_TEXT_SINGLE_DEVICE_PARTS,
			COFFER_WITH(COFFER_ARG_TEXT("filesystem", coffer_fs_name(fs->kind)),
				COFFER_ARG_TEXT("part", fs->other_part)),
			NULL);
	return coffer_findings_add(l,
		fs->kind == COFFER_FS_NONE ? COFFER_TEXT_SINGLE_DEVICE_UNKNOWN
					   : COFFER_TEXT_SINGLE_DEVICE,
		NULL, NULL);
}

/* The largest reserve (2S) in powers of two that leaves space for the content's @end and is not
 * above twice the data's size, as an option takes it; "": none is. With an explicit size the data
 * is just that, else all but the reserve. */
static struct coffer_argument fitting(const struct coffer_preflight *p, uint64_t end)
{
	const uint64_t size = p->dev->size;
	char text[32] = "";

	for (uint64_t s = COFFER_RESERVE / 2; s >= COFFER_MIN_SHIFT && !text[0]; s /= 2)
		if (size >= 2 * s && end <= size - 2 * s &&
			s <= (p->o->device_size > 0 ? end : size - 2 * s))
			(void)snprintf(text, sizeof(text), "%" PRIu64 "M", 2 * s >> 20);
	return COFFER_ARG_TEXT("fitting_reserve", text);
}

static int no_space(
	const struct coffer_preflight *p, uint64_t end, uint64_t reserve, struct coffer_findings *l)
{
	const struct coffer_dev *d = p->dev;
	const struct coffer_argument *arguments = COFFER_WITH(COFFER_ARG_SIZE("reserve", reserve),
		COFFER_ARG_SIZE("available", d->size > end ? d->size - end : 0),
		COFFER_ARG_SIZE("content_end", end), COFFER_ARG_SIZE("device_size", d->size),
		fitting(p, end));
	char blocks[32], size[32];

	if (p->fs.kind == COFFER_FS_XFS)
		return coffer_findings_add(l, COFFER_TEXT_RESERVE_NONE_XFS, arguments, NULL);
	if (d->size < reserve + (p->fs.kind == COFFER_FS_BTRFS ? LEAST_BTRFS : 1) ||
		p->fs.kind == COFFER_FS_NONE)
		return coffer_findings_add(l, COFFER_TEXT_RESERVE_NONE, arguments, NULL);
	(void)snprintf(blocks, sizeof(blocks), "%" PRIu64 "K",
		round_down_u64(d->size - reserve, 65536) / 1024);
	if (p->fs.kind == COFFER_FS_BTRFS)
		return coffer_findings_add(l, COFFER_TEXT_RESERVE_NONE_SHRINK, arguments,
			COFFER_RUN("mount", d->name, "/mnt", "&&", "btrfs", "filesystem", "resize",
				blocks, "/mnt", "&&", "umount", "/mnt"));
	/* An image that shrinks with its ext4 gets its size back. */
	(void)snprintf(size, sizeof(size), "%" PRIu64, d->size);
	return coffer_findings_add(l, COFFER_TEXT_RESERVE_NONE_SHRINK, arguments,
		COFFER_RUN("e2fsck", "-f", "-p", d->name, "&&", "resize2fs", d->name, blocks,
			d->is_block ? NULL : "&&", "truncate", "-s", size, d->name));
}

static int check_reserve(
	struct coffer_preflight *p, struct coffer_findings *l, struct coffer_err *e)
{
	const struct coffer_dev *d = p->dev;
	struct coffer_geometry *g = &p->geometry;
	const uint64_t given = p->o->device_size;
	const uint64_t reserve = p->o->reserve ? p->o->reserve : COFFER_RESERVE;
	const uint64_t end = given ? given : p->fs.end;
	char size[32];

	(void)e;
	if (d->size % COFFER_SECTOR) {
		(void)snprintf(
			size, sizeof(size), "%" PRIu64, round_down_u64(d->size, COFFER_SECTOR));
		return coffer_findings_add(l, COFFER_TEXT_RESERVE_ODD,
			COFFER_WITH(COFFER_ARG_NUMBER("device_bytes", d->size)),
			COFFER_RUN("truncate", "-s", size, d->name));
	}
	if (given && (given < p->fs.end || given > d->size))
		return coffer_findings_add(l,
			given > d->size ? COFFER_TEXT_RESERVE_GIVEN_MORE
					: COFFER_TEXT_RESERVE_GIVEN_LESS,
			COFFER_WITH(COFFER_ARG_NUMBER("given_bytes", given),
				COFFER_ARG_NUMBER("filesystem_end", p->fs.end),
				COFFER_ARG_NUMBER("device_bytes", d->size)),
			NULL);
	if (d->size < reserve || end > d->size - reserve)
		return no_space(p, end, reserve, l);
	/* With an explicit size the conversion ends 2S after it, wherever the device ends. */
	g->device = given ? round_up_u64(given, COFFER_SECTOR) + reserve : d->size;
	g->length = g->device - reserve;
	if (g->length < g->shift)
		return coffer_findings_add(l, COFFER_TEXT_RESERVE_TOO_LARGE,
			COFFER_WITH(COFFER_ARG_SIZE("data_size", g->length),
				COFFER_ARG_SIZE("reserve", reserve), fitting(p, end)),
			NULL);
	return coffer_findings_add(l, COFFER_TEXT_RESERVE,
		COFFER_WITH(COFFER_ARG_SIZE("reserve", reserve),
			COFFER_ARG_SIZE("available", d->size - end)),
		NULL);
}

/* 4096 only where device, data and filesystem allow it. */
static int check_sector_size(
	struct coffer_preflight *p, struct coffer_findings *l, struct coffer_err *e)
{
	const struct coffer_encrypt_options *o = p->o;
	const struct coffer_dev *d = p->dev;
	const struct coffer_fs *fs = &p->fs;
	struct coffer_geometry *g = &p->geometry;
	/* The device itself too: the finished volume reaches to its end. */
	const bool aligned = d->size % 4096 == 0 && g->device % 4096 == 0 && g->length % 4096 == 0;
	const bool fs_can = fs->kind != COFFER_FS_NONE && fs->block_size >= 4096;
	const char *name = fs->kind == COFFER_FS_NONE ? "this content" : coffer_fs_name(fs->kind);
	int r;

	g->sector_size = o->sector_size ? o->sector_size : aligned && fs_can ? 4096 : 512;
	if (g->sector_size == 4096 && !aligned)
		return coffer_findings_add(l, COFFER_TEXT_SECTOR_SIZE_UNALIGNED,
			COFFER_WITH(COFFER_ARG_NUMBER("device_bytes", d->size),
				COFFER_ARG_NUMBER("data_bytes", g->length)),
			NULL);
	if (g->sector_size == 4096 && fs->kind != COFFER_FS_NONE && !fs_can)
		return coffer_findings_add(l, COFFER_TEXT_SECTOR_SIZE_FILESYSTEM,
			COFFER_WITH(COFFER_ARG_TEXT("filesystem", name),
				COFFER_ARG_NUMBER("block_size", fs->block_size)),
			NULL);
	if (d->logical_block > g->sector_size)
		return coffer_findings_add(l, COFFER_TEXT_SECTOR_SIZE_DEVICE,
			COFFER_WITH(COFFER_ARG_NUMBER("device_sector", d->logical_block),
				COFFER_ARG_TEXT("filesystem", name)),
			NULL);
	r = coffer_geometry_check(g, e);
	if (r < 0) {
		coffer_err_outcome(e, COFFER_REFUSED);
		return coffer_err_wrap(e, r, "%s", d->name);
	}
	return coffer_findings_add(l, COFFER_TEXT_SECTOR_SIZE,
		COFFER_WITH(COFFER_ARG_NUMBER("sector_size", g->sector_size)), NULL);
}

static int check_header(struct coffer_preflight *p, struct coffer_findings *l, struct coffer_err *e)
{
	const uint64_t shift = p->geometry.shift;
	int r;

	p->format = coffer_new_header_format(p->o, shift);
	r = coffer_new_header_check(&p->format, shift, e);
	return r < 0 ? r
		     : coffer_findings_add(l, COFFER_TEXT_HEADER,
			       COFFER_WITH(COFFER_ARG_NUMBER("data_offset", shift)), NULL);
}

static int check_hibernation(
	struct coffer_preflight *p, struct coffer_findings *l, struct coffer_err *e)
{
	const int r = coffer_refuse_hibernation(e);

	(void)p;
	return r < 0 ? r : coffer_findings_add(l, COFFER_TEXT_HIBERNATION, NULL, NULL);
}

enum {
	CONTENT,
	FILESYSTEM,
	SINGLE_DEVICE,
	RESERVE,
	SECTOR_SIZE,
	HEADER,
	HIBERNATION,
	N_CHECKS,
	NOTHING = -1
};

static const struct check {
	enum coffer_finding_id id;
	/* Adds one finding; a refusal that comes from elsewhere is an error. */
	int (*run)(struct coffer_preflight *p, struct coffer_findings *l, struct coffer_err *e);
	int needs; /* an earlier row that must have passed */
} checks[] = {
	[CONTENT] = {COFFER_FINDING_CONTENT, check_content, NOTHING},
	[FILESYSTEM] = {COFFER_FINDING_FILESYSTEM, check_filesystem, CONTENT},
	[SINGLE_DEVICE] = {COFFER_FINDING_SINGLE_DEVICE, check_single_device, FILESYSTEM},
	[RESERVE] = {COFFER_FINDING_RESERVE, check_reserve, FILESYSTEM},
	[SECTOR_SIZE] = {COFFER_FINDING_SECTOR_SIZE, check_sector_size, RESERVE},
	[HEADER] = {COFFER_FINDING_HEADER, check_header, NOTHING},
	[HIBERNATION] = {COFFER_FINDING_HIBERNATION, check_hibernation, NOTHING},
};
_Static_assert(ARRAY_SIZE(checks) == N_CHECKS, "every check has a row");

/* Run one check, and add its finding also where that is an error that refuses. */
static int run_check(const struct check *t, struct coffer_preflight *p, struct coffer_findings *l,
	struct coffer_err *e)
{
	struct coffer_err why = {0};
	int r = t->run(p, l, &why);

	if (r < 0 && (why.outcome == COFFER_REFUSED || why.outcome == COFFER_NEEDS_REPAIR)) {
		r = coffer_findings_add_err(l, t->id, p->dev->name, &why);
		why.code = 0;
	}
	return r < 0 && why.code != 0 ? coffer_err_pass(e, r, &why) : r;
}

/* Up to the first refusal unless @all. */
static int run_checks(struct coffer_preflight *p, bool quick, bool all, struct coffer_findings *l,
	struct coffer_err *e)
{
	bool passed[N_CHECKS] = {false};
	struct coffer_finding *last;

	p->geometry.shift = (p->o->reserve ? p->o->reserve : COFFER_RESERVE) / 2;
	for (int i = 0; i < N_CHECKS && (all || p->outcome == COFFER_DONE); i++) {
		const struct check *t = &checks[i];
		int r;

		/* It reads other block devices. */
		if (i == HIBERNATION && (quick || !p->dev->is_block))
			continue;
		if (t->needs == NOTHING || passed[t->needs])
			r = run_check(t, p, l, e);
		else
			r = coffer_findings_add(l, COFFER_TEXT_DEPENDS,
				COFFER_WITH(COFFER_ARG_TEXT(
					"check", coffer_finding_name(checks[t->needs].id))),
				NULL);
		if (r < 0)
			return r == -ENOMEM ? coffer_err_errno(e, ENOMEM, "check %s", p->dev->name)
					    : r;
		last = &l->items[l->n - 1];
		if (last->id == COFFER_FINDING_NONE)
			last->id = t->id;
		passed[i] =
			last->verdict == COFFER_VERDICT_OK || last->verdict == COFFER_VERDICT_NOTE;
		if (last->outcome > p->outcome)
			p->outcome = last->outcome;
	}
	return 0;
}

int coffer_preflight_list(
	struct coffer_preflight *p, bool quick, struct coffer_findings *l, struct coffer_err *e)
{
	return run_checks(p, quick, true, l, e);
}

int coffer_preflight_run(struct coffer_preflight *p, struct coffer_err *e)
{
	_cleanup_(coffer_findings_free) struct coffer_findings l = {0};
	const int r = run_checks(p, false, false, &l, e);

	return r < 0 || p->outcome == COFFER_DONE
		       ? r
		       : coffer_err_from_finding(e, p->dev->name, &l.items[l.n - 1]);
}

/* --- exclusive access, asked without opening the disk for it --- */

/* A process of a kind, one that writes where @writes. */
static const struct coffer_holder *find_process(
	const struct coffer_status *s, enum coffer_holder_kind kind, bool writes)
{
	for (size_t i = 0; i < s->n_holders; i++)
		if (s->holders[i].kind == kind && (!writes || s->holders[i].writes))
			return &s->holders[i];
	return NULL;
}

static int list_exclusive(
	const struct coffer_dev *dev, const struct coffer_status *s, struct coffer_findings *l)
{
	const struct coffer_holder *u = find_process(s, COFFER_HOLDER_REENCRYPTION, false);
	enum coffer_text t = COFFER_TEXT_EXCLUSIVE_CONVERTING;
	struct coffer_err why = {0};

	if (!u) {
		const int r = coffer_dev_check_exclusive(dev, &why);

		if (r < 0)
			return why.code == 0 ? r
					     : coffer_findings_add_err(l, COFFER_FINDING_EXCLUSIVE,
						       dev->name, &why);
		t = COFFER_TEXT_EXCLUSIVE_WRITER;
		u = find_process(s, COFFER_HOLDER_PROCESS, true);
	}
	if (u)
		return coffer_findings_add(l, t,
			COFFER_WITH(COFFER_ARG_NUMBER("pid", (uint64_t)u->pid),
				COFFER_ARG_TEXT("program", u->name)),
			NULL);
	if (s->holders_complete)
		return coffer_findings_add(l, COFFER_TEXT_EXCLUSIVE, NULL, NULL);
	/* In a container, root may not see all either. */
	return coffer_findings_add(l, COFFER_TEXT_EXCLUSIVE_NOT_ALL,
		COFFER_WITH(COFFER_ARG_TEXT("missing", geteuid() == 0 ? "" : "root")), NULL);
}

int coffer_exclusive_check(
	const struct coffer_dev *dev, const struct coffer_status *s, struct coffer_err *e)
{
	_cleanup_(coffer_findings_free) struct coffer_findings l = {0};
	const int r = list_exclusive(dev, s, &l);

	if (r < 0)
		return coffer_err_errno(e, -r, "check %s", dev->name);
	return l.items[0].verdict == COFFER_VERDICT_BAD
		       ? coffer_err_from_finding(e, dev->name, &l.items[0])
		       : 0;
}

int coffer_exclusive_list(const struct coffer_dev *dev, const struct coffer_status *s,
	struct coffer_findings *l, struct coffer_err *e)
{
	/* On a block device a run needs cryptsetup's locks; an image file is locked itself. */
	const enum coffer_text locks = coffer_locks_usable() ? COFFER_TEXT_LOCKS
				       : dev->is_block	     ? COFFER_TEXT_LOCKS_BLOCK
							     : COFFER_TEXT_LOCKS_IMAGE;
	struct coffer_err why = {0};
	int r;

	r = list_exclusive(dev, s, l);
	if (r == 0)
		r = coffer_dev_check_writable(dev, &why) < 0
			    ? coffer_findings_add_err(l, COFFER_FINDING_WRITABLE, dev->name, &why)
			    : coffer_findings_add(l, COFFER_TEXT_WRITABLE, NULL, NULL);
	if (r == 0)
		r = coffer_findings_add(
			l, locks, COFFER_WITH(COFFER_ARG_TEXT("directory", COFFER_LOCK_DIR)), NULL);
	return r == -ENOMEM ? coffer_err_errno(e, ENOMEM, "check %s", dev->name) : r;
}
