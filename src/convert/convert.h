/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* convert.h - move and encrypt the data, step by step, with a commit after each */
#pragma once
#include "convert/session.h"

/* Convert from the header's pointer down to 0. The session has the key; the disk was examined
 * (CONVERT). 0: pointer 0 is committed. The disk is resumable at every instant. */
int coffer_convert(struct coffer_session *s, struct coffer_err *e);

/* Wipe the moved-segment copy and write the final header (FINALIZE). */
int coffer_convert_finalize(struct coffer_session *s, struct coffer_err *e);

/* Write the final header to its torn or late copy, too (SYNC_FINAL). -ESTALE: another program has
 * changed the header meanwhile; nothing was written. */
int coffer_convert_sync(struct coffer_session *s, struct coffer_err *e);
