/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* coffer/verify.h - verify headers, keyslots and data without writing
 *
 * Only reads; read access is enough. The header is never repaired: libcryptsetup gets a copy in
 * memory. Without a key, the checks that need one are UNCHECKED. */
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
	const char *device;    /* block device or image file; required */
	bool check_filesystem; /* run the filesystem's own checker, read-only; for an encrypted
				* volume this needs a key, root and device-mapper */
	bool use_tokens;       /* let each token unlock its keyslot, for example with a TPM */
	bool serialize_memory_hard_pbkdf; /* as in coffer_encrypt_options */
	/* passphrase (NULL: no key) is called with COFFER_ASK_EXISTING; stop is called during long
	 * checks; progress is not used. */
	struct coffer_encrypt_callbacks callbacks;
};

struct coffer_verification {
	struct coffer_status *status;
	struct coffer_findings checks;
};

/* Verify @o->device. *ret is set on success and with outcome NO or NEEDS_REPAIR; free it with
 * coffer_verification_free.
 * Returns 0 if the disk is completely encrypted, no check is BAD, and no check that @o requests is
 * UNCHECKED; otherwise a negative errno. Outcome NO with -ENOTSUP: the disk is not completely
 * encrypted, or the check that is the error's id could not be done ("metadata" of a LUKS1 volume,
 * too); NO with -EBADMSG: a check is BAD; NEEDS_REPAIR: the disk is damaged; REFUSED with -ENOTBLK:
 * neither a block device nor a regular file; INTERRUPTED: stop returned true; FAILED: the disk
 * cannot be read. */
COFFER_API int coffer_verify(const struct coffer_verify_options *o,
	struct coffer_verification **ret, struct coffer_err *e);
COFFER_API void coffer_verification_free(struct coffer_verification *v); /* NULL is fine */

#ifdef __cplusplus
}
#endif
#endif
