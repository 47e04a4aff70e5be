/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* encrypt.h - what a session does; and the public verbs over any device, for tests */
#pragma once
#include "convert/session.h"

/* All operations until nothing is left to do, in a session that may have done other work before. */
int coffer_encrypt_run(struct coffer_session *s, struct coffer_err *e);

/* Convert from the header's pointer down to 0. The session has the key; the disk was examined
 * (CONVERT). 0: pointer 0 is committed. The disk is resumable at every instant. */
int coffer_convert(struct coffer_session *s, struct coffer_err *e);

/* Wipe the moved-segment copy and write the final header (FINALIZE). */
int coffer_convert_finalize(struct coffer_session *s, struct coffer_err *e);

/* Write the final header to its torn or late copy, too (SYNC_FINAL). -ESTALE: another program has
 * changed the header meanwhile; nothing was written. */
int coffer_convert_sync(struct coffer_session *s, struct coffer_err *e);

/* As coffer_encrypt and coffer_abort; @dev is closed in any case, @o->device does not count. */
int coffer_encrypt_dev(struct coffer_dev *dev, const struct coffer_encrypt_options *o,
	struct coffer_encrypt_result *ret, struct coffer_err *e);
int coffer_abort_dev(struct coffer_dev *dev, const struct coffer_encrypt_options *o,
	struct coffer_encrypt_result *ret, struct coffer_err *e);
