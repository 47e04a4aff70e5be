/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* luks2.h - the only door to libcryptsetup
 *
 * It never sees the real device: it works on a header in a memfd and, where it wants data, on an
 * empty memfd of the device's size. So its auto-recovery, its unflushed writes and its locks touch
 * nothing that counts, and no header ever lies in a temporary file on a disk. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/secret.h"
#include "coffer/err.h"
#include "model/geometry.h"
#include "os/child.h"

/* Zero or NULL is libcryptsetup's default everywhere. */
struct coffer_luks2_format {
	const char *cipher;	   /* "aes-xts-plain64"; never NULL */
	uint32_t key_size;	   /* bytes of the volume key; never 0 */
	const char *hash;	   /* of AF splitter and digests */
	const char *pbkdf;	   /* "argon2id", "argon2i", "pbkdf2" */
	uint32_t pbkdf_memory;	   /* KiB */
	uint32_t pbkdf_parallel;   /* threads */
	uint32_t pbkdf_iterations; /* fixed: no benchmark */
	uint32_t iter_time;	   /* ms the benchmark aims at */
	const char *uuid;
	const char *label;
	uint64_t metadata_size; /* bytes of one header copy; never 0 */
	uint64_t keyslots_size; /* bytes; never 0 */
};

/* A new header with a random volume key and @passphrase in keyslot 0, ready to encrypt in place a
 * device of the layout @g. *ret_fd is a memfd of S bytes with it.
 * -EINVAL and others of libcryptsetup, whose own words are in @e. -EINTR: @stop wanted it.
 * Forks. Where the caller has more threads, the child may wait for a lock that is nobody's any
 * more; then it is ended and another one begun. -EDEADLK: that has not helped. */
int coffer_luks2_build(const struct coffer_luks2_format *f, const struct coffer_geometry *g,
	const struct coffer_secret *passphrase, const struct coffer_stop *stop, int *ret_fd,
	struct coffer_err *e);

/* The volume key from the header in memfd @fd. -EPERM: no keyslot opens with @passphrase;
 * -EINVAL: libcryptsetup does not accept the header. */
int coffer_luks2_unlock(int fd, const struct coffer_secret *passphrase,
	struct coffer_secret **ret_key, struct coffer_err *e);

/* An empty memfd of @size bytes (sparse: it costs no memory until written). */
int coffer_memfd(const char *name, uint64_t size, int *ret_fd, struct coffer_err *e);
