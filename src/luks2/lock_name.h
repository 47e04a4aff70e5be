/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* lock_name.h - cryptsetup's locks: their kinds, their order and the names of their files
 *
 * Programs that take locks in different orders can wait for each other forever. The order here is
 * cryptsetup's; the memory-hard lock may be held for long, so it is taken only while no other lock
 * is held. Source: cryptsetup's LUKS2 locking document. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#define COFFER_LOCK_DIR		 "/run/cryptsetup"
#define COFFER_REENCRYPTION_LOCK "LN_LUKS2-reencryption-"

/* In the order in which they are taken. No kind is taken twice. */
enum coffer_lock_kind {
	COFFER_LOCK_REENCRYPTION, /* of a volume, for a whole run */
	COFFER_LOCK_DISK,	  /* of the whole disk: udev waits for it */
	COFFER_LOCK_OPAL,	  /* of a block device: its locking ranges */
	COFFER_LOCK_METADATA,	  /* of a device: its header */
	COFFER_LOCK_MEMORY_HARD,  /* of the machine: one argon2 at a time */
	COFFER_N_LOCKS,
};

/* "reencryption", "disk", ...; "unknown" for anything else. */
const char *coffer_lock_kind_name(enum coffer_lock_kind k);

/* @held: bit n for kind n. 0, or -EDEADLK: @wanted must not be taken now. */
int coffer_lock_order(unsigned int held, enum coffer_lock_kind wanted);

enum coffer_lock_entry_kind {
	COFFER_LOCK_ENTRY_DEVICE,	/* L_MAJOR:MINOR: the metadata of a block device */
	COFFER_LOCK_ENTRY_REENCRYPTION, /* LN_LUKS2-reencryption-UUID */
	COFFER_LOCK_ENTRY_MEMORY,	/* LN_memory-hard-access */
	COFFER_LOCK_ENTRY_OPAL,		/* LN_OPAL_MAJOR:MINOR */
	COFFER_LOCK_ENTRY_UNKNOWN,	/* not a name that cryptsetup gives */
};

struct coffer_lock_name {
	enum coffer_lock_entry_kind kind;
	uint32_t major, minor; /* of DEVICE and OPAL */
	char uuid[41];	       /* of REENCRYPTION */
};

/* Which lock is a file of this name? */
void coffer_lock_name_parse(const char *name, struct coffer_lock_name *ret);

enum {
	COFFER_LOCK_PATH = 128
};
/* The path of the reencryption lock of @uuid; "" if @uuid is NULL, "" or not a file name. */
void coffer_lock_path_reencryption(const char *uuid, char ret[COFFER_LOCK_PATH]);
