/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* coffer/verify.h - verify headers, keyslots and data without writing
 *
 * Only reads. The header is never repaired: libcryptsetup gets a copy in memory. What needs a key
 * is UNCHECKED without one. */
#ifndef COFFER_VERIFY_H
#define COFFER_VERIFY_H

#include <stdbool.h>

#include "coffer/encrypt.h"
#include "coffer/err.h"
#include "coffer/finding.h"
#include "coffer/status.h"

#ifdef __cplusplus
extern "C" {
#endif

struct coffer_verify_options {
	const char *device;
	bool check_filesystem; /* run the filesystem's own checker, read-only; on an encrypted
				* volume this needs root and device-mapper */
	bool use_tokens;       /* let each token open its keyslot (this asks a TPM) */
	bool serialize_memory_hard_pbkdf; /* one key derivation at a time on this machine */
	/* passphrase (NULL: no key) is called with COFFER_ASK_EXISTING, stop during long checks;
	 * the others are not used. */
	struct coffer_encrypt_callbacks callbacks;
};

struct coffer_verification {
	struct coffer_status *status;
	struct coffer_findings checks;
};

/* Verify @o->device. *ret, for coffer_verification_free, is also set with outcome NO or
 * NEEDS_REPAIR. 0: encrypted, no check is BAD, and no check that @o asks for is UNCHECKED. NO with
 * -ENOTSUP: the disk is not completely encrypted, or the check that is the error's id could not be
 * done ("metadata" of a LUKS1 volume, too); NO with -EBADMSG: a check is BAD; NEEDS_REPAIR:
 * damaged; FAILED: the disk cannot be read. */
COFFER_API int coffer_verify(const struct coffer_verify_options *o,
	struct coffer_verification **ret, struct coffer_err *e);
COFFER_API void coffer_verification_free(struct coffer_verification *v); /* NULL is fine */

#ifdef __cplusplus
}
#endif
#endif
