/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* restore.h - the state of one restore
 *
 * docs/header-backup.md, "Order of writes", has every write and what an interruption leaves. */
#pragma once
#include "convert/disk.h"
#include "header/keyslot_placement.h"
#include "header/restore_judge.h"
#include "luks2/locks.h"

struct coffer_restore {
	const struct coffer_header_restore_options *o;
	struct coffer_header_restore_result *result; /* changed is set before the first write */
	struct coffer_dev *dev;
	uint8_t *file;
	struct coffer_backup backup; /* its image has zeros outside of keyslots */
	struct coffer_facts facts;
	struct coffer_restore_facts now;
	struct coffer_lock *reencryption;
	bool same;	 /* the header on the disk is the backup's already */
	bool remnants;	 /* the keyslots area has data outside of keyslots */
	uint32_t differ; /* keyslots of the backup whose bytes are not in place */
	struct coffer_keyslot_placement order;
	uint64_t old_end; /* of a header that cannot be exchanged copy by copy; 0: none is usable */
	uint64_t seqid;	  /* higher than those of disk and backup */
};

/* The caller holds the metadata lock. */
int coffer_restore_write(struct coffer_restore *s, struct coffer_err *e);

/* Does the keyslots area hold anything but zeros outside of its keyslots? @erase: write zeros over
 * it; else stop at the first such block. */
int coffer_restore_scan_unused(
	struct coffer_restore *s, bool erase, bool *ret_found, struct coffer_err *e);
