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

enum {
	COFFER_MAX_VOLUME_KEY = 4096 /* bytes */
};

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

/* The volume key from the header in memfd @fd. -EPERM: no keyslot opens with @passphrase;
 * -EINVAL: libcryptsetup does not accept the header. */
int coffer_luks2_unlock(int fd, const struct coffer_secret *passphrase,
	struct coffer_secret **ret_key, struct coffer_err *e);

/* What follows is the work of coffer-helper (luks2/helper.h has it for the library): the settings
 * are those of a whole process, and a header of unknown origin may ask for hours or for all memory.
 * -errno as luks2/helper.h says. */

/* libcryptsetup takes no locks, which would be those of a volume that does not exist and which a
 * plain user may not have; it repairs nothing; and it loads plugins only where @tokens. */
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
