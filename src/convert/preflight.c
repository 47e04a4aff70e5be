/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* preflight.c - everything that must be true before the first byte is written */
#include "convert/preflight.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/findings.h"
#include "base/findings_text.h"
#include "convert/disk.h"
#include "convert/new_header.h"

/* Does libblkid name the same kind as our reader? ext2 and ext3 are one kind here, and so is a
 * journal that lies alone. */
static bool same_kind(const char *type, enum coffer_fs_kind kind)
{
	if (kind == COFFER_FS_EXT)
		return strncmp(type, "ext", 3) == 0 || strcmp(type, "jbd") == 0;
	return strcmp(type, coffer_fs_name(kind)) == 0;
}

/* LUKS2 on a disk on which nothing was begun when it was examined: a header that is not whole, or
 * one that another program has placed since. */
static int check_luks2(struct coffer_dev *d, struct coffer_finding *f, struct coffer_err *e)
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
		return coffer_finding_make(f, COFFER_TEXT_CONTENT_BEGUN, NULL, NULL);
	if (second)
		return coffer_finding_make(f, COFFER_TEXT_CONTENT_FIRST_COPY_LOST, NULL,
			COFFER_RUN("coffer", "repair", "--dry-run", d->name));
	return coffer_finding_make(f, COFFER_TEXT_CONTENT_NO_HEADER, NULL, NULL);
}

static int check_content(struct coffer_preflight *g, struct coffer_finding *f, struct coffer_err *e)
{
	struct coffer_dev *d = g->dev;
	struct coffer_content *c = &g->content;
	int r;

	r = coffer_signatures_read(d, 0, d->size, c, e);
	if (r < 0)
		return r;
	if (c->luks2)
		return check_luks2(d, f, e);
	if (c->luks)
		return coffer_disk_refuse_encrypted(d, e);
	if (c->suspended)
		return coffer_finding_make(
			f, COFFER_TEXT_CONTENT_SUSPENDED, NULL, COFFER_RUN("mkswap", d->name));
	if (c->partitions[0])
		return coffer_finding_make(f, COFFER_TEXT_CONTENT_PARTITIONS,
			COFFER_WITH(COFFER_ARG_TEXT("table", c->partitions)), NULL);
	return coffer_finding_make(f, COFFER_TEXT_CONTENT, NULL, NULL);
}

static int read_superblock(struct coffer_dev *d, struct coffer_fs *fs, struct coffer_err *e)
{
	_cleanup_free_ uint8_t *head = coffer_dev_buffer(COFFER_FS_HEAD);
	int r;

	if (!head)
		return coffer_err_errno(e, ENOMEM, "look at %s", d->name);
	r = coffer_dev_read(d, head, COFFER_FS_HEAD, 0, e);
	if (r < 0)
		return r;
	r = coffer_superblock_read(head, COFFER_FS_HEAD, fs, e);
	if (r < 0) {
		coffer_err_outcome(e, COFFER_REFUSED);
		return coffer_err_wrap(e, r, "%s", d->name);
	}
	return 0;
}

static int check_unknown(struct coffer_preflight *g, struct coffer_finding *f, struct coffer_err *e)
{
	const struct coffer_argument *arguments =
		COFFER_WITH(COFFER_ARG_TEXT("signature", g->content.type),
			COFFER_ARG_SIZE("given_size", g->o->device_size));
	bool lost;
	int r;

	r = coffer_dev_has_unknown_content(g->dev, &g->content, &lost, e);
	if (r < 0)
		return r;
	if (g->o->device_size == 0)
		return coffer_finding_make(f,
			lost ? COFFER_TEXT_FILESYSTEM_LOST : COFFER_TEXT_FILESYSTEM_UNKNOWN,
			arguments, NULL);
	return coffer_finding_make(f,
		lost ? COFFER_TEXT_FILESYSTEM_GIVEN_LOST : COFFER_TEXT_FILESYSTEM_GIVEN, arguments,
		NULL);
}

/* A filesystem that both libblkid and the reader know, or an explicit size. */
static int check_filesystem(
	struct coffer_preflight *g, struct coffer_finding *f, struct coffer_err *e)
{
	struct coffer_dev *d = g->dev;
	const char *type = g->content.type;
	struct coffer_fs *fs = &g->fs;
	int r;

