/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* findings_header_table.h - the rows of findings_table.h about headers: check, backup, restore and
 * repair */
/* clang-format off */

SAYS(HEADER_COPY, HEADER_PRIMARY, OK,
	"{copy} header copy: intact, sequence number {sequence}", NULL)
SAYS(METADATA, METADATA, OK, "libcryptsetup accepts the metadata", NULL)
SAYS(METADATA_INVALID, KEYSLOT, BAD, "{object}: invalid {member}", NULL)
SAYS(METADATA_UNKNOWN, KEYSLOT, NOTE, "{object}: unknown {member} '{value}'", NULL)
SAYS(METADATA_MORE, KEYSLOT, BAD, "{count} more of this kind", NULL)
SAYS(METADATA_JSON_UNIQUE, JSON, OK, "no object has two members with the same name", NULL)
SAYS(METADATA_JSON_DUPLICATE, JSON, BAD,
	"an object has two members with the same name: cryptsetup uses the last one",
	"any change by cryptsetup removes the other one: {remedy}")
SAYS(METADATA_REQUIREMENTS, REQUIREMENT, OK, "all requirements are known", NULL)
SAYS(METADATA_REQUIREMENT_KNOWN, REQUIREMENT, NOTE,
	"requirement '{member}': {value}", NULL)
SAYS(METADATA_REQUIREMENT_UNKNOWN, REQUIREMENT, BAD,
	"unknown requirement '{member}'",
	"use a newer cryptsetup with this volume")
SAYS(METADATA_KEYSLOTS, KEYSLOT, OK, "all keyslots are valid", NULL)
SAYS(METADATA_DIGESTS, DIGEST, OK, "all digests are valid", NULL)
SAYS(METADATA_SEGMENTS, SEGMENT, OK, "all segments are valid and fit the device", NULL)
SAYS(METADATA_SEGMENT_END, SEGMENT, BAD,
	"{object}: needs {end}, but the device has {device_size}",
	"enlarge the device to its old size")
SAYS(METADATA_REENCRYPTION_NONE, REENCRYPTION, OK, "no reencryption is in progress", NULL)
SAYS(METADATA_REENCRYPTION, REENCRYPTION, NOTE,
	"a reencryption is in progress",
	"for the next command, run {remedy}")
SAYS(METADATA_REENCRYPTION_NO_DATA, REENCRYPTION, NOTE,
	"a reencryption was in progress: its next step makes a backup worthless",
	"back up the header again after the conversion")
SAYS(METADATA_REENCRYPTION_OLD, REENCRYPTION, NOTE,
	"a reencryption begun by cryptsetup 2.4.2 or older has no digest",
	"newer versions resume it after {remedy}")
SAYS(METADATA_REENCRYPTION_STEP, REENCRYPTION, NOTE,
	"{object}: interrupted inside a step, or in progress now", NULL)
SAYS(METADATA_REENCRYPTION_DIGEST, REENCRYPTION, BAD,
	"{object}: the reencryption must have exactly one digest",
	"run {remedy}")
SAYS(METADATA_REENCRYPTION_BACKUP, REENCRYPTION, BAD,
	"{object}: belongs to a reencryption, but none is in progress", NULL)
SAYS(COPY_OTHER_VOLUME, HEADER_PRIMARY, BAD,
	"{copy} header copy: intact, sequence number {sequence}, but of a different volume than the "
	"other one",
	"[if {uuid} is the right volume, rewrite both copies: {remedy}]")
SAYS(COPY_TWO_VOLUMES, HEADER_PRIMARY, BAD,
	"{copy} header copy: intact, but of a different volume than the other one, with the same "
	"sequence number",
	"copy the disk before another program opens it")
SAYS(COPY_OLD, HEADER_PRIMARY, BAD,
	"{copy} header copy: out of date: sequence number {sequence}, but the other one has {newest}",
	"[run {remedy}]")
SAYS(COPY_DIFFERS, HEADER_PRIMARY, BAD,
	"{copy} header copy: intact, but different from the other one",
	"[run {remedy}]")
SAYS(COPY_BAD, HEADER_PRIMARY, BAD, "{copy} header copy: {reason}", "[run {remedy}]")
SAYS(COPY_MISSING, HEADER_PRIMARY, BAD, "{copy} header copy: missing", "[run {remedy}]")
SAYS(COPY_REPLACED, HEADER_PRIMARY, BAD,
	"{copy} header copy: missing, and other content is in its place",
	"[unless the disk is now used for something else, run {remedy}]")
