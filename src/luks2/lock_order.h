/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* lock_order.h - which lock may be taken while others are held
 *
 * Two programs that wait for each other's lock wait for ever, unless all of them take their locks
 * in one order. It is that of cryptsetup: reencryption, OPAL, metadata; and the memory-hard lock,
 * which whoever derives a key may hold for long, only while no other is held. Source: cryptsetup's
 * LUKS2 locking document. */
#pragma once

/* In this order. No kind is taken twice. */
enum coffer_lock_kind {
	COFFER_LOCK_REENCRYPTION, /* of a volume, for a whole run */
	COFFER_LOCK_DISK,	  /* the whole disk: udev looks at it later */
	COFFER_LOCK_OPAL,	  /* of a block device: its locking ranges */
	COFFER_LOCK_METADATA,	  /* of a device: its header */
	COFFER_LOCK_MEMORY_HARD,  /* of the machine: one argon2 at a time */
	COFFER_N_LOCKS,
};

/* "reencryption", "disk", ...; "unknown" for anything else. */
const char *coffer_lock_kind_name(enum coffer_lock_kind k);

/* @held: bit n for kind n. 0, or -EDEADLK: @wanted must not be taken now. */
int coffer_lock_order(unsigned int held, enum coffer_lock_kind wanted);
