/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* helper.h - jobs for libcryptsetup that run in the helper program
 *
 * A header of unknown origin may ask for hours or for all memory, and libcryptsetup keeps settings
 * for a whole process: such jobs run in coffer-helper. The helper ends with its caller. It is
 * COFFER_HELPER of the environment (not in a set-user-ID program), or stands beside the running
 * program, or is the installed one.
 * Common results: -EINTR, without an error: @stop wanted it. -EIO: the helper died. -ECOMM:
 * libcryptsetup was not asked (the helper is not installed, cannot be started, is of another
 * version or too slow), which is no answer of its own. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/json.h"
#include "base/secret.h"
#include "coffer/err.h"
#include "io/child.h"
#include "luks2/libcryptsetup.h"

/* Make a header with a random volume key and @passphrase in keyslot 0, ready to encrypt in place a
 * device of this @layout. *ret_fd is a memfd of data_offset bytes with it.
 * -EINVAL and others of libcryptsetup, with its own words in @e. */
int coffer_luks2_build(const struct coffer_luks2_format *f,
	const struct coffer_luks2_layout *layout, const struct coffer_secret *passphrase,
	const struct coffer_stop *stop, int *ret_fd, struct coffer_err *e);

/* Load the header in memfd @fd. -EINVAL and others: libcryptsetup does not accept it; its own words
 * are in @e. */
int coffer_luks2_accepts(int fd, const struct coffer_stop *stop, struct coffer_err *e);

/* Load the header in memfd @fd, whose two copies are made of the same one. 1: libcryptsetup accepts
 * it; 0: it does not, and @e has its reason; -errno: it could not be asked. */
int coffer_luks2_judge(int fd, struct coffer_err *e);

/* Read the key that keyslot @slot alone holds: the volume's, or that of an unbound keyslot.
 * -EPERM: it does not open with @passphrase. */
int coffer_luks2_open_slot(int fd, unsigned int slot, const struct coffer_secret *passphrase,
	const struct coffer_stop *stop, struct coffer_secret **ret_key, struct coffer_err *e);

/* Compare @key with the digest of the data's volume key. -EPERM: it is another key. */
int coffer_luks2_check_key(int fd, const struct coffer_secret *key, const struct coffer_stop *stop,
	struct coffer_err *e);

/* Compare the digest over the reencryption's metadata in @json with @key, as
 * coffer_reencrypt_digest_verify does. */
int coffer_luks2_check_digest(struct json_object *json, const struct coffer_secret *key,
	const struct coffer_stop *stop, struct coffer_err *e);

/* Let token @token alone open a keyslot of its own. Returns the keyslot's number, and the key that
 * it holds. The token's plugin is loaded, and asks a TPM or a keyring.
 * -ENOENT: nothing here can ask it, or there is no answer; -EPERM: the answer opens no keyslot;
 * -ENOANO: it wants a PIN; others as the plugin has them. */
int coffer_luks2_open_token(int fd, unsigned int token, const struct coffer_stop *stop,
	struct coffer_secret **ret_key, struct coffer_err *e);
