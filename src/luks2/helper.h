/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* helper.h - jobs for libcryptsetup that run in the helper program
 *
 * A header of unknown origin may ask for hours or for all memory, and libcryptsetup keeps settings
 * for a whole process, so these jobs run in coffer-helper, which ends with its caller. Its path is
 * COFFER_HELPER of the environment (not in a set-user-ID program), or the directory of the running
 * program, or the installed one.
 * Common results: -EINTR, without an error: @stop. -EIO: the helper died. -ECOMM: it is missing,
 * cannot start, has another version or is too slow, so libcryptsetup was not asked. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/secret.h"
#include "coffer/err.h"
#include "io/child.h"
#include "luks2/libcryptsetup.h"

/* Create a header with a random volume key and @passphrase in keyslot 0, ready to encrypt a device
 * of this @layout in place. *ret_fd is a memfd of data_offset bytes with it.
 * -EINVAL and others of libcryptsetup, with its message in @e. */
int coffer_luks2_build(const struct coffer_luks2_format *f,
	const struct coffer_luks2_layout *layout, const struct coffer_secret *passphrase,
	const struct coffer_stop *stop, int *ret_fd, struct coffer_err *e);

/* Load the header in memfd @fd. 1: libcryptsetup accepts it; 0: it does not, and @e has the reason
 * alone; -errno: it was not asked. */
int coffer_luks2_judge(int fd, const struct coffer_stop *stop, struct coffer_err *e);

/* Read the key that keyslot @slot alone holds: the volume's, or that of an unbound keyslot.
 * -EPERM: it does not open with @passphrase. */
int coffer_luks2_open_slot(int fd, unsigned int slot, const struct coffer_secret *passphrase,
	const struct coffer_stop *stop, struct coffer_secret **ret_key, struct coffer_err *e);

/* Compare @key with the digest of the data's volume key. -EPERM: it is another key. */
int coffer_luks2_check_key(int fd, const struct coffer_secret *key, const struct coffer_stop *stop,
	struct coffer_err *e);

/* Compare the digest over the reencryption's metadata with @key, as coffer_reencrypt_digest_verify
 * does. */
int coffer_luks2_check_digest(int fd, const struct coffer_secret *key,
	const struct coffer_stop *stop, struct coffer_err *e);

/* Open a keyslot with token @token alone. Returns the number of the keyslot, and its key. The
 * plugin of the token is loaded, and asks a TPM or a keyring. -ENOENT: no plugin, or no answer;
 * -EPERM: the answer opens no keyslot; -ENOANO: it needs a PIN; others come from the plugin. */
int coffer_luks2_open_token(int fd, unsigned int token, const struct coffer_stop *stop,
	struct coffer_secret **ret_key, struct coffer_err *e);