	if (d->size < COFFER_FS_HEAD)
		return coffer_finding_make(f, COFFER_TEXT_FILESYSTEM_TOO_SMALL,
			COFFER_WITH(COFFER_ARG_SIZE("device_size", d->size)), NULL);
	r = read_superblock(d, fs, e);
	if (r < 0)
		return r;
	if (fs->kind == COFFER_FS_NONE)
		return check_unknown(g, f, e);
	if (type[0] && !same_kind(type, fs->kind))
		return coffer_finding_make(f, COFFER_TEXT_FILESYSTEM_TWO,
			COFFER_WITH(COFFER_ARG_TEXT("signature", type),
				COFFER_ARG_TEXT("filesystem", coffer_fs_name(fs->kind))),
			COFFER_RUN("wipefs", d->name));
	return coffer_finding_make(f, COFFER_TEXT_FILESYSTEM,
		COFFER_WITH(COFFER_ARG_TEXT("filesystem", coffer_fs_name(fs->kind)),
			COFFER_ARG_SIZE("filesystem_size", fs->end)),
		NULL);
}

static int check_single_device(
	struct coffer_preflight *g, struct coffer_finding *f, struct coffer_err *e)
{
	const struct coffer_fs *fs = &g->fs;

	(void)e;
	if (fs->other_part)
		return coffer_finding_make(f, COFFER_TEXT_SINGLE_DEVICE_PARTS,
			COFFER_WITH(COFFER_ARG_TEXT("filesystem", coffer_fs_name(fs->kind)),
				COFFER_ARG_TEXT("part", fs->other_part)),
			NULL);
	return coffer_finding_make(f,
		fs->kind == COFFER_FS_NONE ? COFFER_TEXT_SINGLE_DEVICE_UNKNOWN
					   : COFFER_TEXT_SINGLE_DEVICE,
		NULL, NULL);
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

/* A reserve that fits, as an option takes it; "": none does. */
static struct coffer_argument fitting(const struct coffer_preflight *g, uint64_t end)
{
	const uint64_t fits = fitting_reserve(g->dev->size, end, g->o->device_size > 0);
	char text[32] = "";

