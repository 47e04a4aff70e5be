/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* stored_map_read.c - the used map that lies on a disk, and the progress that it measures */
#include "convert/stored_map.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "convert/disk.h"
#include "convert/image.h"

void coffer_map_on_disk_free(struct coffer_map_on_disk *m)
{
	coffer_stored_map_free(m->map);
	free(m->bytes);
}

/* All of it; the first block has its size. */
static int read_map(struct coffer_dev *d, struct coffer_map_on_disk *m, struct coffer_err *e)
{
	int r;

	m->bytes = coffer_dev_buffer(m->size);
	m->map = calloc(1, sizeof(*m->map));
	if (!m->bytes || !m->map)
		return coffer_err_errno(e, ENOMEM, "read the used map");
	r = coffer_dev_read(d, m->bytes, m->size, m->at, e);
	if (r < 0)
		return r;
	r = coffer_stored_map_decode(m->bytes, m->size, m->map);
	m->valid = r == 0;
	return r == 0 || r == -EBADMSG ? 0 : coffer_err_errno(e, -r, "read the used map");
}

int coffer_stored_map_read(
	const struct coffer_disk *disk, struct coffer_map_on_disk *ret, struct coffer_err *e)
{
	const uint64_t shift = disk->facts.conversion.geometry.shift;
	_cleanup_free_ uint8_t *block = coffer_dev_buffer(COFFER_BLOCK);
	const struct coffer_header *h = disk->header;
	int r;

	if (!block)
		return coffer_err_errno(e, ENOMEM, "read the used map");
	if (coffer_used_map_place(h->json, h->copy_size, shift, &ret->at) < 0 ||
		ret->at + COFFER_BLOCK > shift || disk->dev->size < shift)
		return 0;
	r = coffer_dev_read(disk->dev, block, COFFER_BLOCK, ret->at, e);
	if (r < 0)
		return r;
	ret->trace = coffer_stored_map_trace(block);
	if (!ret->trace)
		return 0;
	if (coffer_stored_map_peek(block, &ret->size) < 0 || ret->size > shift - ret->at) {
		ret->size = shift - ret->at;
		return 0;
	}
	return read_map(disk->dev, ret, e);
}

const char *coffer_map_on_disk_objection(
	const struct coffer_map_on_disk *m, const struct coffer_disk *disk)
{
	if (!m->trace)
		return "the header has no used map";
	if (!m->valid)
		return "the used map is damaged";
	if (strcmp(m->map->uuid, disk->header->uuid) != 0)
		return "the used map belongs to another volume";
	if (m->map->void_)
		return "an earlier run has invalidated the used map";
	if (!coffer_geometry_equal(&m->map->geometry, &disk->facts.conversion.geometry))
		return "the used map has another layout";
	return NULL;
}

int coffer_progress_read(const struct coffer_disk *disk, uint64_t *ret_done, uint64_t *ret_total,
	struct coffer_err *e)
{
	_cleanup_map_on_disk_ struct coffer_map_on_disk m = {0};
	const struct coffer_conversion *c = &disk->facts.conversion;
	const struct coffer_used_map *map;
	int r;

	r = coffer_stored_map_read(disk, &m, e);
	if (r < 0)
		return r;
	map = coffer_map_on_disk_objection(&m, disk) ? NULL : m.map->map;
	*ret_done = coffer_used_map_bytes(map, c->pointer, c->geometry.length);
	*ret_total = coffer_used_map_bytes(map, 0, c->geometry.length);
	return 0;
}
