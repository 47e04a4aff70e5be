/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* used.h - the used map of a run: made before the first write, stored with the header, trusted on a
 * resume only while the filesystem is what it was */
#pragma once
#include "convert/preflight.h"
#include "convert/session.h"

/* Before a conversion begins: find out what is used, as the options want it, and tell the result.
 * It goes into s->stored; NULL there: everything counts. REFUSED: only what is used was to be
 * encrypted, and that cannot be told. Nothing is written. */
int coffer_used_find(struct coffer_session *s, const struct coffer_preflight *g, bool may_mount,
	struct coffer_err *e);

/* Right before the first write: is the filesystem still what the map was made of? People think long
 * about a passphrase, and an image file can be mounted meanwhile. REFUSED with -EBUSY: it is not.
 */
int coffer_used_confirm(struct coffer_session *s, struct coffer_err *e);

/* Put s->stored, if there is one, into the new header in memfd @fd, for the placement to write.
 * Made coarser until it fits; where nothing does, everything counts. REFUSED as above. */
int coffer_used_store(struct coffer_session *s, int fd, struct coffer_err *e);

/* Before a conversion goes on, with the key: the map of the examined disk, if it is there, whole,
 * of this volume, and the filesystem has not been used since; else none, and what is on the disk is
 * made void, durably. In s->stored, whose free_space is what this run is to do. The result's
 * free_space is what is true of the whole volume. REFUSED: the options want only what is used. */
int coffer_used_load(struct coffer_session *s, struct coffer_err *e);

/* Zeros over it, at the end, when pointer 0 is durable; not flushed. */
int coffer_used_erase(struct coffer_session *s, struct coffer_err *e);

/* The next two are shared by the files that do the above. Everything counts as used because of
 * @why, in a sentence; NULL: that was asked for, or is told already. */
void coffer_used_all(struct coffer_session *s, const char *why);
/* The same, or REFUSED where the options want only what is used. */
int coffer_used_give_up(struct coffer_session *s, const char *why, struct coffer_err *e);
