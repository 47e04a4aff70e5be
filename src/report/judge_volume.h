/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* judge_volume.h - what the filesystem and the remains of a conversion mean
 *
 * All return 0 or -ENOMEM. */
#pragma once
#include "coffer/finding.h"
#include "convert/decide.h"
#include "convert/volume.h"
#include "fs/superblock.h"

/* A filesystem that was read through the key, or plain. */
struct coffer_filesystem_facts {
	const char *type; /* as libblkid calls it; "": unknown */
	const char *uuid; /* "": none */
	const char *label;
	struct coffer_fs fs; /* kind NONE: its end is unknown */
	const char *invalid; /* why its superblock is invalid; NULL: it is valid */
	uint64_t available;  /* bytes */
	bool in_use;	     /* what was read may be out of date */
};
/* "filesystem", "filesystem-end" */
int coffer_judge_filesystem(const struct coffer_filesystem_facts *s, struct coffer_findings *l);

/* What a finished volume has where its conversion kept record, image and moved segment. */
struct coffer_remnants {
	struct coffer_geometry geometry; /* with D: the device's size */
	const char *uuid;		 /* of the volume */
	bool has_record[COFFER_RECORD_UNDO + 1];
	struct coffer_record record[COFFER_RECORD_UNDO + 1];
	bool image_intact;
	char copy_type[32], copy_uuid[40]; /* of a filesystem that begins at D-S; "": none */
	const char *fs_uuid;		   /* of the one in the volume; NULL: unknown */
};
/* "record", "image", "moved-segment-copy" */
int coffer_judge_remnants(const struct coffer_remnants *s, struct coffer_findings *l);
