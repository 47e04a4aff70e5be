/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* coffer/status.h - the stage of a disk, its holders, and the next command
 *
 * Only reads, and read access is enough; the disk may be mounted or being converted. Sizes are
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
	enum coffer_operation operation; /* the first one of 'coffer encrypt' */
	char filesystem[32];		 /* of a plain disk, as libblkid calls it; "": none known */
	int luks_version;		 /* 2, 1; 0: no valid LUKS header */
	char uuid[41];			 /* of the LUKS volume */
	char cipher[64];
	uint64_t device_size; /* D when the conversion started; 0: no conversion in progress */
	uint64_t data_offset; /* S; 0: unknown */
	uint64_t data_size;   /* L; 0: unknown */
	uint32_t sector_size;
	/* Progress of the conversion, in the bytes that a run counts: the used ones if the disk has
	 * a used map, otherwise all. Only with the key a run can check that the filesystem was not
	 * used since the map was made; if it was, all bytes count from then on. */
	uint64_t converted;
	uint64_t total;		       /* 0: no conversion in progress */
	bool can_abort;		       /* 'coffer abort' restores the plain filesystem */
	struct coffer_holder *holders; /* what keeps it busy */
	size_t n_holders;
	bool holders_complete; /* false: not all processes are visible */
	bool locked;	       /* false: read without cryptsetup's locks (the user has no access, or
				* coffer_doctor was called), perhaps while the header was written */
	char why[512];	       /* the reason for this stage; "": none is needed */
	char next[512];	       /* the next command, quoted for a shell; "": none */
	char **command;	       /* the same as words that end with NULL; NULL: none */
};

/* Read the status of @device, a block device or image file. *ret is for coffer_status_free.
 * 0 for every stage, DAMAGED too; -errno if the disk cannot be read; -ENOTBLK, outcome REFUSED, if
 * it is neither. */
COFFER_API int coffer_status(const char *device, struct coffer_status **ret, struct coffer_err *e);
COFFER_API void coffer_status_free(struct coffer_status *s); /* NULL is fine */

/* The names of all block devices of this machine that have a size, as a list that ends with NULL,
 * for coffer_device_list_free; without loop devices that have no file. */
COFFER_API int coffer_device_list(char ***ret, struct coffer_err *e);
COFFER_API void coffer_device_list_free(char **list); /* NULL is fine */

#ifdef __cplusplus
}
#endif
#endif
