/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* coffer/status.h - the stage of a disk, its holders, and the next command
 *
 * Only reads; read access is enough. The disk may be mounted or being converted. Sizes are in
 * bytes. */
#ifndef COFFER_STATUS_H
#define COFFER_STATUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "coffer/err.h"
#include "coffer/holder.h"
#include "coffer/operation.h"
#include "coffer/stage.h"

#ifdef __cplusplus
extern "C" {
#endif

struct coffer_status {
	char *device; /* as the caller named it */
	uint64_t size;
	bool is_block;
	enum coffer_stage stage;
	enum coffer_operation operation; /* what a run does first */
	char filesystem[32];		 /* of a plain disk, as named by libblkid; "": none known */
	int luks_version;		 /* 1 or 2; 0: no usable LUKS header */
	char uuid[41];			 /* of the LUKS volume */
	char cipher[64];
	uint64_t device_size; /* D when the conversion started; 0: no conversion in progress */
	uint64_t data_offset; /* S; 0: unknown */
	uint64_t data_size;   /* L; 0: unknown */
	uint32_t sector_size;
	/* Progress of the conversion, in the bytes that a run counts: used ones if the disk has a
	 * used map, otherwise all. Only a run, which has the key, can find out that the filesystem
	 * was used after the map was made; from then on, all bytes count. */
	uint64_t converted;
	uint64_t total;		       /* 0: no conversion in progress */
	bool can_abort;		       /* coffer_abort can restore the plain filesystem */
	struct coffer_holder *holders; /* what keeps it in use */
	size_t n_holders;
	bool holders_complete; /* false: not all processes are visible */
	bool locked;	/* false: read without cryptsetup's locks (this user has no access, or
			 * the caller is coffer_doctor), perhaps while the header was written */
	char why[512];	/* the reason for this stage; "": none */
	char next[512]; /* the next command, quoted for a shell; "": none */
	char **command; /* the same as a list of words that ends with NULL; NULL: none */
};

/* Read the status of @device, a block device or image file. *ret is set on success only; free it
 * with coffer_status_free.
 * Returns 0 for every stage, even DAMAGED, or a negative errno. Outcome REFUSED with -ENOTBLK:
 * neither a block device nor a regular file; FAILED: it cannot be read. */
COFFER_API int coffer_status(const char *device, struct coffer_status **ret, struct coffer_err *e);
COFFER_API void coffer_status_free(struct coffer_status *s); /* NULL is fine */

/* List the names of all block devices of this machine, without those of size 0 and unused loop
 * devices. The list ends with NULL; free it with coffer_device_list_free.
 * Returns 0, or a negative errno with outcome FAILED. */
COFFER_API int coffer_device_list(char ***ret, struct coffer_err *e);
COFFER_API void coffer_device_list_free(char **list); /* NULL is fine */

#ifdef __cplusplus
}
#endif
#endif
