/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* lock_name.h - names in cryptsetup's lock folder: which lock a file stands for */
#pragma once
#include <stddef.h>
#include <stdint.h>

#define COFFER_LOCK_DIR		 "/run/cryptsetup"
#define COFFER_REENCRYPTION_LOCK "LN_LUKS2-reencryption-"

enum coffer_lock_entry_kind {
	COFFER_LOCK_ENTRY_DEVICE,	/* L_MAJOR:MINOR: the metadata of a block device */
	COFFER_LOCK_ENTRY_REENCRYPTION, /* LN_LUKS2-reencryption-UUID */
	COFFER_LOCK_ENTRY_MEMORY,	/* LN_memory-hard-access: one key derivation at a time */
	COFFER_LOCK_ENTRY_OPAL,		/* LN_OPAL_MAJOR:MINOR: a drive that encrypts itself */
	COFFER_LOCK_ENTRY_UNKNOWN,
};

struct coffer_lock_name {
	enum coffer_lock_entry_kind kind;
	uint32_t major, minor; /* of DEVICE and OPAL */
	char uuid[41];	       /* of REENCRYPTION */
};

/* What lock a file of this name is. UNKNOWN for whatever cryptsetup would not have made. */
void coffer_lock_name_parse(const char *name, struct coffer_lock_name *ret);

enum {
	COFFER_LOCK_PATH = 128
};
/* The path of the lock that is held while the volume @uuid is reencrypted; "" where @uuid is NULL,
 * "" or no part of a name. */
void coffer_lock_path_reencryption(const char *uuid, char ret[COFFER_LOCK_PATH]);
