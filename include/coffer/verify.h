/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* coffer/verify.h - verify headers, keyslots and data without writing
 *
 * Only reads. The header is judged as it lies on the disk and is never repaired; libcryptsetup sees
 * a copy of it in memory. Without a key all that needs none is checked, the rest is UNCHECKED. */
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
	bool check_filesystem; /* run the filesystem's own checker, read-only. Of an encrypted
				* volume that needs root and device-mapper */
	bool use_tokens;       /* let each token prove that it opens its keyslot (a TPM is asked) */
	bool serialize_memory_hard_pbkdf; /* one key derivation at a time on this machine */
	/* passphrase: NULL: none is given; why is COFFER_ASK_EXISTING. stop: ends a check that
	 * takes long. The other callbacks do not count. */
	struct coffer_encrypt_callbacks callbacks;
};

struct coffer_verification {
	struct coffer_status *status;
	struct coffer_findings checks;
};

/* Verify @o->device. *ret, for coffer_verification_free, is also set where the outcome is NO or
 * NEEDS_REPAIR.
 * 0: encrypted, and no check is BAD. Outcome NO with -ENOTSUP: the disk is not encrypted to its
 * end; NO with -EBADMSG: a check is BAD; NEEDS_REPAIR: damaged; FAILED: the disk cannot be read. */
COFFER_API int coffer_verify(const struct coffer_verify_options *o,
	struct coffer_verification **ret, struct coffer_err *e);
COFFER_API void coffer_verification_free(struct coffer_verification *v); /* NULL is fine */

#ifdef __cplusplus
}
#endif
#endif
