/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* copy_check.c - one copy of a LUKS2 header, looked at closely; and two held against each other */
#include "luks2/copy_check.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/findings.h"

/* Offsets within the binary block. */
enum {
	AT_VERSION = 6,
	AT_COPY_SIZE = 8,
	AT_LABEL = 24,
	AT_CHECKSUM_ALG = 72,
	AT_UUID = 168,
	AT_SUBSYSTEM = 208,
	AT_COPY_OFFSET = 256,
	AT_PADDING = 264,
	AT_CHECKSUM = 448,
	AT_PADDING_2 = 512,
	LABEL_SIZE = 48,
};

static bool is_second(const struct coffer_luks2_copy *look)
{
	return look->offset != 0;
}

/* What is said of one copy; r remembers the first failure. */
struct telling {
	const struct coffer_luks2_copy *look;
	struct coffer_findings *l;
	bool wrong;
	int r;
};

__attribute__((format(printf, 3, 4))) static void say(
	struct telling *t, enum coffer_verdict verdict, const char *fmt, ...)
{
	char text[400];
	va_list ap;
	int r = 0;

	t->wrong = t->wrong || verdict == COFFER_VERDICT_BAD;
	if (!t->l)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	r = coffer_findings_print(t->l,
		is_second(t->look) ? COFFER_FINDING_HEADER_SECONDARY
				   : COFFER_FINDING_HEADER_PRIMARY,
		verdict, "the %s header copy%s", is_second(t->look) ? "second" : "first", text);
	if (t->r == 0)
		t->r = r;
}

static bool is_terminated(const uint8_t *text, size_t n)
{
	return memchr(text, 0, n) != NULL;
}

static bool is_copy_size(uint64_t size)
{
	return size >= COFFER_LUKS2_MIN_COPY && size <= COFFER_LUKS2_MAX_COPY &&
	       (size & (size - 1)) == 0;
}

uint64_t coffer_luks2_copy_size(const uint8_t block[COFFER_LUKS2_BIN], uint64_t offset)
{
	struct coffer_luks2_bin bin;

	return coffer_luks2_bin_read(block, offset, &bin) == 0 ? bin.copy_size : 0;
}

/* A binary block that luks2hdr does not take: why? */
static void tell_block(struct telling *t, const uint8_t *block)
{
	const uint64_t size = get_be64(block + AT_COPY_SIZE);
	const uint64_t offset = get_be64(block + AT_COPY_OFFSET);
	const unsigned int version = get_be16(block + AT_VERSION);

	if (version != 2) {
		say(t, COFFER_VERDICT_BAD, " is of version %u, which is not known here", version);
		return;
	}
	if (!is_copy_size(size))
		say(t, COFFER_VERDICT_BAD,
			" says that it has %" PRIu64
			" bytes; that is no power of two from 16 KiB to 4 MiB",
			size);
	else if (t->look->offset != 0 && size != t->look->offset)
		say(t, COFFER_VERDICT_BAD,
			" says that it has %" PRIu64
			" bytes, so it does not belong to byte %" PRIu64,
			size, t->look->offset);
	if (offset != t->look->offset)
		say(t, COFFER_VERDICT_BAD,
			" says that it belongs to byte %" PRIu64 ", but lies at byte %" PRIu64,
			offset, t->look->offset);
	if (!is_terminated(block + AT_UUID, 40))
		say(t, COFFER_VERDICT_BAD, " has a UUID that does not end");
	if (!is_terminated(block + AT_CHECKSUM_ALG, 32))
		say(t, COFFER_VERDICT_BAD, " names a checksum whose name does not end");
}

static void take_label(const uint8_t *at, char ret[LABEL_SIZE + 1])
{
	memcpy(ret, at, LABEL_SIZE);
	ret[LABEL_SIZE] = '\0';
}

/* The fields that no reader depends on. */
static void tell_oddities(struct telling *t, const uint8_t *block)
{
	if (!is_terminated(block + AT_LABEL, LABEL_SIZE))
		say(t, COFFER_VERDICT_BAD, " has a label that does not end");
	if (!is_terminated(block + AT_SUBSYSTEM, LABEL_SIZE))
		say(t, COFFER_VERDICT_BAD, " has a subsystem whose name does not end");
	if (!bytes_are_zero(block + AT_PADDING, AT_CHECKSUM - AT_PADDING) ||
		!bytes_are_zero(block + AT_PADDING_2, COFFER_LUKS2_BIN - AT_PADDING_2))
		say(t, COFFER_VERDICT_NOTE, " has something in bytes that are not in use");
}

/* Its JSON area, of a copy with the right checksum. */
static void tell_area(struct telling *t, const char *text, size_t area)
{
	const size_t n = strnlen(text, area);

	if (text[0] != '{')
		say(t, COFFER_VERDICT_BAD, " has metadata that do not begin with '{'");
	else if (n == area)
		say(t, COFFER_VERDICT_BAD,
			" has metadata that fill their area, without a NUL behind them");
	else if (!bytes_are_zero(text + n, area - n))
		say(t, COFFER_VERDICT_BAD,
			" has something behind its metadata, which end at byte %zu of their area",
			n);
	else
		say(t, COFFER_VERDICT_BAD, " has metadata that are not one JSON object");
}

