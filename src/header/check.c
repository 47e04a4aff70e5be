/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check.c - everything about a LUKS2 header that can be seen without a key */
#include "coffer/header.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/findings.h"
#include "base/quote.h"
#include "convert/record.h"
#include "fs/signatures.h"
#include "header/check.h"
#include "header/judge_copies.h"
#include "luks2/header_read.h"
#include "luks2/metadata.h"

enum kind {
	KIND_NONE,
	KIND_LUKS1,
	KIND_HALF, /* coffer's own, while it comes or goes */
	KIND_LUKS2,
};

struct checker {
	struct coffer_dev *dev;
	struct coffer_header_report *report;
	struct coffer_header_copies look;
	char device[300]; /* quoted for a shell */
	enum kind kind;
	int counts;
	bool usable[2];
	bool cut_short; /* a copy is in order, but what it names is not all there */
	size_t judged;	/* checks that are of the copy that counts, or of both; others follow */
	uint64_t header_size, data_offset;
};

void coffer_header_report_free(struct coffer_header_report *r)
{
	if (!r)
		return;
	coffer_findings_free(&r->checks);
	free(r->device);
	free(r);
}

static int no_memory(const struct checker *c, struct coffer_err *e)
{
	return coffer_err_errno(e, ENOMEM, "judge the LUKS2 header of %s", c->dev->name);
}

/* --- which copy counts --- */

static bool both_whole(const struct checker *c)
{
	return c->look.copy[0].whole && c->look.copy[1].whole;
}

static bool have_one_text(const struct checker *c)
{
	const struct coffer_luks2_copy *a = &c->look.copy[0], *b = &c->look.copy[1];

	return both_whole(c) && a->text_size == b->text_size &&
	       a->bin.copy_size == b->bin.copy_size && memcmp(a->text, b->text, a->text_size) == 0;
}

/* A file that holds a header and no data, as a backup of a header does, and a header that lies on
 * another device than its data. */
static void note_kind(struct checker *c, const struct coffer_luks2_copy *look)
{
	c->header_size = coffer_metadata_header_size(look->json, look->bin.copy_size);
	c->data_offset = coffer_metadata_data_offset(look->json);
	c->report->only_header =
		c->data_offset == 0 || (!c->dev->is_block && c->dev->size <= c->data_offset);
}

static struct coffer_metadata metadata_of(const struct checker *c, int i)
{
	static const char *const names[] = {"first header copy", "second header copy"};
	const struct coffer_luks2_copy *look = &c->look.copy[i];

	return (struct coffer_metadata){
		.json = look->json,
		.text = look->text,
		.text_size = look->text_size,
		.accepted = look->accepted,
		.reason = look->reason,
		.device_size = c->report->only_header ? 0 : c->dev->size,
		.device = c->dev->name,
		.copy = both_whole(c) && !have_one_text(c) ? names[i] : "",
	};
}

/* libcryptsetup refuses a header that does not end before the device does. */
static bool is_all_there(const struct checker *c, int i)
{
	const struct coffer_luks2_copy *look = &c->look.copy[i];

	return coffer_metadata_header_size(look->json, look->bin.copy_size) <= c->dev->size;
}

/* Which copies can be used here, and which one counts? */
static void find_usable(struct checker *c)
{
	bool usable[2];

	for (int i = 0; i < 2; i++) {
		usable[i] = c->look.copy[i].accepted && is_all_there(c, i);
		c->cut_short = c->cut_short || (c->look.copy[i].accepted && !usable[i]);
	}
	c->counts = coffer_luks2_counts(c->look.copy, usable);
	memcpy(c->usable, usable, sizeof(usable));
}

/* --- what was found --- */

static int check_copies(struct checker *c)
{
	struct coffer_findings *l = &c->report->checks;
	int r = 0;

	for (int i = 0; i < 2 && r == 0; i++) {
		struct coffer_luks2_copy again = {.offset = c->look.copy[i].offset};

		r = coffer_luks2_copy_judge(c->look.data[i], c->look.n[i], &again, l);
		coffer_luks2_copy_reset(&again);
	}
	return r < 0 ? r : coffer_luks2_compare(c->look.copy, l);
}