SAYS(HEADER_UNLOCKED, LOCKS, NOTE,
	"read without cryptsetup's locks, to which this user has no access", NULL)
SAYS(CHECK_SIZE, SIZE, OK, "header and keyslots take {needed} of {size} bytes", NULL)
SAYS(CHECK_SIZE_NO_DATA, SIZE, UNCHECKED,
	"header and keyslots are complete; the data is elsewhere", NULL)
SAYS(CHECK_SIZE_TRUNCATED, SIZE, BAD,
	"header and keyslots need {needed} bytes, but there are only {size}",
	"enlarge the device to its old size, or use another copy of the file")
SAYS(CHECK_SIGNATURE, SIGNATURE, OK, "no signature other than LUKS found", NULL)
SAYS(CHECK_SIGNATURE_UNREAD, SIGNATURE, UNCHECKED, "{reason}", NULL)
SAYS(CHECK_SIGNATURE_OTHER, SIGNATURE, BAD,
	"signature of {signature} at byte {offset}: other programs may take the disk for that, "
	"and cryptsetup does not repair a torn header copy beside it",
	"[erase it: {remedy}]")
SAYS(CHECK_SIGNATURE_INSIDE, SIGNATURE, BAD,
	"signature of {signature} at byte {offset}: other programs may take the disk for that, "
	"and cryptsetup does not repair a torn header copy beside it",
	"it is among keyslots or data: find out what it belongs to ('coffer verify' checks the "
	"keyslots) before you erase it: {remedy}")
SAYS(CHECK_BACKUP_DAMAGED, BACKUP, BAD, "{reason}", NULL)
SAYS(CHECK_BACKUP_NEWER, BACKUP, UNCHECKED, "{reason}", NULL)
SAYS(CHECK_FILE_ADVICE, BACKUP, BAD, NULL, "use another backup of the header")
SAYS(CHECK_RESTORE_ADVICE, BACKUP, BAD, NULL, "restore an earlier backup: {remedy}")
SAYS(CHECK_PARTIAL, STATE, BAD, "the LUKS2 header is only partly placed",
	"for the next command, run {remedy}")
SAYS(CHECK_LUKS1, HEADER_PRIMARY, NOTE, "LUKS1 header: it has one copy and no checksum", NULL)
SAYS(CHECK_NO_HEADER, HEADER_PRIMARY, BAD, "no LUKS2 header found", NULL)
SAYS(BACKUP_CONVERSION, CONVERSION, NOTE,
	"a conversion is in progress: its next step makes this backup worthless, and restoring it "
	"then destroys data",
	"back up the header again after the conversion")
SAYS(BACKUP_TORN, METADATA, NOTE,
	"one header copy on the disk is torn or out of date; in the backup both are intact", NULL)
SAYS(RESTORE_SEALED, BACKUP, OK, "the file's checksum is right", NULL)
SAYS(RESTORE_UNSEALED, BACKUP, NOTE,
	"the file has no coffer trailer: its keyslots have no checksum, and the size of "
	"its device is unknown", NULL)
REFUSES(RESTORE_BESIDE, CONTENT, EPERM,
	"{content} beside the header: the disk may belong to a RAID, which a change would damage",
	"restore to the device that is built on it; if that content is worthless, {remedy} shows "
	"how to erase it")
REFUSES(RESTORE_INSTEAD, CONTENT, EPERM,
	"{content} in place of the first header copy: the backup may not belong here",
	"{remedy} lists what is on the disk, which may be the wrong one; if all of it is "
	"worthless, erase its signatures first ('wipefs --all')")
REFUSES(RESTORE_UNFINISHED, CONTENT, EPERM,
	"{content} in place of the first header copy: the backup may not belong here",
	"run {remedy}")
FORBIDS(RESTORE_CONVERSION_UNKNOWN, CONVERSION,
	"the backup was made during a conversion: if a step has been committed since, restoring it "
	"destroys data")
SAYS(RESTORE_CONVERSION_SAME, CONVERSION, NOTE,
	"a conversion is in progress, at the same point as in the backup", NULL)
REFUSES(RESTORE_CONVERSION_BACKUP, CONVERSION, EPERM,
	"a conversion is in progress in the backup, but not on the disk: restoring it "
	"destroys data", NULL)
