/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check.c - check everything about a LUKS2 header that needs no key */
#include "header/check.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/findings.h"
#include "coffer/header.h"
#include "convert/record.h"
#include "fs/signatures.h"
#include "header/backup_file.h"
#include "header/judge_copies.h"
#include "luks2/header.h"
#include "luks2/metadata.h"

struct checker {
	struct coffer_dev *dev;
	struct coffer_header_report *report;
	struct coffer_header_copies on_disk;
	bool is_luks2;
	bool truncated; /* an accepted copy describes more than there is */
	int reference;	/* the copy that counts, or else one that is intact; -1: none */
	uint64_t header_size, data_offset; /* as the reference says */
};

void coffer_header_report_free(struct coffer_header_report *r)
{
	if (!r)
		return;
	coffer_findings_free(&r->checks);
	free(r->device);
	free(r);
}

/* --- which copy counts --- */

static uint64_t header_size(const struct coffer_luks2_copy *copy)
{
	return coffer_metadata_header_size(copy->json, copy->bin.copy_size);
}

/* Which copies are usable, and which one counts? libcryptsetup refuses a header that ends beyond
 * the device. */
static void choose_copy(struct checker *c)
{
	struct coffer_header_report *report = c->report;
	const struct coffer_luks2_copy *copy = c->on_disk.copy;
	bool usable[2];

	for (int i = 0; i < 2; i++) {
		usable[i] = copy[i].accepted && header_size(&copy[i]) <= c->dev->size;
		c->truncated = c->truncated || (copy[i].accepted && !usable[i]);
		report->copies[i].usable = usable[i];
	}
	report->counts = coffer_luks2_counts(copy, usable);
	c->reference = report->counts;
	for (int i = 1; i >= 0 && report->counts < 0; i--)
		if (copy[i].intact)
			c->reference = i;
	if (c->reference < 0)
		return;
	copy = &copy[c->reference];
	c->header_size = header_size(copy);
	c->data_offset = coffer_metadata_data_offset(copy->json);
	report->only_header =
		c->data_offset == 0 || (!c->dev->is_block && c->dev->size <= c->data_offset);
}

/* --- checks --- */

/* Does coffer's trailer, or a part of it, follow the header? Then the file is a backup, and a
 * restore must accept it. Without the trailer's magic its length decides: cryptsetup's file ends
 * with the header, and an image has more data. */
static int check_backup(struct checker *c)
{
	const uint64_t size = c->dev->size, header = c->header_size;
	_cleanup_free_ uint8_t *file = NULL;
	uint8_t block[COFFER_TRAILER_SIZE];
	struct coffer_backup backup = {0};
	struct coffer_trailer trailer;
	struct coffer_err why = {0};
	int r = 0;

	if (c->dev->is_block || header == 0 || size <= header ||
		size > COFFER_MAX_HEADER_IMAGE + COFFER_TRAILER_SIZE)
		return 0;
	if (size > header + sizeof(block)) {
		r = coffer_dev_read(c->dev, block, sizeof(block), header, &why);
		if (r == 0 && coffer_trailer_decode(block, &trailer) == -ENODATA)
			return 0;
	}
	file = malloc(size);
	if (!file)
		return -ENOMEM;
	if (r == 0)
		r = coffer_dev_read(c->dev, file, size, 0, &why);
	if (r == 0)
		r = coffer_backup_read(file, size, &backup, &why);
	coffer_backup_reset(&backup);
	if (r < 0 && r != -EBADMSG && r != -ENODATA && r != -EOPNOTSUPP)
		return r;
	c->report->only_header = true;
	return coffer_findings_add(&c->report->checks,
		r == 0		   ? COFFER_TEXT_RESTORE_SEALED
		: r == -EOPNOTSUPP ? COFFER_TEXT_CHECK_BACKUP_NEWER
				   : COFFER_TEXT_CHECK_BACKUP_DAMAGED,
		r == 0 ? NULL : COFFER_WITH(COFFER_ARG_TEXT("reason", why.msg)), NULL);
}

static int check_copies(struct checker *c)
{
	struct coffer_facts f = {
		.block_0_is_empty = bytes_are_zero(c->on_disk.data[0], COFFER_BLOCK),
		.block_0_is_ours = c->on_disk.copy[0].magic};

	coffer_copies_judge(c->on_disk.copy, &f.header);
	return coffer_judge_copies(&f, c->dev->name, &c->report->checks);
}

static int check_metadata(struct checker *c)
{
	const struct coffer_luks2_copy *copy = &c->on_disk.copy[c->reference];
	const struct coffer_metadata m = {
		.json = copy->json,
		.text = copy->text,
		.text_size = copy->text_size,
		.device_size = c->report->only_header ? 0 : c->dev->size,
		.device = c->dev->name,
	};

	return copy->accepted ? coffer_metadata_check(&m, &c->report->checks) : 0;
}

