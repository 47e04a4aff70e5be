/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* stored_map_read.h - the used map that lies on a disk, and the progress that it measures */
#pragma once
#include "convert/disk.h"
#include "convert/stored_map.h"

/* What lies between the keyslots area and S. */
struct coffer_map_on_disk {
	uint64_t at, space;	       /* where, and the bytes up to S; 0: too few for a map */
	bool trace;		       /* something with the map's magic lies there */
	bool whole;		       /* it can be read; it may be void */
	uint64_t size;		       /* its bytes, as far as known; else all of the space */
	struct coffer_stored_map *map; /* if whole */
	uint8_t *bytes;		       /* if whole: @size of them */
};

/* Of an examined disk with a header that is converting. */
int coffer_stored_map_read(
	const struct coffer_disk *disk, struct coffer_map_on_disk *ret, struct coffer_err *e);
void coffer_map_on_disk_free(struct coffer_map_on_disk *m); /* a zeroed one is fine */
#define _cleanup_map_on_disk_ _cleanup_(coffer_map_on_disk_free)

/* Why the map is not one that the conversion on @disk can follow, as far as it can be judged
 * without a key; NULL: it is. */
const char *coffer_map_on_disk_objection(
	const struct coffer_map_on_disk *m, const struct coffer_disk *disk);

/* How far the conversion on @disk is: *ret_done of *ret_total bytes, used ones where the disk has
 * such a map, else all. Whether the filesystem was used since the map was made cannot be checked
 * without the key; a run that finds so counts all bytes, and makes the map void. */
int coffer_progress_read(const struct coffer_disk *disk, uint64_t *ret_done, uint64_t *ret_total,
	struct coffer_err *e);