REFUSES(RESTORE_CONVERSION_DISK, CONVERSION, EPERM,
	"a conversion is in progress on the disk: a header from another point of it destroys data",
	"run {remedy}")
SAYS(RESTORE_UUID_UNKNOWN, UUID, UNCHECKED,
	"the disk has no usable header: the backup of volume {backup} may belong to "
	"another disk", NULL)
SAYS(RESTORE_UUID_SAME, UUID, OK, "backup and disk belong to volume {backup}", NULL)
FORBIDS(RESTORE_UUID_OTHER, UUID,
	"the backup belongs to volume {backup}, the disk to volume {disk}")
REFUSES(RESTORE_TOO_SMALL, SPACE, EPERM,
	"the header in the backup needs {needed} bytes, but the device has only {size}", NULL)
FORBIDS(RESTORE_BEYOND_END, GEOMETRY,
	"the volume of the backup ends at byte {end}, the device at byte {size}")
SAYS(RESTORE_GROWN, GEOMETRY, NOTE,
	"the device had {backup} bytes when the backup was made; now it has {size}", NULL)
SAYS(RESTORE_SIZE_SAME, GEOMETRY, OK,
	"the device has the same size as when the backup was made", NULL)
FORBIDS(RESTORE_DETACHED, GEOMETRY,
	"the data of the backup lies elsewhere: its header would overwrite what is on the device")
FORBIDS(RESTORE_SEGMENTS_OTHER, GEOMETRY,
	"according to the backup, the data lies elsewhere or is encrypted differently")
FORBIDS(RESTORE_SIZES_OTHER, GEOMETRY,
	"the header copies or keyslots areas have different sizes: after an interruption no key "
	"opens the volume until the same command is run again")
SAYS(RESTORE_SEGMENTS_SAME, GEOMETRY, OK, "backup and disk have the same data segments", NULL)
SAYS(RESTORE_KEY_UNKNOWN, VOLUME_KEY, UNCHECKED,
	"the disk has no usable header: volume keys cannot be compared", NULL)
SAYS(RESTORE_KEY_SAME, VOLUME_KEY, OK, "backup and disk have the same volume key", NULL)
FORBIDS(RESTORE_KEY_OTHER, VOLUME_KEY,
	"the backup has another volume key: data encrypted with the present one would be lost")
FORBIDS(RESTORE_KEYSLOTS_LATER, KEYSLOTS,
	"the torn header on the disk has sequence number {disk}, the backup {backup}: a key that "
	"has been removed since would open the volume again")
SAYS(RESTORE_KEYSLOTS_UNKNOWN, KEYSLOTS, UNCHECKED,
	"the disk has no usable header: keyslots cannot be compared", NULL)
SAYS(RESTORE_KEYSLOTS_SAME, KEYSLOTS, OK, "backup and disk have the same keyslots", NULL)
FORBIDS(RESTORE_KEYSLOTS_OTHER, KEYSLOTS,
	"the keyslots differ[; {removed}: removed since, and would open the volume again][; "
	"{changed}: changed since, and would have the old key again][; {added}: added since, and "
	"would be lost]")
SAYS(RESTORE_SLOT_DAMAGED, KEYSLOT, NOTE,
	"{keyslots}: damaged on the disk or in the backup; the bytes of the backup are written", NULL)
FORBIDS(RESTORE_SLOT_UNKNOWN, KEYSLOT,
	"{keyslots}: damaged on the disk or in the file, which has no checksum")
SAYS(RESTORE_SETTINGS, CONFIG, NOTE,
	"{settings}: replaced with those of the backup", NULL)
SAYS(RESTORE_IN_USE, IN_USE, NOTE,
	"in use by a mapping of the backup's volume, which stays open", NULL)
REFUSES(RESTORE_IN_USE_LOST, IN_USE, EPERM,
	"in use, and the disk has no usable header",
	"save its data before you close it: an open mapping may have the only key")
REFUSES(RESTORE_IN_USE_OTHER, IN_USE, EPERM,
	"in use by a holder other than a mapping with the backup's volume, key and layout",
	"close it first")
REFUSES(RESTORE_FULL, SPACE, EPERM,
	"the keyslots area is too full to write the backup's keyslots beside the present ones, "
	"and overwriting them would leave a moment without any key",
	"remove a keyslot: {remedy}")
SAYS(REPAIR_COPY_LOST, HEADER_PRIMARY, BAD,
	"the first header copy is lost (sectors of its metadata that remain: {sectors}); the "
	"second one is intact (sequence number {seqid})", NULL)
