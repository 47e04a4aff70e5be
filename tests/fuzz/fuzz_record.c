/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fuzz_record.c - fuzz target: records and transition blocks
 *
 * Input: a block. It is read as a record and as a transition block, as it is and with the right
 * checksums put in: else nothing would get past them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "convert/record.h"
#include "lib/checksum.h"

enum {
	AT_SUM = 128
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* A record that was taken is one that can be worked with: nothing in it leads out of [0,S). */
static void use(const struct coffer_record *r)
{
	uint8_t block[COFFER_BLOCK], again[COFFER_BLOCK], *image;
	struct coffer_record back;
	struct coffer_placed placed = {0};
	uint64_t sum = 0;

	if (coffer_geometry_check(&r->geometry, NULL) < 0 ||
		!coffer_image_fits(&r->geometry, r->image_size))
		abort();
	for (uint32_t i = 0; i < r->n_extents; i++) {
		if (r->extents[i].offset + r->extents[i].length > r->geometry.shift)
			abort();
		sum += r->extents[i].length;
	}
	for (uint32_t i = 0; i < r->n_masked; i++)
		if (r->masked[i] + COFFER_BLOCK > r->geometry.shift)
			abort();
	if (sum != r->image_size)
		abort();
	if (coffer_record_encode(r, block) < 0 || coffer_record_decode(block, &back) < 0 ||
		coffer_record_encode(&back, again) < 0 || memcmp(block, again, sizeof(block)) != 0)
		abort();
	if (r->image_size > 1 << 20) /* not worth the time */
		return;
	image = malloc(r->image_size + 1);
	if (!image)
		return;
	memset(image, 0x5a, r->image_size);
	for (uint64_t at = 0; at < r->geometry.shift && at < 2 << 20; at += COFFER_BLOCK)
		coffer_image_expand(r, image, at, block, sizeof(block));
	(void)coffer_placement_compare(r, 0, block, again, again, sizeof(block), &placed);
	free(image);
}

static void check(const uint8_t *block)
{
	struct coffer_record t;
	struct coffer_record r;
	int status;

	status = coffer_record_decode(block, &r);
	if (status == 0)
		use(&r);
	else if (status != -ENODATA && status != -EBADMSG)
		abort();
	status = coffer_transition_find(block, &t);
	if (status == 0 ? coffer_geometry_check(&t.geometry, NULL) < 0 || !memchr(t.uuid, 0, 41)
			: status != -ENODATA && status != -EBADMSG)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	uint8_t block[COFFER_BLOCK] = {0};

	memcpy(block, data, n < sizeof(block) ? n : sizeof(block));
	check(block);
	put_checksum(block, sizeof(block), AT_SUM);
	check(block);
	for (size_t i = 0; i < COFFER_BLOCK; i += COFFER_SECTOR)
		put_checksum(block + i, COFFER_SECTOR, AT_SUM);
	check(block);
	return 0;
}
