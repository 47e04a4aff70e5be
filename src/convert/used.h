/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* used.h - the used map of a run: made before the first write, stored with the header, followed on
 * a resume only while the filesystem is what it was */
#pragma once
#include "convert/preflight.h"
#include "convert/session.h"

/* Before a conversion starts: read what is used, as the options ask, into s->own.stored and the
 * result. @may_mount: the filesystem may be mounted read-only, in a namespace of its own, to ask
 * the kernel. REFUSED: --used-only=yes, and the used blocks are not certain. Writes nothing. */
int coffer_used_find(struct coffer_session *s, const struct coffer_preflight *g, bool may_mount,
	struct coffer_err *e);

/* Right before the first write: is the filesystem still what the map was made of? A passphrase may
 * take long to type, and an image file can be mounted meanwhile. REFUSED with -EBUSY: it is not. */
int coffer_used_confirm(struct coffer_session *s, struct coffer_err *e);

/* Put s->own.stored, if there is one, into the new header in memfd @fd, for the placement to write.
 * It is made coarser until it fits; if it cannot fit, everything counts. REFUSED as above. */
int coffer_used_store(struct coffer_session *s, int fd, struct coffer_err *e);

/* Before a conversion is resumed, with the key: follow the map of the examined disk, if it is
 * valid, of this volume, and the filesystem has not been used since. Else everything counts, and
 * the map on the disk is made void, durably. REFUSED as above. */
int coffer_used_load(struct coffer_session *s, struct coffer_err *e);

/* Zeros over the map, at the end, when pointer 0 is durable; not flushed. */
int coffer_used_erase(struct coffer_session *s, struct coffer_err *e);
