/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* backup_file.c - read and check a backup file; write its trailer */
#include "header/backup_file.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "base/findings.h"
#include "convert/conversion.h"
#include "luks2/copy.h"
#include "luks2/metadata.h"

enum {
	AT_MAGIC = 0,
	AT_VERSION = 16,
	AT_KIND = 20,
	AT_IMAGE_SIZE = 32,
	AT_SEQID = 40,
	AT_COPY_SIZE = 48,
	AT_DEVICE_SIZE = 56,
	AT_DATA_OFFSET = 64,
	AT_DATE = 72,
	AT_UUID = 80,
	AT_POINTER = 120,
	AT_SUM = 128,
	AT_IMAGE_HASH = 160,
	AT_COFFER = 192,
	AT_DEVICE = 224,
	AT_PARTUUID = 480,
	AT_ID = 544,
	AT_END = 800,
	VERSION = 1,
};

static_assert((int)COFFER_BACKUP_NONE == COFFER_LUKS2_ENCRYPTED &&
		      (int)COFFER_BACKUP_CONVERTING == COFFER_LUKS2_CONVERTING &&
		      (int)COFFER_BACKUP_OTHER == COFFER_LUKS2_OTHER,
	"the public enum, which is also the trailer's");

static const char trailer_magic[16] = "COFFER-BACKUP";

/* --- areas --- */

static int add_area(const char *name, struct json_object *value, void *arg)
{
	struct json_object *area = coffer_json_object(value, "area");
	const char *type = coffer_json_string(value, "type");
	const char *kind = coffer_json_string(area, "type");
	const size_t digits = strspn(name, "0123456789");
	struct coffer_areas *l = arg;
	struct coffer_area a = {0};

	/* "00" is not another name of "0": a lookup would find only one of the two. */
	if (digits == 0 || digits > 2 || name[digits] || (digits > 1 && name[0] == '0') ||
		l->n == COFFER_MAX_KEYSLOTS || !type || !kind ||
		coffer_json_u64s(area, "offset", &a.offset) < 0 ||
		coffer_json_u64s(area, "size", &a.size) < 0)
		return -EBADMSG;
	a.slot = (unsigned int)strtoul(name, NULL, 10);
	a.reencrypt = strcmp(type, "reencrypt") == 0;
	a.plain = a.reencrypt && strcmp(kind, "checksum") != 0 &&
		  strcmp(kind, "datashift-checksum") != 0;
	if (a.slot >= COFFER_MAX_KEYSLOTS || a.offset % COFFER_BLOCK || a.size % COFFER_BLOCK ||
		a.size == 0 || a.size > COFFER_MAX_HEADER_IMAGE ||
		a.offset > COFFER_MAX_HEADER_IMAGE || coffer_areas_touch(l, a.offset, a.size))
		return -EBADMSG;
	l->a[l->n++] = a;
	return 0;
}

int coffer_areas_read(
	struct json_object *json, uint64_t from, uint64_t to, struct coffer_areas *ret)
{
	int r;

	*ret = (struct coffer_areas){0};
	r = coffer_json_foreach(coffer_json_object(json, "keyslots"), add_area, ret);
	for (size_t i = 0; i < ret->n && r == 0; i++)
		if (ret->a[i].offset < from || ret->a[i].offset + ret->a[i].size > to)
			r = -EBADMSG;
	return r;
}

bool coffer_areas_touch(const struct coffer_areas *l, uint64_t offset, uint64_t size)
{
	for (size_t i = 0; i < l->n; i++)
		if (offset < l->a[i].offset + l->a[i].size && l->a[i].offset < offset + size)
			return true;
	return false;
}

static int lowest_offset(const char *name, struct json_object *value, void *arg)
{
	uint64_t *lowest = arg, offset;

	(void)name;
	if (coffer_json_u64s(value, "offset", &offset) == 0)
		*lowest = min_u64(*lowest, offset);
	return 0;
}

