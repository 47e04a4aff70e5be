/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* signatures.h - signatures on a device, and hibernated systems: the only user of libblkid */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "coffer/err.h"
#include "io/dev.h"

enum {
	COFFER_MAX_MAGICS = 32
};

struct coffer_content {
	char type[32];	     /* first signature found: "ext4", "crypto_LUKS", "swap"; "": none */
	char uuid[40];	     /* of that one; "": none */
	char label[64];	     /* likewise; any bytes but NUL */
	bool luks2;	     /* LUKS2, by its magic */
	bool luks;	     /* any version, in any of the signatures */
	bool suspended;	     /* the memory of a hibernated system */
	char foreign[32];    /* first signature that is not LUKS, a partition table too; "": none */
	uint64_t foreign_at; /* byte offset of its magic */
	char partitions[16]; /* kind of partition table: "gpt", "dos"; "": none */
	uint64_t magics[COFFER_MAX_MAGICS]; /* byte offsets of all signatures found */
	uint32_t n_magics;
};

/* Find all signatures in [off, off + n), as if that were a device. Reads through @d->fd, which must
 * not be in direct mode. -EIO when libblkid fails. A device without a descriptor has none. */
int coffer_signatures_read(const struct coffer_dev *d, uint64_t off, uint64_t n,
	struct coffer_content *ret, struct coffer_err *e);

/* The same of all @n bytes that begin at byte @off of the file @fd; @name is for errors. */
int coffer_signatures_read_fd(int fd, const char *name, uint64_t off, uint64_t n,
	struct coffer_content *ret, struct coffer_err *e);

/* Refuse while a swap of this machine has the memory of a hibernated system: the filesystems that
 * it had mounted must not change. -EBUSY names the swap; 0 when none is found. */
int coffer_refuse_hibernation(struct coffer_err *e);
