/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* keyslot_placement.h - in which order keyslots are written, so that a set of keys works at every
 * instant
 */
#pragma once
#include <stdint.h>

#include "base/json.h"
#include "header/backup_file.h"

/* The order of writes that lets the old key set work until the new one does. Keyslots do not know
 * where they lie, so one whose place the disk's header still uses goes to a free place first. */
struct coffer_keyslot_placement {
	uint32_t direct; /* keyslots that are written to their place before the first commit */
	uint32_t moved;	 /* these to @interim first, and to their place after that commit */
	uint64_t interim[COFFER_MAX_KEYSLOTS]; /* by number of the keyslot */
};

/* @now: the areas of the disk's header; @differ: keyslots of the backup whose place on the disk
 * holds other bytes; [@from, @to) is the keyslots area.
 * -ENOSPC: there is no free place for those that must move. */
int coffer_keyslot_placement_find(const struct coffer_areas *now, const struct coffer_areas *then,
	uint32_t differ, uint64_t from, uint64_t to, struct coffer_keyslot_placement *ret);

/* Let the keyslots @o->moved of @json lie at their interim place. -EBADMSG, -ENOMEM. */
int coffer_keyslot_move(struct json_object *json, const struct coffer_keyslot_placement *o);
