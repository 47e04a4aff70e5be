/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* backup_file.c - a backup file: its trailer, and what is believed of the rest */
#include "header/backup_file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "base/findings.h"
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

	/* "00" is no other name of "0": who looks for the keyslot finds one of two. */
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

int coffer_image_size(struct json_object *json, uint64_t copy_size, uint64_t *ret)
{
	struct json_object *config = coffer_json_object(json, "config");
	uint64_t keyslots;

	if (coffer_json_u64s(config, "keyslots_size", &keyslots) < 0 || keyslots % COFFER_BLOCK ||
		keyslots > COFFER_MAX_HEADER_IMAGE || copy_size > COFFER_LUKS2_MAX_COPY)
		return -EBADMSG;
	*ret = 2 * copy_size + keyslots;
	return *ret <= COFFER_MAX_HEADER_IMAGE ? 0 : -EBADMSG;
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

	/* While one is under way, some segments are plain and begin elsewhere. */
	if (coffer_conversion_read(json, &kind, &c, NULL) == 0 && kind == COFFER_LUKS2_CONVERTING)
		return c.geometry.shift;
	(void)coffer_json_foreach(coffer_json_object(json, "segments"), lowest_offset, &lowest);
	return lowest == UINT64_MAX ? 0 : lowest;
}

/* --- trailer --- */

int coffer_trailer_encode(const struct coffer_trailer *t, uint8_t block[COFFER_TRAILER_SIZE])
{
	memset(block, 0, COFFER_TRAILER_SIZE);
	memcpy(block + AT_MAGIC, trailer_magic, sizeof(trailer_magic));
	put_be32(block + AT_VERSION, VERSION);
	put_be32(block + AT_KIND, t->kind);
	put_be64(block + AT_IMAGE_SIZE, t->image_size);
	put_be64(block + AT_SEQID, t->seqid);
	put_be64(block + AT_COPY_SIZE, t->copy_size);
	put_be64(block + AT_DEVICE_SIZE, t->device_size);
	put_be64(block + AT_DATA_OFFSET, t->data_offset);
	put_be64(block + AT_DATE, t->date);
	put_be64(block + AT_POINTER, t->pointer);
	memcpy(block + AT_UUID, t->uuid, 40);
	memcpy(block + AT_IMAGE_HASH, t->image_hash, COFFER_SHA256_SIZE);
	memcpy(block + AT_COFFER, t->version, sizeof(t->version));
	memcpy(block + AT_DEVICE, t->device, sizeof(t->device));
	memcpy(block + AT_PARTUUID, t->partuuid, sizeof(t->partuuid));
	memcpy(block + AT_ID, t->id, sizeof(t->id));
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
	struct coffer_trailer t = {0};
	uint32_t kind;
	int r;

	if (memcmp(block + AT_MAGIC, trailer_magic, sizeof(trailer_magic)) != 0)
		return -ENODATA;
	r = coffer_sum_check(block, COFFER_TRAILER_SIZE, AT_SUM);
	if (r < 0)
		return r;
	if (get_be32(block + AT_VERSION) != VERSION)
		return -EOPNOTSUPP;
	kind = get_be32(block + AT_KIND);
	t.image_size = get_be64(block + AT_IMAGE_SIZE);
	t.seqid = get_be64(block + AT_SEQID);
	t.copy_size = get_be64(block + AT_COPY_SIZE);
	t.device_size = get_be64(block + AT_DEVICE_SIZE);
	t.data_offset = get_be64(block + AT_DATA_OFFSET);
	t.date = get_be64(block + AT_DATE);
	t.pointer = get_be64(block + AT_POINTER);
	memcpy(t.image_hash, block + AT_IMAGE_HASH, COFFER_SHA256_SIZE);
	if (kind > COFFER_LUKS2_OTHER || !bytes_are_zero(block + 24, 8) ||
		!get_text(block + AT_UUID, 40, t.uuid) ||
		!get_text(block + AT_COFFER, sizeof(t.version), t.version) ||
		!get_text(block + AT_DEVICE, sizeof(t.device), t.device) ||
		!get_text(block + AT_PARTUUID, sizeof(t.partuuid), t.partuuid) ||
		!get_text(block + AT_ID, sizeof(t.id), t.id) ||
		!bytes_are_zero(block + AT_END, COFFER_TRAILER_SIZE - AT_END))
		return -EBADMSG;
	t.kind = (enum coffer_luks2_kind)kind;
	*ret = t;
	return 0;
}

/* --- the file --- */

static int damaged(struct coffer_err *e, const char *what)
{
	return coffer_err_set(e, EBADMSG, "the backup is damaged: %s", what);
}

/* The trailer, if there is one, and what it says of the @n bytes of the file. */
static int read_trailer(
	const uint8_t *file, uint64_t n, struct coffer_backup *b, struct coffer_err *e)
{
	uint8_t hash[COFFER_SHA256_SIZE];
	int r;

	r = coffer_trailer_decode(file + n - COFFER_TRAILER_SIZE, &b->trailer);
	if (r == -ENODATA)
		return 0;
	if (r == -EOPNOTSUPP)
		return coffer_err_set(
			e, EOPNOTSUPP, "the backup was made by a newer coffer, in another format");
	if (r == -ENOMEM || r == -EIO)
		return coffer_err_errno(e, -r, "check the backup");
	if (r < 0)
		return damaged(e, "the checksum of its trailer is wrong");
	if (b->trailer.image_size != n - COFFER_TRAILER_SIZE)
		return damaged(e, "it is shorter or longer than its trailer says");
	r = coffer_sha256(file, b->trailer.image_size, hash);
	if (r < 0)
		return coffer_err_errno(e, -r, "check the backup");
	if (memcmp(hash, b->trailer.image_hash, sizeof(hash)) != 0)
		return damaged(e, "it is not what its checksum says");
	b->sealed = true;
	return 0;
}

