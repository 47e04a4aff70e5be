/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* record.c - what makes the placement of a header redoable: transition block, record, image */
#include "convert/record.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"

/* Offsets common to record and transition block. */
enum {
	AT_MAGIC = 0,
	AT_VERSION = 16,
	AT_KIND = 20,
	AT_INDEX = 24, /* transition: number of the sector */
	AT_ID = 32,
	AT_GEOMETRY = 48,
	AT_UUID = 80,
	AT_SUM = 128, /* transition: over the sector with this field as zeros */
	AT_TEXT = 160,
	/* record only */
	AT_FLAGS = 24,
	AT_SEQID = 160,
	AT_COPY_SIZE = 168,
	AT_IMAGE_SIZE = 176,
	AT_N_EXTENTS = 184,
	AT_N_MASKED = 188,
	AT_IMAGE_HASH = 192,
	AT_SEGMENT_HASH = 224,
	AT_MASKED = 256,
	AT_EXTENTS = 512,
	VERSION = 1,
	FLAG_KEEP = 1,
};

static const char record_magic[16] = "COFFER-RECORD";
static const char transition_magic[16] = "COFFER-TRANSIT";

static const char text[] =
	"A LUKS2 header is being put here by coffer, or taken away. All data is safe at the end "
	"of the device. Run 'coffer encrypt' or 'coffer abort' on this device to go on.\n";

bool coffer_image_fits(const struct coffer_geometry *g, uint64_t size)
{
	return size <= COFFER_MAX_IMAGE && size <= g->shift - 2 * COFFER_BLOCK;
}

static void encode_common(const struct coffer_record *r, const char magic[16], uint8_t *p)
{
	memcpy(p + AT_MAGIC, magic, 16);
	put_be32(p + AT_VERSION, VERSION);
	put_be32(p + AT_KIND, r->kind);
	memcpy(p + AT_ID, r->id, COFFER_ID_SIZE);
	coffer_geometry_put(&r->geometry, p + AT_GEOMETRY);
	memcpy(p + AT_UUID, r->uuid, 40);
}

/* The fields with places and sizes; all of them are checked before they are used. */
static bool decode_common(const uint8_t *p, const char magic[16], enum coffer_placement_kind last,
	struct coffer_record *r)
{
	const uint32_t kind = get_be32(p + AT_KIND);

	if (memcmp(p + AT_MAGIC, magic, 16) != 0 || get_be32(p + AT_VERSION) != VERSION ||
		kind < COFFER_RECORD_PLACE || kind > last)
		return false;
	*r = (struct coffer_record){.kind = (enum coffer_placement_kind)kind,
		.geometry = coffer_geometry_get(p + AT_GEOMETRY)};
	memcpy(r->id, p + AT_ID, COFFER_ID_SIZE);
	memcpy(r->uuid, p + AT_UUID, 40);
	return memchr(r->uuid, 0, 40) && coffer_geometry_check(&r->geometry, NULL) == 0;
}

int coffer_record_encode(const struct coffer_record *r, uint8_t block[COFFER_BLOCK])
{
	memset(block, 0, COFFER_BLOCK);
	encode_common(r, record_magic, block);
	put_be32(block + AT_FLAGS, r->keep ? FLAG_KEEP : 0);
	put_be64(block + AT_SEQID, r->seqid);
	put_be64(block + AT_COPY_SIZE, r->copy_size);
	put_be64(block + AT_IMAGE_SIZE, r->image_size);
	put_be32(block + AT_N_EXTENTS, r->n_extents);
	put_be32(block + AT_N_MASKED, r->n_masked);
	memcpy(block + AT_IMAGE_HASH, r->image_hash, COFFER_SHA256_SIZE);
	memcpy(block + AT_SEGMENT_HASH, r->segment_hash, COFFER_SHA256_SIZE);
	for (uint32_t i = 0; i < r->n_masked; i++)
		put_be64(block + AT_MASKED + 8 * i, r->masked[i]);
	for (uint32_t i = 0; i < r->n_extents; i++) {
		put_be64(block + AT_EXTENTS + 16 * i, r->extents[i].offset);
		put_be64(block + AT_EXTENTS + 16 * i + 8, r->extents[i].length);
	}
	return coffer_sum_put(block, COFFER_BLOCK, AT_SUM);
}

int coffer_transition_encode(const struct coffer_record *r, uint8_t block[COFFER_BLOCK])
{
	memset(block, 0, COFFER_BLOCK);
	for (uint32_t i = 0; i < COFFER_BLOCK / COFFER_SECTOR; i++) {
		uint8_t *p = block + i * COFFER_SECTOR;
		int status;

		encode_common(r, transition_magic, p);
		put_be32(p + AT_INDEX, i);
		memcpy(p + AT_TEXT, text, sizeof(text));
		status = coffer_sum_put(p, COFFER_SECTOR, AT_SUM);
		if (status < 0)
			return status;
	}
	return 0;
}