uint64_t coffer_data_offset(struct json_object *json)
{
	enum coffer_luks2_kind kind;
	struct coffer_conversion c;
	uint64_t lowest = UINT64_MAX;

	/* During a conversion some segments are plain and begin elsewhere. */
	if (coffer_conversion_read(json, &kind, &c, NULL) == 0 && kind == COFFER_LUKS2_CONVERTING)
		return c.geometry.shift;
	(void)coffer_json_foreach(coffer_json_object(json, "segments"), lowest_offset, &lowest);
	return lowest == UINT64_MAX ? 0 : lowest;
}

int coffer_backup_read_conversion(
	struct json_object *json, struct coffer_backup_info *ret, struct coffer_err *e)
{
	enum coffer_luks2_kind kind;
	struct coffer_conversion c;

	if (coffer_conversion_read(json, &kind, &c, e) < 0)
		return -EBADMSG;
	ret->conversion = (enum coffer_backup_conversion)kind;
	ret->pointer = kind == COFFER_LUKS2_CONVERTING ? c.pointer : 0;
	ret->data_offset = coffer_data_offset(json);
	return 0;
}

/* --- trailer --- */

int coffer_trailer_encode(const struct coffer_trailer *t, uint8_t block[COFFER_TRAILER_SIZE])
{
	const struct coffer_backup_info *i = &t->info;

	memset(block, 0, COFFER_TRAILER_SIZE);
	memcpy(block + AT_MAGIC, trailer_magic, sizeof(trailer_magic));
	put_be32(block + AT_VERSION, VERSION);
	put_be32(block + AT_KIND, i->conversion);
	put_be64(block + AT_IMAGE_SIZE, i->image_size);
	put_be64(block + AT_SEQID, i->seqid);
	put_be64(block + AT_COPY_SIZE, t->copy_size);
	put_be64(block + AT_DEVICE_SIZE, i->device_size);
	put_be64(block + AT_DATA_OFFSET, i->data_offset);
	put_be64(block + AT_DATE, i->date);
	put_be64(block + AT_POINTER, i->pointer);
	memcpy(block + AT_UUID, i->uuid, 40);
	memcpy(block + AT_IMAGE_HASH, t->image_hash, COFFER_SHA256_SIZE);
	memcpy(block + AT_COFFER, i->version, sizeof(i->version));
	memcpy(block + AT_DEVICE, i->device, sizeof(i->device));
	memcpy(block + AT_PARTUUID, i->partuuid, sizeof(i->partuuid));
	memcpy(block + AT_ID, i->id, sizeof(i->id));
	return coffer_sum_put(block, COFFER_TRAILER_SIZE, AT_SUM);
}

/* A text that ends within its @n bytes, with zeros from its end on. */
static bool get_text(const uint8_t *p, size_t n, char *ret)
{
	const size_t length = strnlen((const char *)p, n);

	if (length == n || !bytes_are_zero(p + length, n - length))
		return false;
	memcpy(ret, p, n);
	return true;
}

