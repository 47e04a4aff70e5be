/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* stored_map.h - the used map as it waits on the disk for a resume
 *
 * It lies between the keyslots area and S, since the plain filesystem cannot be read in place any
 * more. It is bound to the LUKS UUID, to the geometry, and to the fingerprint: the hash of those
 * plain bytes that any use of the filesystem changes (superblocks, journal or log).
 * docs/on-disk-format.md has the format. All numbers on disk are big-endian. */
#pragma once
#include "base/crypto.h"
#include "convert/geometry.h"
#include "convert/used_map.h"

enum {
	COFFER_STORED_MAP_MAX_PRINTS = 1024
};

struct coffer_stored_map {
	char uuid[41];
	struct coffer_geometry geometry;
	/* enum coffer_free_space: on the disk the weakest that any run has passed bytes with, in a
	 * run its own */
	uint32_t free_space;
	bool void_; /* must not be followed: only uuid and free_space count */
	/* The bytes of the plain filesystem that the fingerprint is taken of, in this order;
	 * multiples of 512, within [0, L). */
	struct coffer_range *prints;
	size_t n_prints;
	uint8_t fingerprint[COFFER_SHA256_SIZE];
	struct coffer_used_map *map;
};

void coffer_stored_map_reset(struct coffer_stored_map *m); /* frees what it holds */
void coffer_stored_map_free(struct coffer_stored_map *m);  /* and itself; NULL is fine */

/* Bytes that a map of @n_prints and @n_used ranges takes: a multiple of 4096. */
uint64_t coffer_stored_map_size(size_t n_prints, size_t n_used);
/* How many used ranges fit into @space bytes with @n_prints; 0: none. */
size_t coffer_stored_map_fits(uint64_t space, size_t n_prints);

/* Into @buf of coffer_stored_map_size bytes. -EIO (libcrypto). */
int coffer_stored_map_encode(const struct coffer_stored_map *m, uint8_t *buf);

/* From the first block (4096 bytes) alone, unproven: the size of all of it, also of what a void one
 * stands for; COFFER_MAX_IMAGE at most. -ENODATA: no magic; -EBADMSG: impossible. */
int coffer_stored_map_peek(const uint8_t *block, uint64_t *ret_size);

/* From @size bytes. Nothing of it is believed that was not checked: sum, order of the ranges,
 * sizes. -ENODATA: no magic; -EBADMSG: damaged or impossible; -ENOMEM; -EIO (libcrypto). A void one
 * gives 0, void_ and no map. */
int coffer_stored_map_decode(const uint8_t *buf, size_t size, struct coffer_stored_map *ret);

/* A block that makes the map of the volume @uuid void, even if it is torn. It keeps @free_space,
 * and the @size to erase at the end. -EIO (libcrypto). */
int coffer_stored_map_encode_void(
	const char *uuid, uint32_t free_space, uint64_t size, uint8_t block[COFFER_BLOCK]);

/* Does a map, good, void or torn, begin with this sector? Each sector of a void one counts, too. */
bool coffer_stored_map_trace(const uint8_t *sector);

struct coffer_disk;

/* What lies between the keyslots area and S. */
struct coffer_map_on_disk {
	uint64_t at;		       /* where */
	bool trace;		       /* something with the map's magic lies there */
	bool valid;		       /* it can be read; it may be void */
	uint64_t size;		       /* its bytes, as far as known; else all up to S */
	struct coffer_stored_map *map; /* if valid */
	uint8_t *bytes;		       /* if valid: @size of them */
};

/* Of an examined disk with a header that is converting (stored_map_read.c). */
int coffer_stored_map_read(
	const struct coffer_disk *disk, struct coffer_map_on_disk *ret, struct coffer_err *e);
void coffer_map_on_disk_free(struct coffer_map_on_disk *m); /* a zeroed one is fine */
#define _cleanup_map_on_disk_ _cleanup_(coffer_map_on_disk_free)

/* Why the map is not one that the conversion on @disk can follow, as far as it can be judged
 * without a key; NULL: it is. */
const char *coffer_map_on_disk_objection(
	const struct coffer_map_on_disk *m, const struct coffer_disk *disk);

/* How far the conversion on @disk is: *ret_done of *ret_total bytes, used ones where the disk has
 * such a map, else all. */
int coffer_progress_read(const struct coffer_disk *disk, uint64_t *ret_done, uint64_t *ret_total,
	struct coffer_err *e);
