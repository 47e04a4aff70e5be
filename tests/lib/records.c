/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* records.c - a record of a placement for tests, and whether two are alike */
#include "records.h"

#include <string.h>

struct coffer_record record_sample(enum coffer_placement_kind kind)
{
	struct coffer_record r = {
		.kind = kind,
		.geometry = {64 * MIB, 4 * MIB, 56 * MIB, 512},
		.uuid = "01234567-89ab-cdef-0123-456789abcdef",
		.seqid = 4,
		.copy_size = 16384,
		.image_size = 32768 + 262144,
		.n_extents = 2,
		.extents = {{0, 32768}, {65536, 262144}},
		.n_masked = 2,
		.masked = {65536, MIB},
	};

	for (size_t i = 0; i < sizeof(r.id); i++)
		r.id[i] = (uint8_t)(i + 1);
	memset(r.image_hash, 0x11, sizeof(r.image_hash));
	memset(r.segment_hash, 0x22, sizeof(r.segment_hash));
	return r;
}

bool geometry_equals(const struct coffer_geometry *a, const struct coffer_geometry *b)
{
	return a->device == b->device && a->shift == b->shift && a->length == b->length &&
	       a->sector_size == b->sector_size;
}

bool record_equals(const struct coffer_record *a, const struct coffer_record *b)
{
	return a->kind == b->kind && memcmp(a->id, b->id, sizeof(a->id)) == 0 &&
	       geometry_equals(&a->geometry, &b->geometry) && strcmp(a->uuid, b->uuid) == 0 &&
	       a->keep == b->keep && a->seqid == b->seqid && a->copy_size == b->copy_size &&
	       a->image_size == b->image_size && a->n_extents == b->n_extents &&
	       memcmp(a->extents, b->extents, a->n_extents * sizeof(a->extents[0])) == 0 &&
	       a->n_masked == b->n_masked &&
	       memcmp(a->masked, b->masked, a->n_masked * sizeof(a->masked[0])) == 0 &&
	       memcmp(a->image_hash, b->image_hash, 32) == 0 &&
	       memcmp(a->segment_hash, b->segment_hash, 32) == 0;
}
