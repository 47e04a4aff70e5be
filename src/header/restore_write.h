/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* restore_write.h - the writes that put a header back, in an order that a cut cannot harm
 *
 * docs/header-backup.md, "Order of writes", has every write and what an interruption leaves. */
#pragma once
#include <stdbool.h>

#include "header/backup_file.h"
#include "header/keyslot_placement.h"
#include "io/dev.h"
#include "luks2/header.h"

struct coffer_restore_job {
	struct coffer_dev *dev;
	const struct coffer_backup *backup; /* its image has zeros where no keyslot lies */
	struct coffer_header *header; /* on the disk now; NULL: none is whole, or none that can be
				       * exchanged copy by copy */
	bool same;		      /* ... and it is the backup's already */
	struct coffer_keyslot_placement order;
	uint64_t old_end;   /* of a header that cannot: where it ends; 0: it is not whole */
	uint64_t seqid;	    /* above all that the disk and the backup have */
	bool *changed;	    /* set before the first write */
	uint64_t ret_seqid; /* of the header that is there now */
};

/* The caller holds the metadata lock. */
int coffer_restore_write(struct coffer_restore_job *j, struct coffer_err *e);

/* Is there anything but zeros in the keyslots area of @b outside of its keyslots? */
int coffer_restore_has_remnants(
	struct coffer_dev *d, const struct coffer_backup *b, bool *ret, struct coffer_err *e);
