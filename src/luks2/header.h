/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* header.h - both LUKS2 header copies of a disk in memory: judge, commit
 *
 * Reading never writes: libcryptsetup would repair a torn copy whenever it loads one.
 * A commit is: one copy, flush, the other copy, flush; so one copy is usable at every instant. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "io/dev.h"
#include "luks2/header_read.h"

/* One header copy, judged by itself. */
struct coffer_copy_facts {
	bool magic;   /* it has a LUKS2 binary block with valid sizes */
	bool usable;  /* and a valid checksum and JSON, and libcryptsetup accepts it */
	bool refused; /* it is intact, but libcryptsetup refuses its metadata */
	uint64_t seqid;
	char uuid[41];			  /* in the binary block, even if torn */
	char reason[COFFER_LUKS2_REASON]; /* "torn (...)": why it is not usable; "": it has no magic
					   */
};

/* Both of them. */
struct coffer_copies {
	struct coffer_copy_facts copy[2];
	int newest;	    /* index of the copy that counts; -1: none is usable */
	char uuid[41];	    /* of the newest copy */
	uint64_t copy_size; /* likewise */
	bool agree;	    /* both are usable and equal */
	bool two_volumes;   /* both are usable, of different volumes: it is unknown whose data these
			       are */
};

struct coffer_header {
	uint64_t copy_size;
	uint64_t seqid;
	char uuid[41];
	uint8_t *copy[2]; /* sealed, as they are to be on the disk */
	uint8_t *disk[2]; /* as this run last wrote and flushed them; NULL: not yet */
	bool current[2];  /* the copy on the disk was usable and the newest when it was read */
	struct json_object *json;
	struct json_object *other_json; /* of the other copy; NULL: it is not usable */
};

/* Above this a conversion could run out of numbers: one of 2^63 bytes has fewer than 2^44 commits.
 * After a wrap the older copy would count. */
#define COFFER_LAST_SEQID (UINT64_MAX - (UINT64_C(1) << 44))

void coffer_copies_judge(const struct coffer_luks2_copy c[2], struct coffer_copies *ret);

/* Read and judge both copies, under a lock of the caller. *ret is NULL when none is usable. -errno
 * of reads only. */
int coffer_header_read(struct coffer_dev *d, struct coffer_copies *ret_copies,
	struct coffer_header **ret, struct coffer_err *e);
/* A header with copies of @copy_size zeros and no metadata; NULL: no memory. */
struct coffer_header *coffer_header_new(uint64_t copy_size);
void coffer_header_free(struct coffer_header *h); /* NULL is fine */
DEFINE_CLEANUP(struct coffer_header *, header, coffer_header_free);
#define _cleanup_header_ _cleanup_(cleanup_header)

/* Put the header into a memfd, so that libcryptsetup cannot write to the disk: both copies as they
 * were judged, intact even if one on the disk is torn, and the keyslots area, which must end at
 * byte
 * @limit or before. The caller owns *ret_fd. -EBADMSG: it does not. */
int coffer_header_memfd(struct coffer_dev *d, const struct coffer_header *h, uint64_t limit,
	int *ret_fd, struct coffer_err *e);

/* Write @h->json as the next state (seqid + 1), under the metadata lock. A copy that is torn or out
 * of date goes first, so that the good one is never at risk before there is another.
 * NEEDS_REPAIR with -ESTALE: another program changed the header; nothing was written.
 * REFUSED with -EOVERFLOW: there is no higher number. */
int coffer_header_commit(struct coffer_dev *d, struct coffer_header *h, struct coffer_err *e);

/* Write both copies again with the same seqid: this recovers a torn one, and makes durable what a
 * killed run may have left in a cache. -ESTALE as above. The caller holds the metadata lock. */
int coffer_header_rewrite(struct coffer_dev *d, struct coffer_header *h, struct coffer_err *e);

/* Replace @h by another header: its two copies are at @image and have the same size; @json and
 * @seqid are put into them. Written and checked as a commit, with the copy that is torn or out of
 * date first; where none was usable, the first one comes last. The caller holds the metadata lock.
 */
int coffer_header_replace(struct coffer_dev *d, struct coffer_header *h, const uint8_t *image,
	const char *json, uint64_t seqid, struct coffer_err *e);
