/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* judge.h - what facts of the machine, of one disk and of its volume mean
 *
 * All return 0 or -ENOMEM, and add findings with the ids that are quoted here. */
#pragma once
#include "base/json.h"
#include "block/dm_scan.h"
#include "coffer/finding.h"
#include "coffer/status.h"
#include "convert/decide.h"
#include "convert/volume.h"
#include "fs/superblock.h"
#include "io/udev.h"
#include "luks2/lock_files.h"

/* --- the machine ---
 *
 * A container has the host's kernel without the host's files: what is only not visible there is a
 * note. */

enum coffer_module {
	COFFER_MODULE_UNKNOWN,	 /* no list of this kernel's modules */
	COFFER_MODULE_ABSENT,	 /* not on the list */
	COFFER_MODULE_AVAILABLE, /* loaded, built in, or a file */
};

struct coffer_kernel_facts {
	bool container;	    /* not the first pid namespace */
	bool other_modules; /* /lib/modules has modules of other kernels only */
	enum coffer_module dm_crypt;
	char release[72];
};

/* "dm-crypt" */
int coffer_judge_dm_crypt(const struct coffer_kernel_facts *f, struct coffer_findings *l);
/* "udev" */
int coffer_judge_udev(enum coffer_udev u, struct coffer_findings *l);
/* "swap" for @n swaps, while @volumes encrypted volumes are open */
int coffer_judge_swaps(
	const struct coffer_swap *swaps, size_t n, size_t volumes, struct coffer_findings *l);
/* "memory-lock": @error is the errno of an attempt to lock @bytes, or 0 */
int coffer_judge_memory_lock(uint64_t bytes, int error, struct coffer_findings *l);

/* "lock-directory" of cryptsetup. A lock is the kernel's: a process holds it as long as it has the
 * file open. So what matters is whether every program that needs the directory can use it, and no
 * other one. Source: cryptsetup's LUKS2 locking document, and observation of cryptsetup 2.6. */
int coffer_judge_lock_dir(const struct coffer_lock_dir_facts *f, struct coffer_findings *l);
/* "lock" for each of @n files that needs a sentence of its own, otherwise "locks". A file without a
 * holder means nothing. */
int coffer_judge_locks(const struct coffer_lock_entry *files, size_t n, struct coffer_findings *l);

/* --- one disk, without a key --- */

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

/* --- its volume --- */

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
