/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* restore_judge.h - may a backup of a LUKS2 header go back onto a disk? */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/findings.h"
#include "convert/decide.h"
#include "header/backup_file.h"

/* What a caller may allow although it is refused otherwise. The values are public. */
enum coffer_restore_word {
	COFFER_RESTORE_UUID = 1,
	COFFER_RESTORE_GEOMETRY = 2,
	COFFER_RESTORE_KEYSLOTS = 4,
	COFFER_RESTORE_VOLUME_KEY = 8,
};

/* What is known of the disk. */
struct coffer_restore_facts {
	const struct coffer_backup *backup;
	const char *device; /* name, for sentences */
	uint64_t device_size;
	struct json_object *json; /* of the newest whole copy; NULL: none is whole */
	const char *uuid;	  /* likewise */
	const uint8_t *block;	  /* likewise: its binary block */
	uint64_t copy_size;	  /* likewise */
	/* Where none is whole: what a torn one says, see coffer_restore_torn; NULL: nothing. */
	const struct coffer_copy_facts *torn;
	uint32_t damaged_slots; /* keyslots whose area is not the backup's, though their metadata
				 * are the same */
	const char
		*content; /* the first copy is not whole, and this is there instead; "": nothing */
	bool beside;	  /* ... or it is whole, and this is there beside it */
	bool active;	  /* mapped, mounted or held */
	bool active_same; /* ... only by mappings that bear the backup's UUID */
	unsigned int allow; /* enum coffer_restore_word */
};

/* Every check with its verdict to @l, a BAD one for each reason to refuse. -ENOMEM. */
int coffer_restore_judge(const struct coffer_restore_facts *f, struct coffer_findings *l);

/* What speaks against it, all in all. */
struct coffer_restore_reason {
	size_t n;	/* BAD checks; 0: nothing does */
	size_t first;	/* the one to name: the first that nobody may allow, else the first */
	char words[48]; /* what --allow lifts all of them with; "": nothing does */
};

/* Sum up what was judged while @allow was allowed. Where a reason stays whatever is allowed, the
 * other ones do not name the words that would lift them any more: nobody is sent around twice. */
struct coffer_restore_reason coffer_restore_sum_up(struct coffer_findings *l, unsigned int allow);

/* What is left of a header of which no copy is whole: binary blocks are small, and outlive their
 * metadata. Of two of one volume the newer; of two volumes the first copy's. NULL: nothing, or a
 * copy is whole. */
const struct coffer_copy_facts *coffer_restore_torn(const struct coffer_facts *f);

/* May the restored header take the place of the one on the disk copy by copy, so that one of the
 * two is whole at every instant? Only where both have the same sizes. */
bool coffer_restore_by_copy(const struct coffer_restore_facts *f);