static int check_size(struct checker *c)
{
	const uint64_t size = c->dev->size;
	enum coffer_text t = COFFER_TEXT_CHECK_SIZE;

	if (c->header_size == 0)
		return 0; /* that is a finding about the metadata */
	if (c->header_size > size)
		t = COFFER_TEXT_CHECK_SIZE_TRUNCATED;
	else if (c->report->only_header)
		t = COFFER_TEXT_CHECK_SIZE_NO_DATA;
	return coffer_findings_add(&c->report->checks, t,
		COFFER_WITH(COFFER_ARG_NUMBER("needed", c->header_size),
			COFFER_ARG_NUMBER("size", size)),
		NULL);
}

/* A signature in a header copy has that copy's advice. */
static int check_signatures(struct checker *c)
{
	struct coffer_findings *l = &c->report->checks;
	const int counts = c->report->counts;
	struct coffer_content content;
	struct coffer_err why = {0};
	bool in_copies, in_data, inside;
	char offset[24];

	if (coffer_signatures_read(c->dev, 0, c->dev->size, &content, &why) < 0)
		return coffer_findings_add(l, COFFER_TEXT_CHECK_SIGNATURE_UNREAD,
			COFFER_WITH(COFFER_ARG_TEXT("reason", why.msg)), NULL);
	if (!content.foreign[0])
		return coffer_findings_add(l, COFFER_TEXT_CHECK_SIGNATURE, NULL, NULL);
	in_copies = counts < 0 || content.foreign_at < 2 * c->on_disk.copy[counts].bin.copy_size;
	in_data = c->data_offset > 0 && content.foreign_at >= c->data_offset;
	inside = !in_copies && (in_data || content.foreign_at < c->header_size);
	(void)snprintf(offset, sizeof(offset), "%" PRIu64, content.foreign_at);
	return coffer_findings_add(l,
		inside ? COFFER_TEXT_CHECK_SIGNATURE_INSIDE : COFFER_TEXT_CHECK_SIGNATURE_OTHER,
		COFFER_WITH(COFFER_ARG_TEXT("signature", content.foreign),
			COFFER_ARG_NUMBER("offset", content.foreign_at)),
		in_copies ? NULL
		: in_data ? COFFER_RUN("wipefs", c->dev->name)
			  : COFFER_RUN("wipefs", "--backup", "--offset", offset, c->dev->name));
}

/* --- advice --- */

/* Give @k the advice of the sentence @t. */
static int advise(struct coffer_finding *k, enum coffer_text t, const char *const *remedy)
{
	_cleanup_finding_ struct coffer_finding f = {0};
	const int r = coffer_finding_make(&f, t, NULL, remedy);

	if (r < 0)
		return r;
	memcpy(k->advice, f.advice, sizeof(k->advice));
	k->remedy = TAKE_PTR(f.remedy);
	return 0;
}

/* For each BAD finding that has none. */
static int add_advice(struct checker *c)
{
	struct coffer_findings *l = &c->report->checks;
	int r = 0;

	for (size_t i = 0; i < l->n && r == 0; i++) {
		struct coffer_finding *k = &l->items[i];

		if (k->verdict != COFFER_VERDICT_BAD || k->advice[0])
			continue;
		if (c->report->counts >= 0 && k->id == COFFER_FINDING_SIGNATURE)
			r = advise(k, COFFER_TEXT_COPY_BAD,
				COFFER_RUN("coffer", "repair", "--dry-run", c->dev->name));
		else if (c->report->only_header && !c->dev->is_block)
			r = advise(k, COFFER_TEXT_CHECK_FILE_ADVICE, NULL);
		else
			r = advise(k, COFFER_TEXT_CHECK_RESTORE_ADVICE,
				COFFER_RUN("coffer", "header", "restore", c->dev->name,
					"--header-backup-file", "FILE"));
	}
	return r;
}

/* --- all of it --- */

static int check_luks2(struct checker *c)
{
	int r;

	choose_copy(c);
	r = check_backup(c);
	if (r == 0)
		r = check_copies(c);
	if (r == 0 && c->reference >= 0)
		r = check_metadata(c);
	if (r == 0 && c->reference >= 0)
		r = check_size(c);
	if (r == 0)
		r = check_signatures(c);
	return r < 0 ? r : add_advice(c);
}

