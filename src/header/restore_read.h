/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* restore_read.h - the state of one restore, and how to read it from the disk */
#pragma once
#include "convert/disk.h"
#include "header/backup.h"
#include "header/keyslot_placement.h"
#include "header/restore_judge.h"
#include "luks2/locks.h"

struct coffer_restore {
	const struct coffer_header_restore_options *o;
	struct coffer_header_restore_result *result;
	struct coffer_dev *dev;
	uint8_t *file;
	struct coffer_backup backup;
	struct coffer_header *header; /* NULL: no copy is whole */
	struct coffer_facts facts;
	char content[128]; /* found in place of the first copy, or beside it; "": nothing */
	bool by_copy;	   /* the header can be exchanged copy by copy */
	bool same;	   /* it is the backup's already */
	bool remnants;	   /* the keyslots area has data outside of keyslots */
	bool active, active_same;
	uint32_t differ;	/* keyslots of the backup whose bytes are not in place */
	uint32_t damaged_slots; /* keyslots with equal metadata, but other bytes */
	struct coffer_keyslot_placement order;
	struct coffer_lock *reencryption;
	bool changed;
};

/* Read header, facts and content, under the shared metadata lock. A device that is opened read-only
 * is read without the lock if this user has no access to it. */
int coffer_restore_read(struct coffer_restore *s, struct coffer_err *e);
/* Read the header. A second copy alone counts: here it can only speak against the restore. */
int coffer_restore_read_header(struct coffer_restore *s, struct coffer_err *e);
/* Find content that is not LUKS2: in place of the first copy, or beside a whole one. @ret is "" if
 * there is none. */
int coffer_restore_read_content(
	struct coffer_restore *s, char *ret, size_t size, struct coffer_err *e);
/* Compare the keyslots' bytes with the backup: fills differ and damaged_slots. @now: the areas of
 * the header on the disk. */
int coffer_restore_compare(
	struct coffer_restore *s, const struct coffer_areas *now, struct coffer_err *e);
