/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* judge_disk.h - what an operator should know of one disk, from facts that need no key */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/json.h"
#include "coffer/finding.h"
#include "coffer/stage.h"

struct coffer_disk_state {
	enum coffer_stage stage;
	int luks_version;    /* 0: none */
	const char *why;     /* it is at this stage; "": the stage tells */
	const char *next;    /* command; "": none */
	bool at_work;	     /* somebody is converting it right now */
	int32_t worker;	     /* who; 0: cannot be told */
	const char *command; /* its name */
	bool everybody;	     /* false: there may be one that this user cannot see */
};

/* Add one check of where the disk stands: "conversion", "size" or "damage". -ENOMEM. */
int coffer_judge_state(const struct coffer_disk_state *s, struct coffer_findings *l);

struct coffer_volume_state {
	uint64_t device_size;
	bool is_block;
	bool converting;	/* its keyslots are not to be changed now */
	bool open;		/* a block device stands on it: it needs no unlocking now */
	uint64_t available_kib; /* of memory and swap; 0: not known */
	const char *device;	/* quoted for a shell */
};

/* Add checks of the metadata @json: "requirement", "keyslot", "pbkdf", "keyslot-room",
 * "key-memory", "segment". Nothing in it is trusted. -ENOMEM. */
int coffer_judge_volume(
	struct json_object *json, const struct coffer_volume_state *s, struct coffer_findings *l);