/* Both copies, which must say the same. */
static int read_copies(
	const uint8_t *file, uint64_t n, struct coffer_backup *b, struct coffer_err *e)
{
	struct coffer_luks2_bin bin[2];
	const char *text[2];
	size_t size[2];
	uint64_t at = 0;
	int r;

	if (coffer_luks2_bin_read(file, 0, &bin[0]) < 0)
		return b->sealed || !coffer_luks2_magic(file, false)
			       ? coffer_err_set(e, ENODATA, "it is no backup of a LUKS2 header")
			       : damaged(e, "the first header copy is not whole");
	for (int i = 0; i < 2; i++, at = bin[0].copy_size) {
		const char *const what = i ? "the second header copy is not whole"
					   : "the first header copy is not whole";

		if (at + bin[0].copy_size > n)
			return damaged(e, "its end is missing");
		if (coffer_luks2_bin_read(file + at, at, &bin[i]) < 0 ||
			bin[i].copy_size != bin[0].copy_size)
			return damaged(e, what);
		r = coffer_luks2_copy_check(file + at, &bin[i], &text[i], &size[i]);
		if (r == -ENOMEM || r == -EIO)
			return coffer_err_errno(e, -r, "check the backup");
		if (r < 0)
			return damaged(e, what);
	}
	if (bin[0].seqid != bin[1].seqid || strcmp(bin[0].uuid, bin[1].uuid) != 0 ||
		size[0] != size[1] || memcmp(text[0], text[1], size[0]) != 0)
		return damaged(e, "its two header copies differ");
	r = coffer_json_parse(text[0], size[0], &b->json);
	if (r == -ENOMEM)
		return coffer_err_errno(e, ENOMEM, "check the backup");
	if (r < 0)
		return damaged(e, "the metadata cannot be read");
	b->trailer.seqid = bin[0].seqid;
	b->trailer.copy_size = bin[0].copy_size;
	memcpy(b->trailer.uuid, bin[0].uuid, sizeof(b->trailer.uuid));
	return 0;
}

/* Of the sections of the metadata, those that every key needs. */
static bool breaks_all(enum coffer_finding_id id)
{
	return id == COFFER_FINDING_DIGEST || id == COFFER_FINDING_SEGMENT;
}

/* A header that would open nothing does not take the place of one that is there. Where one keyslot
 * of several is odd, or a requirement is unknown, the others still open it. What libcryptsetup
 * refuses is found when it is asked: coffer_image_accepted. */
static int check_metadata(const struct coffer_backup *b, struct coffer_err *e)
{
	const struct coffer_metadata m = {.json = b->json,
		.text = (const char *)b->image + COFFER_LUKS2_BIN,
		.text_size = strlen((const char *)b->image + COFFER_LUKS2_BIN),
		.accepted = true,
		.device = "",
		.copy = "",
		.only_bad = true};
	struct coffer_findings found = {0};
	int r = coffer_metadata_check(&m, &found);

	if (r < 0)
		r = coffer_err_errno(e, -r, "judge the backup's metadata");
	for (size_t i = 0; i < found.n && r == 0; i++)
		if (found.items[i].verdict == COFFER_VERDICT_BAD && breaks_all(found.items[i].id))
			r = coffer_err_set(e, EBADMSG, "the backup's metadata are wrong: %s",
				found.items[i].text);
	coffer_findings_free(&found);
	return r;
}

/* What both the header and the trailer tell must be the same; without one the header tells. */
static int check_header(const struct coffer_trailer *told, uint64_t n, struct coffer_backup *b,
	struct coffer_err *e)
{
	struct coffer_trailer *t = &b->trailer;
	struct coffer_err why = {0};
	uint64_t size;
	int r;

	r = check_metadata(b, e);
	if (r < 0)
		return r;
	if (coffer_image_size(b->json, t->copy_size, &size) < 0 ||
		coffer_areas_read(b->json, 2 * t->copy_size, size, &b->areas) < 0)
		return coffer_err_set(
			e, EBADMSG, "the backup's metadata name impossible places for keyslots");
	if (n != size + (b->sealed ? COFFER_TRAILER_SIZE : 0))
		return damaged(e, n < size ? "its end is missing" : "it is longer than its header");
	if (coffer_conversion_read(b->json, &t->kind, &b->conversion, &why) < 0)
		return coffer_err_set(
			e, EBADMSG, "the backup's metadata make no sense: %s", why.msg);
	t->image_size = size;
	t->data_offset = coffer_data_offset(b->json);
	t->pointer = t->kind == COFFER_LUKS2_CONVERTING ? b->conversion.pointer : 0;
	if (b->sealed &&
		(t->kind != told->kind || t->pointer != told->pointer || t->seqid != told->seqid ||
			t->copy_size != told->copy_size || t->data_offset != told->data_offset ||
			strcmp(t->uuid, told->uuid) != 0))
		return damaged(e, "its trailer tells of another header");
	return 0;
}

int coffer_backup_read(
	const uint8_t *file, uint64_t n, struct coffer_backup *ret, struct coffer_err *e)
{
	struct coffer_backup b = {.image = file};
	struct coffer_trailer told;
	int r;

	if (n < COFFER_LUKS2_BIN || n > COFFER_MAX_HEADER_IMAGE + COFFER_TRAILER_SIZE)
		return coffer_err_set(e, ENODATA,
			"a file of %" PRIu64 " bytes is no backup of a LUKS2 header", n);
	r = read_trailer(file, n, &b, e);
	told = b.trailer;
	if (r == 0)
		r = read_copies(file, n, &b, e);
	if (r == 0)
		r = check_header(&told, n, &b, e);
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