	if (fits)
		(void)snprintf(text, sizeof(text), "%" PRIu64 "M", fits >> 20);
	return COFFER_ARG_TEXT("fitting_reserve", text);
}

/* Shrink an ext4; an image then gets its size back. */
static int no_room_ext(const struct coffer_dev *d, uint64_t reserve,
	const struct coffer_argument *arguments, struct coffer_finding *f)
{
	char blocks[32], size[32];

	(void)snprintf(blocks, sizeof(blocks), "%" PRIu64 "K",
		round_down_u64(d->size - reserve, 65536) / 1024);
	(void)snprintf(size, sizeof(size), "%" PRIu64, d->size);
	return coffer_finding_make(f, COFFER_TEXT_RESERVE_NONE_EXT, arguments,
		COFFER_RUN("e2fsck", "-f", d->name, "&&", "resize2fs", d->name, blocks,
			d->is_block ? NULL : "&&", "truncate", "-s", size, d->name));
}

static int no_room(
	const struct coffer_preflight *g, uint64_t end, uint64_t reserve, struct coffer_finding *f)
{
	const struct coffer_dev *d = g->dev;
	const struct coffer_argument *arguments = COFFER_WITH(COFFER_ARG_SIZE("reserve", reserve),
		COFFER_ARG_SIZE("available", d->size > end ? d->size - end : 0),
		COFFER_ARG_SIZE("content_end", end), COFFER_ARG_SIZE("device_size", d->size),
		fitting(g, end));

	if (g->fs.kind == COFFER_FS_EXT && d->size > reserve)
		return no_room_ext(d, reserve, arguments, f);
	return coffer_finding_make(f,
		g->fs.kind == COFFER_FS_XFS ? COFFER_TEXT_RESERVE_NONE_XFS
					    : COFFER_TEXT_RESERVE_NONE,
		arguments, NULL);
}

static int too_large(
	const struct coffer_preflight *g, uint64_t end, uint64_t reserve, struct coffer_finding *f)
{
	const struct coffer_argument fits = fitting(g, end);

	return coffer_finding_make(f,
		fits.text[0] ? COFFER_TEXT_RESERVE_TOO_LARGE : COFFER_TEXT_RESERVE_TOO_LARGE_ALL,
		COFFER_WITH(COFFER_ARG_SIZE("data_size", g->geometry.length),
			COFFER_ARG_SIZE("reserve", reserve), fits),
		NULL);
}

/* Sizes that cannot be, whatever the reserve is. */
static int check_sizes(const struct coffer_preflight *g, struct coffer_finding *f)
{
	const struct coffer_dev *d = g->dev;
	const uint64_t given = g->o->device_size;
	char size[32];

	if (d->size % COFFER_SECTOR) {
		(void)snprintf(
			size, sizeof(size), "%" PRIu64, round_down_u64(d->size, COFFER_SECTOR));
		return coffer_finding_make(f, COFFER_TEXT_RESERVE_ODD,
			COFFER_WITH(COFFER_ARG_NUMBER("device_bytes", d->size)),
			COFFER_RUN("truncate", "-s", size, d->name));
	}
	if (given && given < g->fs.end)
		return coffer_finding_make(f, COFFER_TEXT_RESERVE_GIVEN_LESS,
			COFFER_WITH(COFFER_ARG_NUMBER("given_bytes", given),
				COFFER_ARG_NUMBER("filesystem_end", g->fs.end)),
			NULL);
	if (given > d->size)
		return coffer_finding_make(f, COFFER_TEXT_RESERVE_GIVEN_MORE,
			COFFER_WITH(COFFER_ARG_NUMBER("given_bytes", given),
				COFFER_ARG_NUMBER("device_bytes", d->size)),
			NULL);
	return 0;
}

static int check_reserve(struct coffer_preflight *p, struct coffer_finding *f, struct coffer_err *e)
{
	const struct coffer_dev *d = p->dev;
	struct coffer_geometry *g = &p->geometry;
	const uint64_t given = p->o->device_size;
	const uint64_t reserve = p->o->reserve ? p->o->reserve : COFFER_RESERVE;
	const uint64_t end = given ? given : p->fs.end;
	int r;

	(void)e;
	r = check_sizes(p, f);
	if (r < 0 || f->verdict == COFFER_VERDICT_BAD)
		return r;
	if (d->size < reserve || end > d->size - reserve)
		return no_room(p, end, reserve, f);
	/* With an explicit size the conversion ends 2S after it, wherever the device ends. */
	g->device = given ? round_up_u64(given, COFFER_SECTOR) + reserve : d->size;
	g->length = g->device - reserve;
	if (g->length < g->shift)
		return too_large(p, end, reserve, f);
	return coffer_finding_make(f, COFFER_TEXT_RESERVE,
		COFFER_WITH(COFFER_ARG_SIZE("reserve", reserve),
			COFFER_ARG_SIZE("available", d->size - end)),
		NULL);
}

/* 4096 only where device, data and filesystem can live with it. */
static int check_sector_size(
	struct coffer_preflight *p, struct coffer_finding *f, struct coffer_err *e)
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
		return coffer_finding_make(f, COFFER_TEXT_SECTOR_SIZE_UNALIGNED,
			COFFER_WITH(COFFER_ARG_NUMBER("device_bytes", d->size),
				COFFER_ARG_NUMBER("data_bytes", g->length)),
			NULL);
	if (g->sector_size == 4096 && fs->kind != COFFER_FS_NONE && !fs_can)
		return coffer_finding_make(f, COFFER_TEXT_SECTOR_SIZE_FILESYSTEM,
			COFFER_WITH(COFFER_ARG_TEXT("filesystem", name),
				COFFER_ARG_NUMBER("block_size", fs->block_size)),
			NULL);
	if (d->logical_block > g->sector_size)
		return coffer_finding_make(f, COFFER_TEXT_SECTOR_SIZE_DEVICE,
			COFFER_WITH(COFFER_ARG_NUMBER("device_sector", d->logical_block),
				COFFER_ARG_TEXT("filesystem", name)),
			NULL);
	r = coffer_geometry_check(g, e);
	if (r < 0) {
		coffer_err_outcome(e, COFFER_REFUSED);
		return coffer_err_wrap(e, r, "%s", d->name);
	}
	return coffer_finding_make(f, COFFER_TEXT_SECTOR_SIZE,
		COFFER_WITH(COFFER_ARG_NUMBER("sector_size", g->sector_size)), NULL);
}

static int check_header(struct coffer_preflight *g, struct coffer_finding *f, struct coffer_err *e)
{
	const uint64_t shift = g->geometry.shift;
	int r;

	g->format = coffer_new_header_format(g->o, shift);
	r = coffer_new_header_check(&g->format, shift, e);
	return r < 0 ? r
		     : coffer_finding_make(f, COFFER_TEXT_HEADER,
			       COFFER_WITH(COFFER_ARG_NUMBER("data_offset", shift)), NULL);
}

static int check_hibernation(
	struct coffer_preflight *g, struct coffer_finding *f, struct coffer_err *e)
{
	const int r = coffer_refuse_hibernation(e);

