/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* restore_judge.h - may a backup of a LUKS2 header be restored to a disk? */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/findings.h"
#include "convert/decide.h"
#include "header/backup_file.h"

/* The facts of the disk. */
struct coffer_restore_facts {
	const struct coffer_backup *backup;
	const char *device;
	uint64_t device_size;
	struct coffer_header *header;	      /* NULL: no copy is usable */
	const struct coffer_copy_facts *torn; /* see coffer_restore_torn */
	uint32_t damaged_slots; /* keyslots with the backup's metadata, but other bytes */
	char content[128];	/* found in place of the first copy, or beside it; "": nothing */
	bool unfinished;	/* it is what a conversion left, which repair knows */
	bool beside;		/* the first copy is usable */
	bool active;		/* the device has holders */
	bool active_same;	/* all of them are mappings with the backup's UUID */
	unsigned int allow;	/* enum coffer_restore_allow */
};

/* Add a finding for each comparison; a BAD one is a reason to refuse. Those that --allow overrides
 * have the word as argument "allow". -ENOMEM. */
int coffer_restore_judge(const struct coffer_restore_facts *f, struct coffer_findings *l);

/* REFUSED with -EPERM and the first BAD finding; with all words that --allow needs, or without the
 * advice to use it if it does not override them all. */
int coffer_restore_refuse(
	struct coffer_findings *l, const char *device, unsigned int allow, struct coffer_err *e);

/* What is left of a header without a usable copy: binary headers are small, and survive their
 * metadata. The newer of two of one volume, the first of two volumes. NULL: nothing, or a copy is
 * usable. */
const struct coffer_copy_facts *coffer_restore_torn(const struct coffer_facts *f);

/* Can the header be exchanged copy by copy, so that one is usable at every instant? Only if the
 * sizes are equal. */
bool coffer_restore_by_copy(const struct coffer_restore_facts *f);