int coffer_trailer_decode(const uint8_t block[COFFER_TRAILER_SIZE], struct coffer_trailer *ret)
{
	struct coffer_trailer t = {.copy_size = get_be64(block + AT_COPY_SIZE)};
	struct coffer_backup_info *i = &t.info;
	int r;

	if (memcmp(block + AT_MAGIC, trailer_magic, sizeof(trailer_magic)) != 0)
		return -ENODATA;
	r = coffer_sum_check(block, COFFER_TRAILER_SIZE, AT_SUM);
	if (r < 0)
		return r;
	if (get_be32(block + AT_VERSION) != VERSION)
		return -EOPNOTSUPP;
	if (get_be32(block + AT_KIND) > COFFER_BACKUP_OTHER || !bytes_are_zero(block + 24, 8) ||
		!get_text(block + AT_UUID, 40, i->uuid) ||
		!get_text(block + AT_COFFER, sizeof(i->version), i->version) ||
		!get_text(block + AT_DEVICE, sizeof(i->device), i->device) ||
		!get_text(block + AT_PARTUUID, sizeof(i->partuuid), i->partuuid) ||
		!get_text(block + AT_ID, sizeof(i->id), i->id) ||
		!bytes_are_zero(block + AT_END, COFFER_TRAILER_SIZE - AT_END))
		return -EBADMSG;
	i->conversion = (enum coffer_backup_conversion)get_be32(block + AT_KIND);
	i->image_size = get_be64(block + AT_IMAGE_SIZE);
	i->seqid = get_be64(block + AT_SEQID);
	i->device_size = get_be64(block + AT_DEVICE_SIZE);
	i->data_offset = get_be64(block + AT_DATA_OFFSET);
	i->date = get_be64(block + AT_DATE);
	i->pointer = get_be64(block + AT_POINTER);
	memcpy(t.image_hash, block + AT_IMAGE_HASH, COFFER_SHA256_SIZE);
	*ret = t;
	return 0;
}

/* --- the file --- */

static int damaged(struct coffer_err *e, const char *what)
{
	return coffer_err_set(e, EBADMSG, "the backup is damaged: %s", what);
}

static int failed(struct coffer_err *e, int r)
{
	return coffer_err_errno(e, -r, "check the backup");
}

/* Read the trailer, if there is one; what it says of the file must be right. */
static int read_trailer(
	const uint8_t *file, uint64_t n, struct coffer_trailer *t, struct coffer_err *e)
{
	uint8_t hash[COFFER_SHA256_SIZE];
	int r;

	r = coffer_trailer_decode(file + n - COFFER_TRAILER_SIZE, t);
	if (r == -ENODATA)
		return 0;
	if (r == -EOPNOTSUPP)
		return coffer_err_set(
			e, EOPNOTSUPP, "the backup has a newer format; use a newer coffer");
	if (r == -ENOMEM || r == -EIO)
		return failed(e, r);
	if (r < 0)
		return damaged(e, "the trailer's checksum is wrong");
	if (t->info.image_size != n - COFFER_TRAILER_SIZE)
		return damaged(e, "its size is not the one in its trailer");
	r = coffer_sha256(file, t->info.image_size, hash);
	if (r < 0)
		return failed(e, r);
	if (memcmp(hash, t->image_hash, sizeof(hash)) != 0)
		return damaged(e, "its checksum is wrong");
	t->info.sealed = true;
	return 0;
}

/* Read both copies, which must be equal. */
static int read_copies(
	const uint8_t *file, uint64_t n, struct coffer_luks2_copy c[2], struct coffer_err *e)
{
	for (int i = 0; i < 2; i++) {
		int r;

		c[i].offset = i ? c[0].bin.copy_size : 0;
		if (c[i].offset + COFFER_LUKS2_BIN > n)
			return damaged(e, "its end is missing");
		r = coffer_luks2_copy_judge(file + c[i].offset, n - c[i].offset, &c[i]);
		if (r < 0)
			return failed(e, r);
		if (i == 0 && (!c[i].magic || c[i].luks1))
			return coffer_err_set(e, ENODATA, "not a backup of a LUKS2 header");
		if (!c[i].intact)
			return coffer_err_set(e, EBADMSG,
				"the backup is damaged: its %s header copy is %s",
				i ? "second" : "first", c[i].magic ? c[i].reason : "missing");
	}
	return coffer_luks2_copies_agree(c) ? 0 : damaged(e, "its two header copies differ");
}

/* Refuse a header that would open nothing. If only one of several keyslots is invalid, or a
 * requirement is unknown, the others still open it. libcryptsetup has its say later, see
 * coffer_image_accepted. */