static void fill_copies(struct checker *c)
{
	for (int i = 0; i < 2; i++) {
		struct coffer_header_copy *to = &c->report->copies[i];
		const struct coffer_luks2_copy *from = &c->on_disk.copy[i];

		to->offset = from->offset;
		to->found = from->magic && !from->luks1;
		to->intact = from->intact;
		to->size = from->bin.copy_size;
		to->sequence = from->bin.seqid;
		memcpy(to->checksum, from->bin.checksum, sizeof(to->checksum));
		memcpy(to->uuid, from->bin.uuid, sizeof(to->uuid));
		memcpy(to->label, from->label, sizeof(to->label));
		memcpy(to->subsystem, from->subsystem, sizeof(to->subsystem));
		to->text_size = from->text_size;
	}
	c->report->counts = -1;
	c->report->locked = !c->on_disk.unlocked;
}

static int check_all(struct checker *c)
{
	const struct coffer_luks2_copy *copy = c->on_disk.copy;
	struct coffer_findings *l = &c->report->checks;
	struct coffer_record t;
	int r = -ENODATA;

	if (!copy[0].magic)
		r = coffer_transition_find(c->on_disk.data[0], &t);
	if (r == -ENOMEM || r == -EIO)
		return r;
	c->is_luks2 = r == -ENODATA && !copy[0].luks1 && (copy[0].magic || copy[1].magic);
	if (c->is_luks2)
		r = check_luks2(c);
	else if (r != -ENODATA) /* with any second copy */
		r = coffer_findings_add(l, COFFER_TEXT_CHECK_PARTIAL, NULL,
			COFFER_RUN("coffer", "status", c->dev->name));
	else
		r = coffer_findings_add(l,
			copy[0].luks1 ? COFFER_TEXT_CHECK_LUKS1 : COFFER_TEXT_CHECK_NO_HEADER, NULL,
			NULL);
	if (r == 0 && c->on_disk.unlocked)
		r = coffer_findings_add(l, COFFER_TEXT_HEADER_UNLOCKED, NULL, NULL);
	return r;
}

static int check(struct checker *c, struct coffer_err *e)
{
	int r;

	c->report = calloc(1, sizeof(*c->report));
	if (c->report)
		c->report->device = strdup(c->dev->name);
	if (!c->report || !c->report->device)
		return coffer_err_errno(e, ENOMEM, "check the LUKS2 header of %s", c->dev->name);
	c->report->size = c->dev->size;
	c->report->is_block = c->dev->is_block;
	r = coffer_header_copies_read(c->dev, &c->on_disk, e);
	if (r < 0)
		return r;
	fill_copies(c);
	r = check_all(c);
	return r < 0 ? coffer_err_errno(e, -r, "check the LUKS2 header of %s", c->dev->name) : 0;
}

static int conclude(const struct checker *c, struct coffer_err *e)
{
	const struct coffer_findings *l = &c->report->checks;
	const size_t bad = coffer_findings_count(l, COFFER_VERDICT_BAD);
	const char *name = c->dev->name;

	if (!c->is_luks2)
		return coffer_err_id(e, coffer_err_no(e, ENOTSUP, "%s: %s", name, l->items[0].text),
			l->items[0].id);
	if (c->report->counts < 0 && c->truncated)
		return coffer_err_id(e,
			coffer_err_needs_repair(e, EUCLEAN,
				"%s: truncated: header and keyslots need %" PRIu64
				" bytes, but there are only %" PRIu64,
				name, c->header_size, c->dev->size),
			COFFER_FINDING_SIZE);
	if (c->report->counts < 0)
		return coffer_err_id(e,
			coffer_err_needs_repair(
				e, EUCLEAN, "%s: no usable copy of the LUKS2 header", name),
			COFFER_FINDING_HEADER_COPIES);
	if (bad > 0)
		return coffer_err_no(e, EBADMSG, "%s: %zu of %zu checks failed", name, bad, l->n);
	return 0;
}

int coffer_header_checks(struct coffer_dev *dev, struct coffer_findings *ret, struct coffer_err *e)
{
	struct checker c = {.dev = dev};
	const int r = check(&c, e);

	*ret = (struct coffer_findings){0};
	if (r == 0 && c.is_luks2) {
		*ret = c.report->checks;
		c.report->checks = (struct coffer_findings){0};
	}
	coffer_header_report_free(c.report);
	coffer_header_copies_reset(&c.on_disk);
	return r;
}

int coffer_header_check(const struct coffer_header_check_options *o,
	struct coffer_header_report **ret, struct coffer_err *e)
{
	_cleanup_dev_ struct coffer_dev *dev = NULL;
	struct checker c = {0};
	int r;

	r = coffer_dev_open_reading(o->device, &dev, e);
	c.dev = dev;
	if (r == 0)
		r = check(&c, e);
	if (r == 0) {
		r = conclude(&c, e);
		*ret = TAKE_PTR(c.report);
	}
	coffer_header_report_free(c.report);
	coffer_header_copies_reset(&c.on_disk);
	return coffer_err_default(e, r);
}
