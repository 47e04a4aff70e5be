/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fuzz_backup.c - fuzz target: files that call themselves a header backup
 *
 * Input: four bytes and the metadata of a header, around which a backup file is made; or a whole
 * file, which is read as it is and with the right checksums put in: else nothing would get past
 * them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "header/keyslot_placement.h"
#include "header/restore_judge.h"
#include "luks2/copy.h"

enum {
	MAX_FILE = 1 << 20,
	AT_SUM = 128,
	AT_IMAGE_HASH = 160,
	AT_CHECKSUM = 448
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* What was taken is consistent: nothing in it leads out of the file. */
static void use(const struct coffer_backup *b, uint64_t n)
{
	const struct coffer_backup_info *t = &b->info;
	_cleanup_free_ uint8_t *image = malloc(t->image_size);
	struct coffer_header h = {
		.json = b->json, .copy_size = b->copy_size, .copy = {(uint8_t *)b->image}};
	struct coffer_restore_facts f = {
		.backup = b, .device = "disk", .device_size = n, .header = &h};
	struct coffer_findings l = {0};
	struct coffer_keyslot_placement o;

	memcpy(h.uuid, t->uuid, sizeof(h.uuid));
	if (t->image_size > n || 2 * b->copy_size > t->image_size ||
		(t->sealed && t->image_size != n - COFFER_TRAILER_SIZE))
		abort();
	for (size_t i = 0; i < b->areas.n; i++)
		if (b->areas.a[i].offset < 2 * b->copy_size ||
			b->areas.a[i].offset + b->areas.a[i].size > t->image_size ||
			b->areas.a[i].slot >= COFFER_MAX_KEYSLOTS)
			abort();
	if (!image)
		return;
	memcpy(image, b->image, t->image_size);
	coffer_image_clean(image, t->image_size, b->copy_size, &b->areas);
	for (int dead = 0; dead < 2; dead++) {
		if (coffer_restore_judge(&f, &l) == 0 && l.n == 0)
			abort(); /* nothing to say of anything? */
		coffer_findings_free(&l);
		f.header = NULL;
	}
	if (coffer_keyslot_placement_find(
		    &b->areas, &b->areas, UINT32_MAX, 2 * b->copy_size, t->image_size, &o) == 0) {
		for (size_t i = 0; i < b->areas.n; i++) {
			const struct coffer_area *a = &b->areas.a[i];

			if (!(o.moved >> a->slot & 1) ||
				coffer_areas_touch(&b->areas, o.interim[a->slot], a->size) ||
				o.interim[a->slot] + a->size > t->image_size)
				abort();
		}
		if (coffer_keyslot_move(b->json, &o) < 0)
			abort();
	}
}

static void check(const uint8_t *file, uint64_t n)
{
	struct coffer_backup b;
	const int r = coffer_backup_read(file, n, &b, NULL);

	if (r == 0) {
		use(&b, n);
		coffer_backup_reset(&b);
	} else if (r != -EBADMSG && r != -ENODATA && r != -EOPNOTSUPP) {
		abort();
	}
}

/* Right sums over whatever is there. */
static void seal(uint8_t *file, uint64_t n)
{
	uint8_t *block = file + n - COFFER_TRAILER_SIZE, sum[COFFER_SHA256_SIZE];
	uint64_t copy = n >= 16 ? get_be64(file + 8) : 0;

	for (uint64_t at = 0; copy >= COFFER_LUKS2_MIN_COPY && copy <= n / 2 && at <= copy;
		at += copy) {
		memset(file + at + AT_CHECKSUM, 0, 64);
		(void)coffer_sha256(file + at, copy, sum);
		memcpy(file + at + AT_CHECKSUM, sum, sizeof(sum));
	}
	if (memcmp(block, "COFFER-BACKUP", 13) != 0)
		return;
	(void)coffer_sha256(file, n - COFFER_TRAILER_SIZE, sum);
	memcpy(block + AT_IMAGE_HASH, sum, sizeof(sum));
	memset(block + AT_SUM, 0, sizeof(sum));
	(void)coffer_sha256(block, COFFER_TRAILER_SIZE, sum);
	memcpy(block + AT_SUM, sum, sizeof(sum));
}

/* One header copy around the metadata @json. */
static void put_copy(uint8_t *p, uint64_t at, const uint8_t *json, size_t n)
{
	static const uint8_t magics[2][8] = {
		{'L', 'U', 'K', 'S', 0xba, 0xbe, 0, 2}, {'S', 'K', 'U', 'L', 0xba, 0xbe, 0, 2}};

	memcpy(p, magics[at != 0], 8);
	put_be64(p + 8, COFFER_LUKS2_MIN_COPY);
	put_be64(p + 16, 3);
	memcpy(p + 72, "sha256", 6);
	memcpy(p + 168, "5a8f2b16-9d0c-4a57-8f0e-0b4d1c9e7a01", 36);
	put_be64(p + 256, at);
	memcpy(p + COFFER_LUKS2_BIN, json, n);
}

/* A file of coffer's or stock's with this metadata in it. */
static void check_metadata(const uint8_t *data, size_t n)
{
	const uint64_t image = 2 * COFFER_LUKS2_MIN_COPY + ((uint64_t)data[0] << 12);
	const bool sealed = data[1] & 1;
	const uint64_t size = image + (sealed ? COFFER_TRAILER_SIZE : 0);
	_cleanup_free_ uint8_t *file = calloc(1, size);
	struct coffer_trailer t = {.info = {.image_size = image,
					   .seqid = 3,
					   .conversion = data[1] >> 1 & 3,
					   .data_offset = (uint64_t)data[2] << 20,
					   .pointer = (uint64_t)data[3] << 20,
					   .uuid = "5a8f2b16-9d0c-4a57-8f0e-0b4d1c9e7a01"},
		.copy_size = COFFER_LUKS2_MIN_COPY};

	n -= 4;
	if (!file || n >= COFFER_LUKS2_MIN_COPY - COFFER_LUKS2_BIN)
		return;
	put_copy(file, 0, data + 4, n);
	put_copy(file + COFFER_LUKS2_MIN_COPY, COFFER_LUKS2_MIN_COPY, data + 4, n);
	if (sealed)
		(void)coffer_trailer_encode(&t, file + image);
	seal(file, size);
	check(file, size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	_cleanup_free_ uint8_t *file = NULL;

	if (n < 5 || n > MAX_FILE)
		return 0;
	if (n < COFFER_TRAILER_SIZE + 4 || data[4] == '{') {
		check_metadata(data, n);
		return 0;
	}
	file = malloc(n);
	if (!file)
		return 0;
	memcpy(file, data, n);
	check(file, n);
	seal(file, n);
	check(file, n);
	return 0;
}
