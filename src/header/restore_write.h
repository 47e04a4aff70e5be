/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* restore_write.h - the writes of a restore, in an order that a power cut cannot harm
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
	const struct coffer_backup *backup; /* its image has zeros outside of keyslots */
	struct coffer_header *header;	    /* on the disk; NULL: none can be exchanged by copy */
	bool same;			    /* it is the backup's already */
	struct coffer_keyslot_placement order;
	uint64_t old_end;   /* the end of a header that cannot be exchanged; 0: none is whole */
	uint64_t seqid;	    /* higher than those of disk and backup */
	bool *changed;	    /* set before the first write */
	uint64_t ret_seqid; /* of the header that was written */
};

/* The caller holds the metadata lock. */
int coffer_restore_write(struct coffer_restore_job *j, struct coffer_err *e);

/* Does the keyslots area of @b hold anything but zeros outside of its keyslots? */
int coffer_restore_has_remnants(
	struct coffer_dev *d, const struct coffer_backup *b, bool *ret, struct coffer_err *e);
