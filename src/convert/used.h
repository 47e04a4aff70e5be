/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* used.h - the used map of a run: made before the first write, stored with the header, followed on
 * a resume only while the filesystem is what it was */
#pragma once
#include "convert/preflight.h"
#include "convert/session.h"

/* Before a conversion starts: read what is used, as the options ask, into s->own.stored and the
 * result. NULL there: everything counts as used. @may_mount: the filesystem may be mounted
 * read-only, in a namespace of its own, to ask the kernel. REFUSED: --used-only=yes, and the used
 * blocks are not certain. Writes nothing. */
int coffer_used_find(struct coffer_session *s, const struct coffer_preflight *g, bool may_mount,
	struct coffer_err *e);

/* Right before the first write: is the filesystem still what the map was made of? A passphrase may
 * take long to type, and an image file can be mounted meanwhile. REFUSED with -EBUSY: it is not. */
int coffer_used_confirm(struct coffer_session *s, struct coffer_err *e);

/* Put s->own.stored, if there is one, into the new header in memfd @fd, for the placement to write.
 * It is made coarser until it fits; if it cannot fit, everything counts. REFUSED as above. */
int coffer_used_store(struct coffer_session *s, int fd, struct coffer_err *e);

/* Before a conversion is resumed, with the key: follow the map of the examined disk, if it is
 * whole, of this volume, and the filesystem has not been used since. Else everything counts, and
 * the map on the disk is made void, durably. s->own.stored->free_space is how this run handles
 * unused blocks, the result's what holds for the whole volume. REFUSED as above. */
int coffer_used_load(struct coffer_session *s, struct coffer_err *e);

/* Zeros over the map, at the end, when pointer 0 is durable; not flushed. */
int coffer_used_erase(struct coffer_session *s, struct coffer_err *e);

/* Shared by the files that do the above. Everything counts as used because of @why; NULL: the
 * options ask for that. REFUSED where they ask for used blocks only. */
int coffer_used_give_up(struct coffer_session *s, const char *why, struct coffer_err *e);
/* What counts as used by @m. */
void coffer_used_report(const struct coffer_stored_map *m, struct coffer_encrypt_result *ret);

/* Read plain bytes [x, x + n), multiples of 4096 but for the data's end. */
typedef int (*coffer_read_plain)(
	void *arg, uint64_t x, uint8_t *buf, size_t n, struct coffer_err *e);

/* Of the prints of @m, in their order, as @read gives them. */
int coffer_fingerprint(const struct coffer_stored_map *m, coffer_read_plain read, void *arg,
	uint8_t ret[COFFER_SHA256_SIZE], struct coffer_err *e);
