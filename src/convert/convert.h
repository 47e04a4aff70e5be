/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* convert.h - move and encrypt the data, step by step, with a commit after each */
#pragma once
#include "convert/session.h"

/* From the header's pointer down to 0. The session has the key; the disk was examined (CONVERT).
 * Returns 0 with pointer 0 committed, or -errno; the disk is resumable at every instant. */
int coffer_convert(struct coffer_session *s, struct coffer_err *e);

/* Wipe the head copy and write the final header (END). */
int coffer_convert_finalize(struct coffer_session *s, struct coffer_err *e);

/* Bring the final header's torn or late copy in line (SYNC_FINAL). */
int coffer_convert_sync(struct coffer_session *s, struct coffer_err *e);
