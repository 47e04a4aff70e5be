/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* header.h - the two LUKS2 header copies of a disk, in memory, and commits to them
 *
 * Reading never writes: libcryptsetup would repair a torn copy on any load, this does not.
 * A commit is: one copy, flush, the other copy, flush; so one copy is whole at every instant. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/json.h"
#include "io/dev.h"

/* One header copy, judged by itself. */
struct coffer_copy_facts {
	bool magic; /* a binary block of LUKS2 with possible sizes stands there */
	bool whole; /* and its checksum, JSON and form are right, and libcryptsetup would load it */
	bool refused; /* it would be whole, but libcryptsetup refuses what it says */
	uint64_t seqid;
	char uuid[41]; /* as the binary block says, right or torn */
};

/* Both of them. */
struct coffer_copies {
	struct coffer_copy_facts copy[2];
	int newest;	    /* index of the copy that counts; -1: none is whole */
	char uuid[41];	    /* of the newest copy */
	uint64_t copy_size; /* likewise */
	bool agree;	    /* both are whole and say the same */
	bool two_volumes;   /* both are whole, and of two: nobody knows whose data these are */
};

struct coffer_header {
	uint64_t copy_size;
	uint64_t seqid;
	char uuid[41];
	uint8_t *copy[2]; /* sealed, as they are wanted on the disk */
	uint8_t *disk[2]; /* as this run wrote and flushed them last; NULL: it has not yet */
	bool current[2];  /* the copy on the disk was whole and the newest when it was read */
	struct json_object *json;
	struct json_object
		*other_json; /* of the copy that is not the newest; NULL: it is not whole */
};

/* From here on a header has too few numbers left: a conversion of 2^63 bytes has less than 2^44
 * commits, and a number that wraps makes the older copy the one that counts. */
#define COFFER_LAST_SEQID (UINT64_MAX - (UINT64_C(1) << 44))

/* Read both copies and judge them. *ret is NULL when none is whole. -errno of reads only. */
int coffer_header_read(struct coffer_dev *d, struct coffer_copies *ret_copies,
	struct coffer_header **ret, struct coffer_err *e);
/* A header that is not on the disk yet, with copies of @copy_size bytes of zeros and no metadata;
 * NULL: no memory. */
struct coffer_header *coffer_header_new(uint64_t copy_size);
void coffer_header_free(struct coffer_header *h); /* NULL is fine */
DEFINE_CLEANUP(struct coffer_header *, header, coffer_header_free);
#define _cleanup_header_ _cleanup_(cleanup_header)

/* The header in a memfd, so that libcryptsetup can neither mend nor change the disk: both copies as
 * they were judged, whole whatever the disk's torn one says, and the keyslots area, which must end
 * at byte @limit or before. *ret_fd belongs to the caller. -EBADMSG: it does not. */
int coffer_header_memfd(struct coffer_dev *d, const struct coffer_header *h, uint64_t limit,
	int *ret_fd, struct coffer_err *e);

/* Write @h->json as the next state (seqid + 1), under cryptsetup's metadata lock. The copy that is
 * torn or behind goes first, so that the good one is never at risk before there is another.
 * NEEDS_REPAIR with -ESTALE: the header on the disk is not the one that is known, and nothing was
 * written. REFUSED with -EOVERFLOW: there is no higher number. */
int coffer_header_commit(struct coffer_dev *d, struct coffer_header *h, struct coffer_err *e);

/* Write both copies again as they are, same seqid: brings a torn one back, and makes durable what
 * a killed run may have left in a cache. -ESTALE as above. The caller holds the metadata lock. */
int coffer_header_rewrite(struct coffer_dev *d, struct coffer_header *h, struct coffer_err *e);

/* Let another header take the place of @h: its two copies lie at @image, and @json and @seqid are
 * put into them. Its copies have the same size. Written and checked as a commit, with the copy that
 * is torn or behind first; where none was whole, the first one comes last. The caller holds the
 * metadata lock. */
int coffer_header_replace(struct coffer_dev *d, struct coffer_header *h, const uint8_t *image,
	const char *json, uint64_t seqid, struct coffer_err *e);