static int check_metadata(const struct coffer_backup *b, struct coffer_err *e)
{
	const char *text = (const char *)b->image + COFFER_LUKS2_BIN;
	const struct coffer_metadata m = {
		.json = b->json, .text = text, .text_size = strlen(text), .device = ""};
	_cleanup_(coffer_findings_free) struct coffer_findings found = {0};
	const int r = coffer_metadata_check(&m, &found);

	if (r < 0)
		return failed(e, r);
	for (size_t i = 0; i < found.n; i++)
		if (found.items[i].verdict == COFFER_VERDICT_BAD &&
			(found.items[i].id == COFFER_FINDING_DIGEST ||
				found.items[i].id == COFFER_FINDING_SEGMENT))
			return coffer_err_set(e, EBADMSG, "the backup's metadata is invalid: %s",
				found.items[i].text);
	return 0;
}

/* Header and trailer @t must agree; without a trailer the header alone counts. */
static int check_header(
	const struct coffer_trailer *t, uint64_t n, struct coffer_backup *b, struct coffer_err *e)
{
	struct coffer_backup_info *i = &b->info;
	struct coffer_err why = {0};
	int r;

	r = check_metadata(b, e);
	if (r < 0)
		return r;
	i->image_size = coffer_metadata_header_size(b->json, b->copy_size);
	if (i->image_size == 0 ||
		coffer_areas_read(b->json, 2 * b->copy_size, i->image_size, &b->areas) < 0)
		return coffer_err_set(
			e, EBADMSG, "the backup's keyslots are at impossible offsets");
	if (n < i->image_size)
		return damaged(e, "its end is missing");
	if (n != i->image_size + (i->sealed ? COFFER_TRAILER_SIZE : 0))
		return damaged(e, "what follows its header is not a valid trailer");
	if (coffer_backup_read_conversion(b->json, i, &why) < 0)
		return coffer_err_set(
			e, EBADMSG, "the backup's metadata contradicts itself: %s", why.msg);
	if (i->sealed && (i->conversion != t->info.conversion || i->pointer != t->info.pointer ||
				 i->seqid != t->info.seqid || b->copy_size != t->copy_size ||
				 i->data_offset != t->info.data_offset ||
				 strcmp(i->uuid, t->info.uuid) != 0))
		return damaged(e, "its trailer belongs to another header");
	return 0;
}

int coffer_backup_read(
	const uint8_t *file, uint64_t n, struct coffer_backup *ret, struct coffer_err *e)
{
	struct coffer_backup b = {.image = file};
	struct coffer_luks2_copy c[2] = {0};
	struct coffer_trailer t = {0};
	int r;

	if (n < COFFER_LUKS2_BIN || n > COFFER_MAX_HEADER_IMAGE + COFFER_TRAILER_SIZE)
		return coffer_err_set(e, ENODATA,
			"not a backup of a LUKS2 header: its size is %" PRIu64 " bytes", n);
	r = read_trailer(file, n, &t, e);
	b.info = t.info;
	if (r == 0)
		r = read_copies(file, n, c, e);
	b.info.seqid = c[0].bin.seqid;
	b.copy_size = c[0].bin.copy_size;
	memcpy(b.info.uuid, c[0].bin.uuid, sizeof(b.info.uuid));
	b.json = c[0].json;
	coffer_json_free(c[1].json);
	if (r == 0)
		r = check_header(&t, n, &b, e);
	if (r < 0) {
		coffer_backup_reset(&b);
		return r;
	}
	*ret = b;
	return 0;
}

void coffer_backup_reset(struct coffer_backup *b)
{
	coffer_json_free(b->json);
	*b = (struct coffer_backup){0};
}

void coffer_image_clean(
	uint8_t *image, uint64_t size, uint64_t copy_size, const struct coffer_areas *areas)
{
	for (uint64_t at = 2 * copy_size; at < size; at += COFFER_BLOCK) {
		bool keep = false;

		for (size_t i = 0; i < areas->n && !keep; i++)
			keep = !areas->a[i].plain && at - areas->a[i].offset < areas->a[i].size;
		if (!keep)
			memset(image + at, 0, COFFER_BLOCK);
	}
}