static int check_size(struct checker *c)
{
	struct coffer_findings *l = &c->report->checks;
	const uint64_t size = c->dev->size;
	int r;

	if (c->header_size == 0)
		return 0; /* the metadata do not tell, which is a finding of its own */
	if (c->header_size > size) {
		r = coffer_findings_print(l, COFFER_FINDING_SIZE, COFFER_VERDICT_BAD,
			"the header and its keyslots take %" PRIu64 " bytes, and there are %" PRIu64
			" only",
			c->header_size, size);
		coffer_findings_advise(l, c->dev->is_block
						  ? "give the device its size back"
						  : "it was cut short: take another copy of it");
		return r;
	}
	if (c->report->only_header)
		return coffer_findings_print(l, COFFER_FINDING_SIZE, COFFER_VERDICT_UNCHECKED,
			"the header and its keyslots are here, but no data: whether those are all "
			"there cannot be told");
	return coffer_findings_print(l, COFFER_FINDING_SIZE, COFFER_VERDICT_OK,
		"the header and its keyslots take %" PRIu64 " of %" PRIu64 " bytes", c->header_size,
		size);
}

/* The rules of the metadata. First of the copy that counts, or of the first that is whole. */
static int check_metadata(struct checker *c)
{
	const struct coffer_luks2_copy *look = c->look.copy;
	const int first = c->counts >= 0 ? c->counts : !look[0].whole;
	struct coffer_metadata m = metadata_of(c, first);
	int r = 0;

	if (look[first].whole) {
		r = coffer_metadata_check(&m, &c->report->checks);
		if (r == 0)
			r = check_size(c);
	}
	c->judged = c->report->checks.n;
	if (r < 0 || have_one_text(c) || !look[!first].whole)
		return r;
	m = metadata_of(c, !first);
	m.only_bad = true;
	return coffer_metadata_check(&m, &c->report->checks);
}

/* Where another program's signature lies decides what can be done about it. */
static void remedy_signature(struct checker *c, uint64_t at)
{
	struct coffer_findings *l = &c->report->checks;
	const struct coffer_luks2_copy *look = &c->look.copy[c->counts >= 0 ? c->counts : 0];

	if (c->counts < 0 || at < 2 * look->bin.copy_size)
		return; /* as for the copy in which it lies */
	if (c->data_offset > 0 && at >= c->data_offset)
		coffer_findings_advise(l,
			"it lies among the data: see what it belongs to before anything is wiped: "
			"wipefs %s",
			c->device);
	else if (at >= c->header_size)
		coffer_findings_advise(l, "wipefs --backup --offset %" PRIu64 " %s", at, c->device);
	else
		coffer_findings_advise(l,
			"it lies in the keyslots area: coffer verify %s tells whether a keyslot "
			"was "
			"overwritten; if none was: wipefs --backup --offset %" PRIu64 " %s",
			c->device, at, c->device);
}

static int check_signatures(struct checker *c)
{
	struct coffer_findings *l = &c->report->checks;
	struct coffer_content content;
	struct coffer_err why = {0};
	int r;

	if (coffer_signatures_read(c->dev, 0, c->dev->size, &content, &why) < 0)
		return coffer_findings_print(
			l, COFFER_FINDING_SIGNATURE, COFFER_VERDICT_UNCHECKED, "%s", why.msg);
	if (!content.foreign[0])
		return coffer_findings_print(l, COFFER_FINDING_SIGNATURE, COFFER_VERDICT_OK,
			"no other signature than that of LUKS is to be seen");
	r = coffer_findings_print(l, COFFER_FINDING_SIGNATURE, COFFER_VERDICT_BAD,
		"a signature of '%s' lies at byte %" PRIu64
		" beside that of LUKS: other programs take the disk for that, or for nothing, and "
		"cryptsetup does not repair a torn header copy by itself",
		content.foreign, content.foreign_at);
	remedy_signature(c, content.foreign_at);
	return r;
}

/* --- the way out --- */

/* What brings the copy back that does not count. */
static void remedy_copy(struct checker *c, char *ret, size_t size)
{
	const struct coffer_luks2_copy *look = c->look.copy, *other = &look[!c->counts];
	const bool two = other->bin.uuid[0] && (!c->usable[!c->counts] || !have_one_text(c)) &&
			 strcmp(other->bin.uuid, look[c->counts].bin.uuid) != 0;
	char usual[sizeof(c->report->checks.items->advice) - 80];
	char meant[128] = "";

	coffer_copy_remedy(c->device,
		!look[0].magic && !bytes_are_zero(c->look.data[0], COFFER_BLOCK), usual,
		sizeof(usual));
	if (two)
		(void)snprintf(meant, sizeof(meant),
			"if %s is the volume that is meant, and not %s: ", look[c->counts].bin.uuid,
			other->bin.uuid);
	/* of equal numbers cryptsetup takes the first, and repairs nothing */
	if (c->usable[!c->counts] && other->bin.seqid == look[c->counts].bin.seqid &&
		(two || have_one_text(c)))
		(void)snprintf(ret, size,
			"%swrite both anew: cryptsetup config %s --label LABEL --subsystem NAME",
			meant, c->device);
	else if (two)
		(void)snprintf(ret, size, "%scryptsetup repair %s", meant, c->device);
	else
		(void)snprintf(ret, size, "%s", usual);
}

