/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* coffer/status.h - the stage of a disk, its holders, and the next command
 *
 * Only reads, and needs no more than read access; also of a disk that is mounted, or that is being
 * converted right now. Never repairs a header. Sizes are bytes. */
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
	char *device; /* as it was asked for */
	uint64_t size;
	bool is_block;
	enum coffer_stage stage;
	enum coffer_operation operation; /* what 'coffer encrypt' would do first */
	char filesystem[32]; /* of a plain disk, as libblkid calls it; "": none that is known */
	int luks_version;    /* 2, 1; 0: no LUKS header that counts */
	char uuid[41];	     /* of the LUKS volume */
	char cipher[64];
	uint64_t device_size; /* D when the conversion began; 0: no conversion under way */
	uint64_t data_offset; /* S; 0: not known */
	uint64_t data_size;   /* L; 0: not known */
	uint32_t sector_size;
	/* Progress of the conversion, in the bytes that a run counts: those that the filesystem
	 * uses where the disk has a whole map of them, else all. Whether the filesystem was used
	 * since the map was made cannot be checked without the key; a run that finds that it was
	 * counts all bytes from then on. */
	uint64_t converted;
	uint64_t total;		       /* 0: no conversion under way */
	bool can_abort;		       /* 'coffer abort' gives the plain filesystem back */
	struct coffer_holder *holders; /* what keeps it busy */
	size_t n_holders;
	bool holders_complete; /* false: this user may not see everybody's processes */
	bool locked;	       /* false: it was read without cryptsetup's locks (this user has no
				* access to them, or coffer_doctor was called), so the header may
				* have been read while it was written */
	char why[512];	       /* why it is at this stage, where the stage alone does not tell */
	char next[512];	       /* the command that comes next, quoted for a shell; "": none */
};

/* Read the status of @device, a block device or image file.
 * *ret belongs to the caller: coffer_status_free. 0 for every stage, DAMAGED too; -errno when the
 * disk cannot be read, REFUSED with -ENOTBLK when it is neither. */
COFFER_API int coffer_status(const char *device, struct coffer_status **ret, struct coffer_err *e);
COFFER_API void coffer_status_free(struct coffer_status *s); /* NULL is fine */

/* Names of all block devices of this machine that have a size, "/dev/vda2" and so on: a NULL-ended
 * list for coffer_device_list_free. Loop devices without a file are not among them. */
COFFER_API int coffer_device_list(char ***ret, struct coffer_err *e);
COFFER_API void coffer_device_list_free(char **list); /* NULL is fine */

#ifdef __cplusplus
}
#endif
#endif
