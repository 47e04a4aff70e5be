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
#include "base/quote.h"
#include "base/size.h"
#include "convert/disk.h"
#include "convert/new_header.h"

/* One guard's look at the disk. What it says is for the list, where it passes; "" stands for the
 * usual sentence of its row. */
struct look {
	struct coffer_preflight *g;
	enum coffer_verdict verdict;
	char said[400];
};

__attribute__((format(printf, 3, 4))) static void say(
	struct look *l, enum coffer_verdict v, const char *fmt, ...)
{
	va_list ap;

	l->verdict = v;
	va_start(ap, fmt);
	(void)vsnprintf(l->said, sizeof(l->said), fmt, ap);
	va_end(ap);
}

/* Does libblkid name the same kind as our reader? ext2 and ext3 are one kind here, and so is a
 * journal that lies alone. */
static bool same_kind(const char *type, enum coffer_fs_kind kind)
{
	if (kind == COFFER_FS_EXT)
		return strncmp(type, "ext", 3) == 0 || strcmp(type, "jbd") == 0;
	return strcmp(type, coffer_fs_name(kind)) == 0;
}

/* LUKS2 on a disk on which nothing was begun when it was examined: a header that nobody can trust,
 * or one that another program has placed since. */
static int refuse_luks2(struct coffer_dev *d, struct coffer_err *e)
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
		return coffer_err_refuse(e, EBUSY,
			"another program has just begun on %s; run the same command again",
			d->name);
	if (second)
		return coffer_err_needs_repair(e, EUCLEAN,
			"%s has lost the first copy of its LUKS2 header, the second one is whole; "
			"see what %s would do; nothing was changed",
			d->name, coffer_command("coffer repair --dry-run", d->name).s);
	return coffer_err_needs_repair(e, EUCLEAN,
		"%s has a magic of LUKS2, but no header to be trusted; restore a backup of "
		"the header with 'coffer header restore'; keep a copy of the disk "
		"first; nothing was changed",
		d->name);
}

