/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libcryptsetup.h - the only door to libcryptsetup
 *
 * It never sees the real device: it works on a header in a memfd and, where it wants data, on an
 * empty memfd of the device's size. So its auto-recovery, its unflushed writes and its locks touch
 * nothing that counts, and no header ever lies in a temporary file on a disk. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/secret.h"
#include "coffer/err.h"
#include "io/child.h"

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

/* Of the volume; bytes. */
struct coffer_luks2_layout {
	uint64_t device_size;
	uint64_t data_offset; /* how far an encryption in place moves the data */
	uint32_t sector_size;
};

/* The key derivation that @f names, or the one that this libcryptsetup takes by itself. */
const char *coffer_luks2_pbkdf(const struct coffer_luks2_format *f);

/* Are those values of @f such that libcryptsetup can work with them which it alone can judge: the
 * cost of key derivation? -EINVAL and others, its own words in @e. */
int coffer_luks2_check_format(const struct coffer_luks2_format *f, struct coffer_err *e);

/* A new header with a random volume key and @passphrase in keyslot 0, ready to encrypt in place a
 * device of this @layout. *ret_fd is a memfd of data_offset bytes with it.
 * -EINVAL and others of libcryptsetup, whose own words are in @e. -EINTR: @stop wanted it.
 * Forks. Where the caller has more threads, the child may wait for a lock that is nobody's any
 * more; then it is ended and another one begun. -EDEADLK: that has not helped. */
int coffer_luks2_build(const struct coffer_luks2_format *f,
	const struct coffer_luks2_layout *layout, const struct coffer_secret *passphrase,
	const struct coffer_stop *stop, int *ret_fd, struct coffer_err *e);

/* The volume key from the header in memfd @fd. -EPERM: no keyslot opens with @passphrase;
 * -EINVAL: libcryptsetup does not accept the header. */
int coffer_luks2_unlock(int fd, const struct coffer_secret *passphrase,
	struct coffer_secret **ret_key, struct coffer_err *e);

/* What follows runs in a child each, since a header of unknown origin may ask for hours, for all
 * memory, or for worse: -EINTR when @stop wanted it, -EIO when the child died. */

/* Does libcryptsetup accept the header in memfd @fd? -EINVAL and others, its own words in @e. */
int coffer_luks2_accepts(int fd, const struct coffer_stop *stop, struct coffer_err *e);

/* The key that keyslot @slot alone holds: the volume's, or that of an unbound keyslot.
 * -EPERM: it does not open with @passphrase. */
int coffer_luks2_open_slot(int fd, unsigned int slot, const struct coffer_secret *passphrase,
	const struct coffer_stop *stop, struct coffer_secret **ret_key, struct coffer_err *e);

/* Is @key the volume key, by the digest over the data? -EPERM: it is not. */
int coffer_luks2_check_key(int fd, const struct coffer_secret *key, const struct coffer_stop *stop,
	struct coffer_err *e);

/* Let token @token alone open a keyslot of its own; returns the keyslot's number, and the key that
 * it holds. The token's plugin is loaded for that, and asks a TPM, a keyring or whatever else it is
 * about.
 * -ENOENT: nothing here can ask it, or what it asks has no answer; -EPERM: the answer opens no
 * keyslot; -ENOANO: it wants a PIN; others as the plugin has them. */
int coffer_luks2_open_token(int fd, unsigned int token, const struct coffer_stop *stop,
	struct coffer_secret **ret_key, struct coffer_err *e);

/* Have the finished volume of the header in memfd @fd, whose data lie on @device, mapped for as
 * long as @job runs: read-only, by the name coffer-verify-PID, and private, so that no udev rule
 * looks at it and nobody mounts it. Device-mapper is told to drop the mapping with its last user,
 * so it goes in every case. Mapping and @job are a child's; a job's -errno and error come back.
 * Outcome REFUSED: it cannot be mapped here (no root, no device-mapper, in use); -EINTR: @stop
 * wanted it, and the job has ended. */
typedef int (*coffer_luks2_job)(
	void *arg, const char *path, const struct coffer_stop *stop, struct coffer_err *e);
int coffer_luks2_map(int fd, const char *device, const struct coffer_secret *key,
	coffer_luks2_job job, void *arg, const struct coffer_stop *stop, struct coffer_err *e);

/* An empty memfd of @size bytes (sparse: it costs no memory until written). */
int coffer_memfd(const char *name, uint64_t size, int *ret_fd, struct coffer_err *e);