static int look_inside(struct telling *t, const uint8_t *copy, struct coffer_luks2_copy *look)
{
	const size_t area = look->bin.copy_size - COFFER_LUKS2_BIN;
	const char *text;
	size_t n;
	int r;

	r = coffer_luks2_copy_sum(copy, &look->bin);
	if (r == -EOPNOTSUPP)
		say(t, COFFER_VERDICT_BAD, " has a checksum '%s', which is not known here",
			look->bin.checksum);
	else if (r == -EBADMSG)
		say(t, COFFER_VERDICT_BAD, " is torn: its %s checksum is wrong",
			look->bin.checksum);
	if (r < 0)
		return r == -EOPNOTSUPP || r == -EBADMSG ? 0 : r;
	tell_oddities(t, copy);
	r = coffer_luks2_copy_check(copy, &look->bin, &text, &n);
	if (r == 0)
		r = coffer_json_parse(text, n, &look->json);
	if (r == -EBADMSG)
		tell_area(t, (const char *)copy + COFFER_LUKS2_BIN, area);
	if (r < 0)
		return r == -EBADMSG ? 0 : r;
	look->whole = true;
	look->text = text;
	look->text_size = n;
	return 0;
}

int coffer_luks2_copy_judge(
	const uint8_t *copy, size_t n, struct coffer_luks2_copy *look, struct coffer_findings *l)
{
	struct telling t = {.look = look, .l = l};
	int r;

	look->magic = coffer_luks2_magic(copy, is_second(look));
	if (!look->magic) {
		say(&t, COFFER_VERDICT_BAD, " is not where it must be, at byte %" PRIu64,
			look->offset);
		return t.r;
	}
	look->luks1 = !is_second(look) && get_be16(copy + AT_VERSION) == 1;
	if (look->luks1)
		return 0;
	if (coffer_luks2_bin_read(copy, look->offset, &look->bin) < 0) {
		tell_block(&t, copy);
		return t.r;
	}
	take_label(copy + AT_LABEL, look->label);
	take_label(copy + AT_SUBSYSTEM, look->subsystem);
	if (n < look->bin.copy_size) {
		say(&t, COFFER_VERDICT_BAD,
			" has %" PRIu64 " bytes, but only %zu of them are there",
			look->bin.copy_size, n);
		return t.r;
	}
	look->copy = copy;
	r = look_inside(&t, copy, look);
	if (r == 0 && !t.wrong)
		say(&t, COFFER_VERDICT_OK,
			" is whole: sequence number %" PRIu64 ", %s, %zu of %" PRIu64
			" bytes of metadata",
			look->bin.seqid, look->bin.checksum, look->text_size,
			look->bin.copy_size - COFFER_LUKS2_BIN);
	return r < 0 ? r : t.r;
}

void coffer_luks2_copy_reset(struct coffer_luks2_copy *look)
{
	coffer_json_free(look->json);
	*look = (struct coffer_luks2_copy){.offset = look->offset};
}

int coffer_luks2_counts(const struct coffer_luks2_copy look[2], const bool usable[2])
{
	if (usable[0] && usable[1])
		return look[1].bin.seqid > look[0].bin.seqid;
	return usable[0] ? 0 : usable[1] ? 1 : -1;
}

/* The first field of two copies of one sequence number that is not the same; NULL: all are. */
static const char *difference(const struct coffer_luks2_copy *a, const struct coffer_luks2_copy *b)
{
	if (a->text_size != b->text_size || memcmp(a->text, b->text, a->text_size) != 0)
		return "metadata";
	if (strcmp(a->label, b->label) != 0)
		return "labels";
	if (strcmp(a->subsystem, b->subsystem) != 0)
		return "subsystems";
	return strcmp(a->bin.checksum, b->bin.checksum) != 0 ? "checksums" : NULL;
}

int coffer_luks2_compare(const struct coffer_luks2_copy look[2], struct coffer_findings *l)
{
	const struct coffer_luks2_copy *a = &look[0], *b = &look[1];
	const char *what;

	if (!a->whole || !b->whole)
		return 0; /* nothing to compare; which one is not is told */
	if (strcmp(a->bin.uuid, b->bin.uuid) != 0)
		return coffer_findings_print(l, COFFER_FINDING_COPIES, COFFER_VERDICT_BAD,
			"the header copies are of two volumes, %s and %s", a->bin.uuid,
			b->bin.uuid);
	if (a->bin.seqid != b->bin.seqid)
		return coffer_findings_print(l, COFFER_FINDING_COPIES, COFFER_VERDICT_BAD,
			"the %s header copy is out of date: it has sequence number %" PRIu64
			", the other one %" PRIu64,
			a->bin.seqid < b->bin.seqid ? "first" : "second",
			min_u64(a->bin.seqid, b->bin.seqid),
			a->bin.seqid < b->bin.seqid ? b->bin.seqid : a->bin.seqid);
	what = difference(a, b);
	if (what)
		return coffer_findings_print(l, COFFER_FINDING_COPIES, COFFER_VERDICT_BAD,
			"the header copies have one sequence number, %" PRIu64 ", but different %s",
			a->bin.seqid, what);
	return coffer_findings_print(
		l, COFFER_FINDING_COPIES, COFFER_VERDICT_OK, "both header copies say the same");
}
