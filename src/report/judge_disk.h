/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* judge_disk.h - the state of one disk, from facts that need no key
 *
 * All return 0 or -ENOMEM. */
#pragma once
#include "base/json.h"
#include "coffer/finding.h"
#include "coffer/status.h"

/* The first holder of this kind; NULL: none. */
const struct coffer_holder *coffer_status_holder(
	const struct coffer_status *s, enum coffer_holder_kind kind);

/* "conversion", "size" or "damage": one finding, with the command that comes next. @locked: a
 * coffer has the disk locked. @complete: every holder is visible. */
int coffer_judge_stage(
	const struct coffer_status *s, bool locked, bool complete, struct coffer_findings *l);

struct coffer_keyslot_state {
	const char *device;
	bool converting;	/* its keyslots must not be changed now */
	bool open;		/* a block device is stacked on it: no key is needed now */
	uint64_t available_kib; /* of memory and swap; 0: unknown */
};

/* "keyslot", "pbkdf", "keyslot-room", "key-memory", from the metadata @json; nothing in it is
 * trusted. */
int coffer_judge_keyslots(
	struct json_object *json, const struct coffer_keyslot_state *s, struct coffer_findings *l);
