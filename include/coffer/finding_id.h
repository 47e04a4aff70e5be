/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* coffer/finding_id.h - the subjects of findings and errors */
#ifndef COFFER_FINDING_ID_H
#define COFFER_FINDING_ID_H

/* The names are stable; coffer_finding_name returns them, and JSON has them as "id". The numbers
 * are not stable. */
/* clang-format off */
#define COFFER_FINDING_IDS(X) \
	X(NONE, "none") /* of an error that its errno alone describes */ \
	/* the disk, before a run */ \
	X(EXCLUSIVE, "exclusive") \
	X(WRITABLE, "writable") \
	X(LOCKS, "locks") \
	X(STATE, "state") \
	X(CONTENT, "content") \
	X(FILESYSTEM, "filesystem") \
	X(SINGLE_DEVICE, "single-device") \
	X(RESERVE, "reserve") \
	X(SECTOR_SIZE, "sector-size") \
	X(HEADER, "header") \
	X(NEW_HEADER, "new-header") \
	X(USED_ONLY, "used-only") \
	X(HIBERNATION, "hibernation") \
	/* the LUKS2 header and its metadata */ \
	X(HEADER_PRIMARY, "header-primary") \
	X(HEADER_SECONDARY, "header-secondary") \
	X(HEADER_COPIES, "header-copies") \
	X(METADATA, "metadata") \
	X(JSON, "json") \
	X(CONFIG, "config") \
	X(REQUIREMENT, "requirement") \
	X(KEYSLOT, "keyslot") \
	X(TOKEN, "token") \
	X(DIGEST, "digest") \
	X(SEGMENT, "segment") \
	X(REENCRYPTION, "reencryption") \
	X(SIGNATURE, "signature") \
	X(VOLUME_KEY, "volume-key") \
	X(PBKDF, "pbkdf") \
	X(KEYSLOT_ROOM, "keyslot-room") \
	X(KEY_MEMORY, "key-memory") \
	/* a conversion, and the remains of an interrupted one */ \
	X(CONVERSION, "conversion") \
	X(WIPE_PENDING, "wipe-pending") \
	X(PLACEMENT, "placement") \
	X(UNDO, "undo") \
	X(DAMAGE, "damage") \
	X(SIZE, "size") \
	X(RECORD, "record") \
	X(STALE_RECORD, "stale-record") \
	X(IMAGE, "image") \
	X(MOVED_SEGMENT_COPY, "moved-segment-copy") \
	X(MOVED_SEGMENT_LOST, "moved-segment-lost") \
	X(MOVED_SEGMENT_AMBIGUOUS, "moved-segment-ambiguous") \
	X(MOVED_SEGMENT_TORN, "moved-segment-torn") \
	X(FILESYSTEM_END, "filesystem-end") \
	X(CHECK_FILESYSTEM, "check-filesystem") \
	/* a backup of the header */ \
	X(BACKUP, "backup") \
	X(UUID, "uuid") \
	X(GEOMETRY, "geometry") \
	X(KEYSLOTS, "keyslots") \
	X(IN_USE, "in-use") \
	X(SPACE, "space") \
	/* the machine */ \
	X(LOCK_DIRECTORY, "lock-directory") \
	X(LOCK, "lock") \
	X(DM_CRYPT, "dm-crypt") \
	X(UDEV, "udev") \
	X(SWAP, "swap") \
	X(MEMORY_LOCK, "memory-lock") \
	X(DISKS, "disks") \
	X(DISK, "disk") \
	/* errors only */ \
	X(STOPPED, "stopped") /* the stop callback returned true */ \
	X(PASSPHRASE, "passphrase") /* it opens no keyslot */ \
	X(SEQUENCE_NUMBER, "sequence-number") /* too high for another commit */ \
	X(CHANGED, "changed") /* another program changed the disk meanwhile */ \
	X(COMMITTED, "committed") /* abort: a step is committed */ \
	X(NO_CONVERSION, "no-conversion") /* abort, resume: there is none */ \
	X(NO_PROGRESS, "no-progress") /* an operation repeats without progress */

#define COFFER_FINDING_ID(id, name) COFFER_FINDING_##id,
enum coffer_finding_id { COFFER_FINDING_IDS(COFFER_FINDING_ID) COFFER_N_FINDING_IDS };
#undef COFFER_FINDING_ID
/* clang-format on */

#endif
