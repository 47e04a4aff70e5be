/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* disk.h - an open disk and what is known of it; examine reads, decide judges
 *
 * After each operation the disk is examined again: what happens next follows from what is on the
 * disk, never from what the program remembers. */
#pragma once
#include "convert/decide.h"
#include "fs/signatures.h"
#include "io/dev.h"
#include "luks2/header.h"

struct coffer_disk {
	struct coffer_dev *dev; /* borrowed */
	struct coffer_facts facts;
	struct coffer_header *header; /* NULL: no copy is usable */
	uint8_t *image;		      /* bytes of the PLACE record's image, if it was needed */
	enum coffer_operation operation;
	char why[512]; /* for DAMAGED */
	bool unlocked; /* read without the metadata lock, which this user has no access to */
};

/* Does a usable header describe a conversion that coffer can resume? */
static inline bool coffer_disk_is_converting(const struct coffer_disk *disk)
{
	return disk->header && disk->facts.kind_error == 0 &&
	       disk->facts.kind == COFFER_LUKS2_CONVERTING;
}

/* Read both header copies and the conversion that they describe. *ret is NULL when none is usable.
 * -errno of reads only. */
int coffer_facts_read_header(struct coffer_dev *d, struct coffer_facts *f,
	struct coffer_header **ret, struct coffer_err *e);

/* Read everything that decides, from the disk and not from a cache, under the shared metadata lock.
 * Flushes what an earlier run may have left; else changes nothing. */
int coffer_disk_examine(struct coffer_dev *d, struct coffer_disk *ret, struct coffer_err *e);
void coffer_disk_reset(struct coffer_disk *disk); /* frees what examine allocated */

/* SHA-256 of [off, off + n) of the device. */
int coffer_dev_hash(struct coffer_dev *d, uint64_t off, uint64_t n, uint8_t ret[COFFER_SHA256_SIZE],
	struct coffer_err *e);
/* Is it @want? */
int coffer_dev_check_hash(struct coffer_dev *d, uint64_t off, uint64_t n,
	const uint8_t want[COFFER_SHA256_SIZE], bool *ret, struct coffer_err *e);
/* The record in the block at byte @off. No valid one: *ret_found is false. */
int coffer_record_read(struct coffer_dev *d, uint64_t off, struct coffer_record *ret,
	bool *ret_found, struct coffer_err *e);
/* [at, at + n) of the first S bytes, and the same of the moved-segment copy. */
int coffer_segment_read(struct coffer_dev *d, const struct coffer_geometry *g, uint64_t at,
	size_t n, uint8_t *now, uint8_t *copy, struct coffer_err *e);

/* Is there content that libblkid, which has found @content, does not know? A volume whose header is
 * overwritten has. Zeros at the start, as long as a usual header area, count as an empty disk. */
int coffer_dev_has_unknown_content(struct coffer_dev *d, const struct coffer_content *content,
	bool *ret, struct coffer_err *e);

/* The error for operations that end a run: SHRUNK, OTHER, DAMAGED; CONVERT and FINALIZE of a header
 * with too high a sequence number. 0 for all other operations. */
int coffer_disk_refuse(const struct coffer_disk *disk, struct coffer_err *e);

/* REFUSED with -EEXIST: there is nothing to encrypt. */
int coffer_disk_refuse_encrypted(const struct coffer_dev *d, struct coffer_err *e);
