/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* judge_volume.h - what facts of a disk mean for somebody who wants proof that it is in order
 *
 * Pure: the story collects, here it becomes a verdict and a sentence in @l. @device is quoted for a
 * shell, for the remedies. All return 0 or -ENOMEM. */
#pragma once
#include "coffer/finding.h"
#include "convert/decide.h"
#include "convert/mapping.h"
#include "fs/superblock.h"
#include "luks2/keyslots.h"

/* "conversion", "wipe-pending": how far it is, whatever it is. */
int coffer_judge_progress(enum coffer_operation a, const struct coffer_facts *f, const char *device,
	struct coffer_findings *l);

/* What is known of a filesystem that was read through the key, or plain. */
struct coffer_seen_fs {
	const char *type; /* as libblkid calls it; "": none that is known */
	const char *uuid; /* "": none */
	const char *label;
	struct coffer_fs fs; /* kind NONE: coffer cannot tell where it ends */
	const char *absurd;  /* its superblock makes no sense: why; NULL: it does */
	uint64_t room;	     /* bytes that it may use */
	bool in_use;	     /* it is being used right now: what is read may be half old */
};
/* "filesystem", "filesystem-end" */
int coffer_judge_filesystem(const struct coffer_seen_fs *s, struct coffer_findings *l);

/* What lies where a conversion kept its record, its image and the plain head. */
struct coffer_remnants {
	struct coffer_geometry geometry; /* with D: the device's size */
	const char *uuid;		 /* of the volume */
	const char *device;		 /* quoted for a shell */
	bool has_record[COFFER_RECORD_UNDO + 1];
	struct coffer_record record[COFFER_RECORD_UNDO + 1];
	bool image_intact;
	char head_type[32], head_uuid[40]; /* of a filesystem that begins at D-S; "": none */
	const char *fs_uuid;		   /* of the one in the volume; NULL: not known */
	uint64_t fs_end;		   /* of it, within the volume; 0: not known */
};
/* "record", "image", "moved-segment-copy", of a finished volume */
int coffer_judge_remnants(const struct coffer_remnants *s, struct coffer_findings *l);
