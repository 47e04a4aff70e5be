/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libcryptsetup.h - the only user of libcryptsetup
 *
 * It never has the real device: it works on a header in a memfd and, where it wants data, on an
 * empty memfd of the device's size. So its auto-recovery, its unflushed writes and its locks cannot
 * touch the disk, and no header is ever in a temporary file. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/secret.h"
#include "coffer/err.h"
#include "io/child.h"

enum {
	COFFER_MAX_VOLUME_KEY = 4096 /* bytes */
};

/* Zero or "" is libcryptsetup's default everywhere. A text is truncated to one that nothing
 * accepts. */
struct coffer_luks2_format {
	const char *cipher;	   /* "aes-xts-plain64"; it does not cross to the helper */
	uint32_t key_size;	   /* bytes of the volume key; never 0 */
	char hash[32];		   /* of AF splitter and digests */
	char pbkdf[32];		   /* "argon2id", "argon2i", "pbkdf2" */
	uint32_t pbkdf_memory;	   /* KiB */
	uint32_t pbkdf_parallel;   /* threads */
	uint32_t pbkdf_iterations; /* fixed: no benchmark */
	uint32_t iter_time;	   /* ms, for the benchmark */
	char uuid[64];
	char label[64];
	uint64_t metadata_size; /* bytes of one header copy; never 0 */
	uint64_t keyslots_size; /* bytes; never 0 */
};

/* Of the volume; bytes. */
struct coffer_luks2_layout {
	uint64_t device_size;
	uint64_t data_offset; /* how far an encryption in place moves the data */
	uint32_t sector_size;
};

/* The key derivation that @f names, or the default of this libcryptsetup. */
const char *coffer_luks2_pbkdf(const struct coffer_luks2_format *f);

/* Does libcryptsetup accept the cost of key derivation in @f? -EINVAL and others, with its message
 * in @e. */
int coffer_luks2_check_format(const struct coffer_luks2_format *f, struct coffer_err *e);

/* The volume key from the header in memfd @fd. -EPERM: no keyslot opens with @passphrase;
 * -EINVAL: libcryptsetup does not accept the header. */
int coffer_luks2_unlock(int fd, const struct coffer_secret *passphrase,
	struct coffer_secret **ret_key, struct coffer_err *e);

/* What follows runs in coffer-helper (luks2/helper.h), with its results. */

/* Disable locks, which would be those of a volume that does not exist, and token plugins unless
 * @tokens. */
int coffer_cryptsetup_isolate(bool tokens);
/* Fill the empty memfd @header; the sparse memfd @data stands for the device. */
int coffer_cryptsetup_build(int header, int data, const struct coffer_luks2_format *f,
	const struct coffer_luks2_layout *l, const struct coffer_secret *pass,
	struct coffer_err *e);
int coffer_cryptsetup_judge(int fd, struct coffer_err *e);
int coffer_cryptsetup_open_slot(int fd, int slot, const struct coffer_secret *passphrase,
	struct coffer_secret *key, struct coffer_err *e);
int coffer_cryptsetup_open_token(
	int fd, int token, struct coffer_secret *key, struct coffer_err *e);
int coffer_cryptsetup_check_key(int fd, const struct coffer_secret *key, struct coffer_err *e);
int coffer_cryptsetup_check_digest(int fd, const struct coffer_secret *key, struct coffer_err *e);

/* Map the finished volume of the header in memfd @fd, whose data are on @device, while @job runs:
 * read-only, as coffer-verify-PID, and private, so that udev rules ignore it and nothing mounts it.
 * Device-mapper removes the mapping after its last use, however the process ends. Mapping and @job
 * are in a child; the result and error of @job are returned.
 * Outcome REFUSED: it cannot be mapped here (no root, no device-mapper, in use); -EINTR: @stop. */
typedef int (*coffer_luks2_job)(
	void *arg, const char *path, const struct coffer_stop *stop, struct coffer_err *e);
int coffer_luks2_map(int fd, const char *device, const struct coffer_secret *key,
	coffer_luks2_job job, void *arg, const struct coffer_stop *stop, struct coffer_err *e);

/* An empty memfd of @size bytes (sparse: it costs no memory until written). */
int coffer_memfd(const char *name, uint64_t size, int *ret_fd, struct coffer_err *e);