static bool is_of_a_copy(enum coffer_finding_id id)
{
	return id == COFFER_FINDING_HEADER_PRIMARY || id == COFFER_FINDING_HEADER_SECONDARY ||
	       id == COFFER_FINDING_COPIES || id == COFFER_FINDING_SIGNATURE;
}

/* Whatever is BAD and has no way out of its own. */
static void add_remedies(struct checker *c)
{
	struct coffer_findings *l = &c->report->checks;
	char copy[sizeof(l->items->advice)] = "", all[sizeof(l->items->advice)];

	if (c->report->only_header && !c->dev->is_block)
		(void)snprintf(all, sizeof(all), "take another backup of the header");
	else
		(void)snprintf(all, sizeof(all),
			"coffer header restore %s --header-backup-file FILE, with a backup from "
			"before",
			c->device);
	if (c->counts >= 0)
		remedy_copy(c, copy, sizeof(copy));
	for (size_t i = 0; i < l->n; i++) {
		struct coffer_finding *k = &l->items[i];
		const bool of_copy = i >= c->judged || is_of_a_copy(k->id);

		if (k->verdict == COFFER_VERDICT_BAD && !k->advice[0])
			(void)snprintf(k->advice, sizeof(k->advice), "%s",
				c->counts >= 0 && of_copy ? copy : all);
	}
}

static void fill_copies(struct checker *c)
{
	for (int i = 0; i < 2; i++) {
		struct coffer_header_copy *to = &c->report->copies[i];
		const struct coffer_luks2_copy *from = &c->look.copy[i];

		to->offset = from->offset;
		to->found = from->magic && !from->luks1;
		to->whole = from->whole;
		to->usable = c->usable[i];
		to->size = from->bin.copy_size;
		to->sequence = from->bin.seqid;
		memcpy(to->checksum, from->bin.checksum, sizeof(to->checksum));
		memcpy(to->uuid, from->bin.uuid, sizeof(to->uuid));
		memcpy(to->label, from->label, sizeof(to->label));
		memcpy(to->subsystem, from->subsystem, sizeof(to->subsystem));
		to->text_size = from->text_size;
	}
	c->report->counts = c->counts;
	c->report->locked = !c->look.unlocked;
}

/* --- the order of things --- */

/* There is no header to judge: what is there instead? */
static int tell_other(struct checker *c)
{
	struct coffer_findings *l = &c->report->checks;
	int r;

	if (c->kind == KIND_LUKS1)
		return coffer_findings_print(l, COFFER_FINDING_HEADER_PRIMARY, COFFER_VERDICT_NOTE,
			"the header is of LUKS1, which has one copy and no checksum: there is "
			"nothing to check it by");
	if (c->kind == KIND_NONE)
		return coffer_findings_print(l, COFFER_FINDING_HEADER_PRIMARY, COFFER_VERDICT_BAD,
			"there is no LUKS2 header");
	r = coffer_findings_print(l, COFFER_FINDING_STATE, COFFER_VERDICT_BAD,
		"coffer has begun to put a LUKS2 header here or to take it away, and was cut");
	coffer_findings_advise(l, "coffer status %s tells which command goes on", c->device);
	return r;
}

static int find_kind(const struct coffer_header_copies *l, enum kind *ret)
{
	struct coffer_transition t;
	int r;

	r = l->copy[0].magic || l->copy[0].luks1 ? -ENODATA
						 : coffer_transition_find(l->data[0], &t);
	if (r == -ENOMEM || r == -EIO)
		return r;
	if (l->copy[0].luks1)
		*ret = KIND_LUKS1;
	else if (r != -ENODATA) /* whatever the second copy is: it is coffer's to go on */
		*ret = KIND_HALF;
	else
		*ret = l->copy[0].magic || l->copy[1].magic ? KIND_LUKS2 : KIND_NONE;
	return 0;
}