SAYS(REPAIR_COPY_UNWRITTEN, HEADER_COPIES, BAD,
	"only one header copy was ever written: cryptsetup was interrupted",
	"copy the disk first; see recovery.md of coffer's documentation")
SAYS(REPAIR_KEYSLOT_TORN, KEYSLOT, BAD,
	"a keyslot is torn, so no key opens the volume: cryptsetup was interrupted",
	"copy the disk first; see recovery.md of coffer's documentation")
DAMAGED(REPAIR_SECOND_COPY, HEADER_PRIMARY,
	"the first header copy is lost; the second one is intact",
	"copy the disk first; if the second copy belongs to this disk, rewrite the first one from "
	"it: {remedy}")
DAMAGED(REPAIR_NO_HEADER, HEADER_COPIES,
	"LUKS2 magic found, but neither header copy is usable",
	"copy the disk first; then restore a backup of the header: {remedy}; or, if the disk never held a "
	"LUKS2 volume, erase the magic ('wipefs')")
SAYS(REPAIR_SEGMENT_TORN, MOVED_SEGMENT_TORN, BAD,
	"part of the first {bytes} bytes was overwritten with a LUKS2 header when cryptsetup was "
	"interrupted (sectors: {sectors}); the rest of the {filesystem} filesystem is intact", NULL)
DAMAGED(REPAIR_SEGMENT_AMBIGUOUS, MOVED_SEGMENT_AMBIGUOUS,
	"{reason}",
	"copy the disk first; see 'Ambiguous moved segment' in recovery.md of coffer's documentation, with OFFSET "
	"{offset} and SIZE {size}")
SAYS(REPAIR_SEGMENT_COPY, MOVED_SEGMENT_COPY, NOTE, "{reason}", NULL)
DAMAGED(REPAIR_SEGMENT_INCOMPLETE, MOVED_SEGMENT_COPY,
	"the header is placed and nothing is encrypted yet, but {reason}",
	"copy the disk first; see 'Incomplete copy' in recovery.md of coffer's documentation")
DAMAGED(REPAIR_SEGMENT_LOST, MOVED_SEGMENT_LOST,
	"unrecognized content at the start, a backup superblock of {filesystem} at byte {offset}, "
	"and no copy of the first bytes",
	"copy the disk first; if that filesystem is not an old one, its checker may repair it "
	"from the backup superblock")
SAYS(REPAIR_CONTENT_UNKNOWN, CONTENT, NOTE,
	"unrecognized content: " COFFER_LOST_HEADER, "restore a backup: {remedy}")
SAYS(REPAIR_CONTENT_SMALL, CONTENT, NOTE, "{device_size} is too small for a filesystem", NULL)
SAYS(REPAIR_STALE_RECORD, STALE_RECORD, NOTE,
	"a stale placement record at byte {offset}, after the filesystem's end: that placement "
	"never began, or was undone", NULL)
SAYS(REPAIR_PLACING, PLACEMENT, BAD,
	"the placement of the LUKS2 header was interrupted",
	"[resume with {remedy}]")
SAYS(REPAIR_PLACED, CONVERSION, BAD,
	"the LUKS2 header is placed, and nothing is encrypted yet",
	"[resume with {remedy}]")
SAYS(REPAIR_CONVERTING, CONVERSION, BAD,
	"{done} of {total} is converted",
	"[resume with {remedy}]")
SAYS(REPAIR_WIPE_PENDING, WIPE_PENDING, BAD,
	"all data is encrypted, but the moved-segment copy is not wiped and the final header not "
	"written",
	"[resume with {remedy}]")
SAYS(REPAIR_UNDOING, UNDO, BAD, "an abort was interrupted", NULL)
SAYS(REPAIR_DAMAGE, DAMAGE, BAD,
	"{reason}",
	"copy the disk before any other program opens it; 'coffer header restore' restores a "
	"backup of the header")
DAMAGED(REPAIR_FS_DAMAGED, FILESYSTEM,
	"the filesystem's checker finds damage: {reason}",
	"copy the disk before you repair it: if an encryption was interrupted at its start, the "
	"disk has no other copy of what it overwrote")
SAYS(REPAIR_FS_UNCHECKED, FILESYSTEM, UNCHECKED,
	"the filesystem's checker did not check everything: {reason}", NULL)
/* clang-format on */