static int check_content(struct look *l, struct coffer_err *e)
{
	struct coffer_dev *d = l->g->dev;
	struct coffer_content *c = &l->g->content;
	int r;

	r = coffer_signatures_read(d, 0, d->size, c, e);
	if (r < 0)
		return r;
	if (c->luks2)
		return refuse_luks2(d, e);
	if (c->luks)
		return coffer_disk_refuse_encrypted(d, e);
	if (c->suspended)
		return coffer_err_refuse(e, EBUSY,
			"%s holds the memory of a hibernated system; resume and shut it down, or "
			"run mkswap on it",
			d->name);
	if (c->partitions[0])
		return coffer_err_refuse(e, EINVAL,
			"%s holds a partition table (%s); name one of its partitions", d->name,
			c->partitions);
	return 0;
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

/* A filesystem that both libblkid and the reader know, or an explicit size. */
static int check_filesystem(struct look *l, struct coffer_err *e)
{
	struct coffer_dev *d = l->g->dev;
	const char *type = l->g->content.type;
	struct coffer_fs *fs = &l->g->fs;
	bool unknown_content;
	int r;

	if (d->size < COFFER_FS_HEAD)
		return coffer_err_refuse(e, ENOSPC,
			"%s has %" PRIu64 " bytes: too small for any filesystem coffer knows",
			d->name, d->size);
	r = read_superblock(d, fs, e);
	if (r < 0)
		return r;
	if (fs->kind != COFFER_FS_NONE && type[0] && !same_kind(type, fs->kind))
		return coffer_err_refuse(e, EUCLEAN,
			"%s looks like %s and like %s; wipe the wrong signature first (wipefs)",
			d->name, type, coffer_fs_name(fs->kind));
	if (fs->kind != COFFER_FS_NONE) {
		say(l, COFFER_VERDICT_OK, "it is %s and ends at byte %" PRIu64,
			coffer_fs_name(fs->kind), fs->end);
		return 0;
	}
	r = coffer_dev_has_unknown_content(d, &l->g->content, &unknown_content, e);
	if (r < 0)
		return r;
	if (l->g->o->device_size == 0)
		return coffer_err_refuse(e, EMEDIUMTYPE,
			"%s holds %s, whose end coffer cannot tell%s; %s how many bytes are in "
			"use with --device-size",
			d->name, type[0] ? type : "nothing that is known",
			unknown_content ? ": " COFFER_LOST_HEADER : "",
			unknown_content ? "else say" : "say");
	say(l, COFFER_VERDICT_NOTE,
		"it holds %s; --device-size says that the first %" PRIu64 " bytes are in use%s",
		type[0] ? type : "nothing that is known", l->g->o->device_size,
		unknown_content ? "; " COFFER_LOST_HEADER : "");
	return 0;
}

static int check_one_device(struct look *l, struct coffer_err *e)
{
	const struct coffer_fs *fs = &l->g->fs;

	if (fs->other_part)
		return coffer_err_refuse(e, EXDEV,
			"%s is %s, but %s; what is encrypted must lie on one device",
			l->g->dev->name, coffer_fs_name(fs->kind), fs->other_part);
	if (fs->kind == COFFER_FS_NONE)
		say(l, COFFER_VERDICT_UNCHECKED,
			"whether a part of it lies elsewhere cannot be told of content that is not "
			"known");
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
		coffer_err_append(e, "%suse --reduce-device-size %" PRIu64 "M", before, fits >> 20);
	else
		coffer_err_append(e, "; no smaller reserve fits either (2M is the least)");
}

static void name_shrinking(const struct coffer_dev *d, uint64_t reserve, struct coffer_err *e)
{
	char name[1024];
	const char *quote;

	coffer_quote(d->name, name, sizeof(name));
	quote = coffer_quote_around(name);
	coffer_err_append(e, "; an ext4 shrinks by %se2fsck -f %s && resize2fs %s %" PRIu64 "K%s",
		quote, name, name, round_down_u64(d->size - reserve, 65536) / 1024, quote);
	if (!d->is_block)
		coffer_err_append(e,
			", then the image gets its size back by %struncate -s %" PRIu64 " %s%s",
			quote, d->size, name, quote);
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
		name_shrinking(d, reserve, e);
	if (kind == COFFER_FS_XFS)
		coffer_err_append(e, "; an xfs cannot shrink, so make room behind it");
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

static int check_room(struct look *l, struct coffer_err *e)
{
	const struct coffer_encrypt_options *o = l->g->o;
	const struct coffer_dev *d = l->g->dev;
	const struct coffer_fs *fs = &l->g->fs;
	struct coffer_geometry *g = &l->g->geometry;
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
	say(l, COFFER_VERDICT_OK, "%s lie behind the content's end, the reserve takes %s",
		coffer_size_format(d->size - end).s, coffer_size_format(reserve).s);
	return 0;
}

/* 4096 only where device, data and filesystem can live with it. */
static int check_sector_size(struct look *l, struct coffer_err *e)
{
	const struct coffer_encrypt_options *o = l->g->o;
	const struct coffer_dev *d = l->g->dev;
	const struct coffer_fs *fs = &l->g->fs;
	struct coffer_geometry *g = &l->g->geometry;
	/* The device itself too: the finished volume reaches to its end. */
	const bool aligned = d->size % 4096 == 0 && g->device % 4096 == 0 && g->length % 4096 == 0;
	const bool fs_can = fs->kind != COFFER_FS_NONE && fs->block_size >= 4096;
	int r;

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
	r = coffer_geometry_check(g, e);
	if (r < 0) {
		coffer_err_outcome(e, COFFER_REFUSED);
		return coffer_err_wrap(e, r, "%s", d->name);
	}
	say(l, COFFER_VERDICT_OK, "the volume gets sectors of %" PRIu32 " bytes", g->sector_size);
	return 0;
}

static int check_header(struct look *l, struct coffer_err *e)
{
	const uint64_t shift = l->g->geometry.shift;

	l->g->format = coffer_new_header_format(l->g->o, shift);
	say(l, COFFER_VERDICT_OK, "a header with these options fits before byte %" PRIu64, shift);
	return coffer_new_header_check(&l->g->format, shift, e);
}

static int check_hibernation(struct look *l, struct coffer_err *e)
{
	(void)l;
	return coffer_refuse_hibernation(e);
}

enum {
	CONTENT,
	FILESYSTEM,
	ONE_DEVICE,
	ROOM,
	SECTOR_SIZE,
	HEADER,
	HIBERNATION,
	N_GUARDS,
	NOTHING = -1
};

static const struct guard {
	enum coffer_finding_id id;
	int (*check)(struct look *l, struct coffer_err *e);
	const char *passed; /* what is true then */
	const char *gives;  /* to those that need it */
	int needs;	    /* an earlier row that must have passed */
	bool elsewhere;	    /* looks at other block devices: for a block device only */
} preflight[] = {
	[CONTENT] = {COFFER_FINDING_CONTENT, check_content,
		"it holds no LUKS, no hibernated system and no partition table",
		"content that can be encrypted", NOTHING, false},
	[FILESYSTEM] = {COFFER_FINDING_FILESYSTEM, check_filesystem, "", "the filesystem's end",
		CONTENT, false},
	[ONE_DEVICE] = {COFFER_FINDING_SINGLE_DEVICE, check_one_device,
		"no part of the filesystem lies on another device", "", FILESYSTEM, false},
	[ROOM] = {COFFER_FINDING_RESERVE, check_room, "", "the layout", FILESYSTEM, false},
	[SECTOR_SIZE] = {COFFER_FINDING_SECTOR_SIZE, check_sector_size, "", "", ROOM, false},
	[HEADER] = {COFFER_FINDING_HEADER, check_header, "", "", NOTHING, false},
	[HIBERNATION] = {COFFER_FINDING_HIBERNATION, check_hibernation,
		"no hibernated system is to be seen on this machine's swaps", "", NOTHING, true},
};
_Static_assert(ARRAY_SIZE(preflight) == N_GUARDS, "every guard has a row");

static void begin(struct coffer_preflight *g)
{
	g->geometry.shift = (g->o->reserve ? g->o->reserve : COFFER_RESERVE) / 2;
}

static bool applies(const struct guard *t, const struct coffer_preflight *g, bool quick)
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

int coffer_preflight_run(struct coffer_preflight *g, struct coffer_err *e)
{
	int r = 0;

	begin(g);
	for (int i = 0; i < N_GUARDS && r == 0; i++) {
		struct look l = {.g = g};

		if (applies(&preflight[i], g, false))
			r = coffer_preflight_mark(preflight[i].check(&l, e), preflight[i].id, e);
	}
	return r;
}

/* Bytes of a sentence without its full stop, which libraries like to put. */
static int sentence(const char *text, size_t n)
{
	return (int)(n > 0 && text[n - 1] == '.' ? n - 1 : n);
}

int coffer_preflight_add_refusal(struct coffer_findings *l, enum coffer_finding_id id,
	const char *name, const struct coffer_err *why, struct coffer_err *e)
{
	const size_t n = strlen(name);
	const char *msg = why->msg;
	const char *cut = strstr(strncmp(msg, name, n) == 0 ? msg + n : msg, "; ");
	const size_t length = cut ? (size_t)(cut - msg) : strlen(msg);

	if (coffer_findings_add(l, id, COFFER_VERDICT_BAD, "%.*s", sentence(msg, length), msg) < 0)
		return coffer_err_errno(e, ENOMEM, "look at %s", name);
	if (cut)
		coffer_findings_remedy(l, "%.*s", sentence(cut + 2, strlen(cut + 2)), cut + 2);
	return 0;
}

/* Run one guard and add what it says. *ret_passed: those that need it can go on. */
static int list_one(const struct guard *t, struct coffer_preflight *g, struct coffer_findings *list,
	bool *ret_passed, struct coffer_err *e)
{
	struct look l = {.g = g};
	struct coffer_err why = {0};
	int r;

	r = t->check(&l, &why);
	*ret_passed = r == 0;
	if (r < 0 && !is_refusal(&why)) {
		if (e)
			*e = why;
		return r;
	}
	if (why.outcome > g->outcome)
		g->outcome = why.outcome;
	if (r < 0)
		return coffer_preflight_add_refusal(list, t->id, g->dev->name, &why, e);
	if (coffer_findings_add(list, t->id, l.verdict, "%s", l.said[0] ? l.said : t->passed) < 0)
		return coffer_err_errno(e, ENOMEM, "look at %s", g->dev->name);
	return 0;
}

int coffer_preflight_list(
	struct coffer_preflight *g, bool quick, struct coffer_findings *l, struct coffer_err *e)
{
	bool passed[N_GUARDS] = {false};
	int r = 0;

	begin(g);
	for (int i = 0; i < N_GUARDS && r == 0; i++) {
		const struct guard *t = &preflight[i];

		if (!applies(t, g, quick))
			continue;
		if (t->needs == NOTHING || passed[t->needs])
			r = list_one(t, g, l, &passed[i], e);
		else if (coffer_findings_add(l, t->id, COFFER_VERDICT_UNCHECKED, "needs %s",
				 preflight[t->needs].gives) < 0)
			r = coffer_err_errno(e, ENOMEM, "look at %s", g->dev->name);
	}
	return r;
}
