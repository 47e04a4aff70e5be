/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* restore_read.h - one restore, and what it finds on the disk */
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
	char content[128]; /* instead of the first copy, or beside it; "": nothing */
	bool by_copy;	   /* the header is to be exchanged copy by copy */
	bool same;	   /* it is the backup's */
	bool remnants;	   /* something lies in the keyslots area that is no keyslot */
	struct coffer_restore_reason reason;
	bool active, active_same;
	bool unlocked; /* this user has no access to the locks */
	uint32_t differ, damaged_slots;
	struct coffer_keyslot_placement order;
	struct coffer_lock *reencryption, *metadata;
	bool changed;
};

/* cryptsetup's metadata lock; who may only read goes without, see unlocked. */
int coffer_restore_lock(struct coffer_restore *s, bool exclusive, struct coffer_err *e);
void coffer_restore_unlock(struct coffer_restore *s);

/* Header, facts, and content: all that decides. */
int coffer_restore_read(struct coffer_restore *s, struct coffer_err *e);
/* The header by its copies. A second copy alone counts here, since it can only speak against. */
int coffer_restore_header(struct coffer_restore *s, struct coffer_err *e);
/* What is there that is not LUKS2: instead of the first copy, or beside one that is whole; "":
 * nothing. */
int coffer_restore_content(struct coffer_restore *s, char *ret, size_t size, struct coffer_err *e);
/* Which keyslots of the backup are not where they belong (differ), and which of those that the
 * header has too, with areas @now, are damaged in one of the two (damaged_slots). */
int coffer_restore_compare(
	struct coffer_restore *s, const struct coffer_areas *now, struct coffer_err *e);