static bool decode_lists(const uint8_t *block, struct coffer_record *r)
{
	const uint64_t shift = r->geometry.shift;
	uint64_t sum = 0, end = 0;

	r->n_extents = get_be32(block + AT_N_EXTENTS);
	r->n_masked = get_be32(block + AT_N_MASKED);
	if (r->n_extents > COFFER_MAX_EXTENTS || r->n_masked > COFFER_MAX_MASKED)
		return false;
	for (uint32_t i = 0; i < r->n_extents; i++) {
		struct coffer_extent *x = &r->extents[i];

		x->offset = get_be64(block + AT_EXTENTS + 16 * i);
		x->length = get_be64(block + AT_EXTENTS + 16 * i + 8);
		if (x->offset % COFFER_BLOCK || x->length % COFFER_BLOCK || x->length == 0 ||
			x->offset < end || x->offset >= shift || x->length > shift - x->offset)
			return false;
		end = x->offset + x->length;
		sum += x->length;
	}
	for (uint32_t i = 0; i < r->n_masked; i++) {
		r->masked[i] = get_be64(block + AT_MASKED + 8 * i);
		if (r->masked[i] % COFFER_BLOCK || r->masked[i] == 0 || r->masked[i] >= shift)
			return false;
	}
	return sum == r->image_size;
}

int coffer_record_decode(const uint8_t block[COFFER_BLOCK], struct coffer_record *ret)
{
	struct coffer_record r;
	int status;

	if (memcmp(block, record_magic, sizeof(record_magic)) != 0)
		return -ENODATA;
	status = coffer_sum_check(block, COFFER_BLOCK, AT_SUM);
	if (status < 0)
		return status;
	if (!decode_common(block, record_magic, COFFER_RECORD_SAVE, &r))
		return -EBADMSG;
	r.keep = get_be32(block + AT_FLAGS) == FLAG_KEEP;
	r.seqid = get_be64(block + AT_SEQID);
	r.copy_size = get_be64(block + AT_COPY_SIZE);
	r.image_size = get_be64(block + AT_IMAGE_SIZE);
	memcpy(r.image_hash, block + AT_IMAGE_HASH, COFFER_SHA256_SIZE);
	memcpy(r.segment_hash, block + AT_SEGMENT_HASH, COFFER_SHA256_SIZE);
	if ((get_be32(block + AT_FLAGS) & ~(uint32_t)FLAG_KEEP) != 0 ||
		(r.keep && r.kind != COFFER_RECORD_UNDO) ||
		!coffer_image_fits(&r.geometry, r.image_size) || !decode_lists(block, &r) ||
		r.copy_size % COFFER_BLOCK || r.copy_size == 0 ||
		r.copy_size > r.geometry.shift / 2)
		return -EBADMSG;
	*ret = r;
	return 0;
}

int coffer_transition_find(const uint8_t block[COFFER_BLOCK], struct coffer_record *ret)
{
	struct coffer_record found = {0}, t;
	uint32_t sectors = 0;

	for (uint32_t i = 0; i < COFFER_BLOCK / COFFER_SECTOR; i++) {
		const uint8_t *p = block + i * COFFER_SECTOR;
		int r;

		if (!decode_common(p, transition_magic, COFFER_RECORD_UNDONE, &t) ||
			get_be32(p + AT_INDEX) != i)
			continue;
		r = coffer_sum_check(p, COFFER_SECTOR, AT_SUM);
		if (r == -EBADMSG)
			continue;
		if (r < 0)
			return r;
		/* The id is random: two ids in one block are two placements. */
		if (sectors && memcmp(t.id, found.id, sizeof(t.id)) != 0)
			return -EBADMSG;
		if (!sectors || t.kind > found.kind)
			found = t;
		sectors |= UINT32_C(1) << i;
	}
	if (!sectors)
		return -ENODATA;
	found.sectors = sectors;
	*ret = found;
	return 0;
}

void coffer_image_expand(const struct coffer_record *r, const uint8_t *image, uint64_t offset,
	uint8_t *buf, size_t n)
{
	memset(buf, 0, n);
	for (uint32_t i = 0; i < r->n_extents; i++) {
		const struct coffer_extent *x = &r->extents[i];
		const uint64_t from = x->offset > offset ? x->offset : offset;
		const uint64_t to = min_u64(x->offset + x->length, offset + n);

		if (from < to)
			memcpy(buf + (from - offset), image + (from - x->offset), to - from);
		image += x->length;
	}
}

bool coffer_record_masks(const struct coffer_record *r, uint64_t offset)
{
	for (uint32_t i = 0; i < r->n_masked; i++)
		if (round_down_u64(offset, COFFER_BLOCK) == r->masked[i])
			return true;
	return false;
}

int coffer_placement_compare(const struct coffer_record *r, uint64_t offset, const uint8_t *disk,
	const uint8_t *segment, const uint8_t *image, size_t n, struct coffer_placed *sum)
{
	uint8_t transition[COFFER_BLOCK];
	const int status = coffer_transition_encode(r, transition);

	if (status < 0)
		return status;
	for (size_t at = 0; at < n; at += COFFER_SECTOR) {
		const uint64_t where = offset + at;
		const bool masked = coffer_record_masks(r, where);

		if (memcmp(disk + at, segment + at, COFFER_SECTOR) == 0)
			continue;
		if (memcmp(disk + at, image + at, COFFER_SECTOR) == 0)
			sum->placed += where >= COFFER_BLOCK && !masked;
		else if (!(masked && bytes_are_zero(disk + at, COFFER_SECTOR)) &&
			 !(where < COFFER_BLOCK &&
				 memcmp(disk + at, transition + where, COFFER_SECTOR) == 0) &&
			 sum->unexpected++ == 0)
			sum->first_unexpected = where;
	}
	return 0;
}