static int check_all(struct checker *c)
{
	const struct coffer_luks2_copy *look = c->look.copy;
	int r;

	c->counts = -1;
	r = find_kind(&c->look, &c->kind);
	if (r < 0)
		return r;
	if (c->kind != KIND_LUKS2)
		return tell_other(c);
	/* The kind of the file is that of any copy whose metadata can be read. */
	for (int i = 1; i >= 0; i--)
		if (look[i].whole)
			note_kind(c, &look[i]);
	find_usable(c);
	if (c->counts >= 0)
		note_kind(c, &look[c->counts]);
	r = check_copies(c);
	if (r == 0)
		r = check_metadata(c);
	if (r == 0)
		r = check_signatures(c);
	if (r == 0)
		add_remedies(c);
	return r;
}

static int note_unlocked(struct checker *c)
{
	if (!c->look.unlocked)
		return 0;
	return coffer_findings_print(&c->report->checks, COFFER_FINDING_LOCKS, COFFER_VERDICT_NOTE,
		"read without cryptsetup's locks, which this user may not use");
}

static int check(struct checker *c, struct coffer_err *e)
{
	int r;

	c->report->device = strdup(c->dev->name);
	if (!c->report->device)
		return no_memory(c, e);
	c->report->size = c->dev->size;
	c->report->is_block = c->dev->is_block;
	coffer_quote(c->dev->name, c->device, sizeof(c->device));
	r = coffer_header_copies_read_locked(c->dev, &c->look, e);
	if (r < 0)
		return r;
	r = check_all(c);
	if (r == 0)
		r = note_unlocked(c);
	if (r < 0)
		return coffer_err_errno(e, -r, "judge the LUKS2 header of %s", c->dev->name);
	fill_copies(c);
	return 0;
}

/* The answer, once everything was looked at. */
static int conclude(const struct checker *c, struct coffer_err *e)
{
	const struct coffer_findings *l = &c->report->checks;
	const size_t bad = coffer_findings_count(l, COFFER_VERDICT_BAD);
	const char *name = c->dev->name;
	int r;

	if (c->kind == KIND_LUKS2 && c->counts < 0 && c->cut_short)
		return coffer_err_id(e,
			coffer_err_needs_repair(e, EUCLEAN,
				"%s is cut short: its LUKS2 header and the keyslots take %" PRIu64
				" bytes, and it has %" PRIu64,
				name, c->header_size, c->dev->size),
			COFFER_FINDING_SIZE);
	if (c->kind == KIND_LUKS2 && c->counts < 0)
		return coffer_err_id(e,
			coffer_err_needs_repair(e, EUCLEAN,
				"%s has a LUKS2 header, but no usable copy of it", name),
			COFFER_FINDING_HEADER_COPIES);
	if (c->kind == KIND_HALF)
		r = coffer_err_set(e, ENOTSUP,
			"%s: coffer was cut while it put a LUKS2 header here or took it away",
			name);
	else if (c->kind != KIND_LUKS2)
		r = coffer_err_id(e, coffer_err_set(e, ENOTSUP, "%s has no LUKS2 header", name),
			COFFER_FINDING_HEADER_PRIMARY);
	else if (bad > 0)
		r = coffer_err_set(
			e, EBADMSG, "%s: %zu of %zu checks found something wrong", name, bad, l->n);
	else
		return 0;
	coffer_err_outcome(e, COFFER_NO);
	return r;
}

int coffer_header_checks(struct coffer_dev *dev, struct coffer_findings *ret, struct coffer_err *e)
{
	struct checker c = {.dev = dev, .report = calloc(1, sizeof(*c.report))};
	int r;

	if (!c.report)
		return coffer_err_errno(e, ENOMEM, "look at the header of %s", dev->name);
	r = check(&c, e);
	*ret = (struct coffer_findings){0};
	if (r == 0 && c.kind == KIND_LUKS2) {
		*ret = c.report->checks;
		c.report->checks = (struct coffer_findings){0};
	}
	coffer_header_report_free(c.report);
	coffer_header_copies_reset(&c.look);
	return r;
}

int coffer_header_check(const struct coffer_header_check_options *o,
	struct coffer_header_report **ret, struct coffer_err *e)
{
	struct checker c = {0};
	int r;

	c.report = calloc(1, sizeof(*c.report));
	if (!c.report)
		return coffer_err_errno(e, ENOMEM, "header check");
	r = coffer_dev_open_reading(o->device, &c.dev, e);
	if (r == 0)
		r = check(&c, e);
	if (r < 0) {
		coffer_header_report_free(c.report);
	} else {
		r = conclude(&c, e);
		*ret = c.report;
	}
	coffer_header_copies_reset(&c.look);
	coffer_dev_close(c.dev);
	return coffer_err_wrap(e, r, "header check");
}