	(void)g;
	return r < 0 ? r : coffer_finding_make(f, COFFER_TEXT_HIBERNATION, NULL, NULL);
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
	/* Fills the finding; a refusal that comes from elsewhere is an error. */
	int (*run)(struct coffer_preflight *g, struct coffer_finding *f, struct coffer_err *e);
	int needs;	/* an earlier row that must have passed */
	bool elsewhere; /* reads other block devices: for a block device only */
} preflight[] = {
	[CONTENT] = {COFFER_FINDING_CONTENT, check_content, NOTHING, false},
	[FILESYSTEM] = {COFFER_FINDING_FILESYSTEM, check_filesystem, CONTENT, false},
	[SINGLE_DEVICE] = {COFFER_FINDING_SINGLE_DEVICE, check_single_device, FILESYSTEM, false},
	[RESERVE] = {COFFER_FINDING_RESERVE, check_reserve, FILESYSTEM, false},
	[SECTOR_SIZE] = {COFFER_FINDING_SECTOR_SIZE, check_sector_size, RESERVE, false},
	[HEADER] = {COFFER_FINDING_HEADER, check_header, NOTHING, false},
	[HIBERNATION] = {COFFER_FINDING_HIBERNATION, check_hibernation, NOTHING, true},
};
_Static_assert(ARRAY_SIZE(preflight) == N_CHECKS, "every check has a row");

static void begin(struct coffer_preflight *g)
{
	g->geometry.shift = (g->o->reserve ? g->o->reserve : COFFER_RESERVE) / 2;
}

static bool applies(const struct check *t, const struct coffer_preflight *g, bool quick)
{
	return !t->elsewhere || (g->dev->is_block && !quick);
}

/* Something that makes the run stop before it writes; all else is a failure to find out. */
static bool is_refusal(const struct coffer_err *e)
{
	return e->outcome == COFFER_REFUSED || e->outcome == COFFER_NEEDS_REPAIR;
}

int coffer_preflight_mark(int r, enum coffer_finding_id id, struct coffer_err *e)
{
	return e && r < 0 && is_refusal(e) ? coffer_err_id(e, r, id) : r;
}

static int run_one(const struct check *t, struct coffer_preflight *g, struct coffer_finding *f,
	struct coffer_err *e)
{
	const int r = t->run(g, f, e);

	if (r == -ENOMEM && e && e->code == 0)
		return coffer_err_errno(e, ENOMEM, "check %s", g->dev->name);
	return coffer_preflight_mark(r, t->id, e);
}

int coffer_preflight_run(struct coffer_preflight *g, struct coffer_err *e)
{
	int r = 0;

	begin(g);
	for (int i = 0; i < N_CHECKS && r == 0; i++) {
		_cleanup_finding_ struct coffer_finding f = {0};

		if (!applies(&preflight[i], g, false))
			continue;
		r = run_one(&preflight[i], g, &f, e);
		if (r == 0 && f.verdict == COFFER_VERDICT_BAD)
			r = coffer_err_from_finding(e, g->dev->name, &f);
	}
	return r;
}

/* Run one check and add its finding. *ret_passed: those that need it can go on. */
static int list_one(const struct check *t, struct coffer_preflight *g, struct coffer_findings *list,
	bool *ret_passed, struct coffer_err *e)
{
	_cleanup_finding_ struct coffer_finding f = {0};
	struct coffer_err why = {0};
	enum coffer_outcome outcome;
	int r;

	r = run_one(t, g, &f, &why);
	if (r < 0 && !is_refusal(&why)) {
		if (e)
			*e = why;
		return r;
	}
	*ret_passed = r == 0 && f.verdict != COFFER_VERDICT_BAD;
	outcome = r < 0 ? why.outcome : f.outcome;
	if (outcome > g->outcome)
		g->outcome = outcome;
	r = r < 0 ? coffer_findings_add_err(list, t->id, g->dev->name, &why)
		  : coffer_findings_put(list, &f);
	if (r < 0)
		return coffer_err_errno(e, ENOMEM, "check %s", g->dev->name);
	return 0;
}

int coffer_preflight_list(
	struct coffer_preflight *g, bool quick, struct coffer_findings *l, struct coffer_err *e)
{
	bool passed[N_CHECKS] = {false};
	int r = 0;

	begin(g);
	for (int i = 0; i < N_CHECKS && r == 0; i++) {
		const struct check *t = &preflight[i];

		if (!applies(t, g, quick))
			continue;
		if (t->needs == NOTHING || passed[t->needs])
			r = list_one(t, g, l, &passed[i], e);
		else if (coffer_findings_print(l, t->id, COFFER_VERDICT_UNCHECKED, "depends on: %s",
				 coffer_finding_name(preflight[t->needs].id)) < 0)
			r = coffer_err_errno(e, ENOMEM, "look at %s", g->dev->name);
	}
	return r;
}
