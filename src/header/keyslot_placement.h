/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* keyslot_placement.h - the order in which keyslots are written: one set of keys always works */
#pragma once
#include <stdint.h>

#include "base/json.h"
#include "header/backup_file.h"

/* The old keys work until the new ones do. A keyslot does not depend on its place, so one whose
 * place the disk's header still uses goes to a free place first. */
struct coffer_keyslot_placement {
	uint32_t direct; /* keyslots written to their place before the first commit */
	uint32_t moved;	 /* written to @interim first, and to their place after that commit */
	uint64_t interim[COFFER_MAX_KEYSLOTS]; /* by keyslot number */
};

/* @now: the areas of the disk's header; @differ: keyslots of the backup whose bytes are not in
 * place; [@from, @to): the keyslots area. -ENOSPC: there is no free place for those that move. */
int coffer_keyslot_placement_find(const struct coffer_areas *now, const struct coffer_areas *then,
	uint32_t differ, uint64_t from, uint64_t to, struct coffer_keyslot_placement *ret);

/* Set the interim places of @o->moved in @json. -EBADMSG, -ENOMEM. */
int coffer_keyslot_move(struct json_object *json, const struct coffer_keyslot_placement *o);
