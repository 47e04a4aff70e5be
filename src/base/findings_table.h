/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* findings_table.h - every sentence of a finding: a row each, read by findings_text.h and .c
 *
 * SAYS(text, id, verdict, sentence, advice): no run fails because of it.
 * REFUSES(text, id, errno, ...): bad; a run fails with this errno, nothing was changed.
 * DAMAGED(text, id, ...): bad; the disk needs repair.
 *
 * {name} is the argument of that name, {remedy} the command. The part in brackets is left out
 * where one of its arguments is not given. No full stop; NULL: no advice. */
/* clang-format off */

SAYS(EXCLUSIVE, EXCLUSIVE, OK,
	"no holders found",
	NULL)
SAYS(EXCLUSIVE_NOT_ALL, EXCLUSIVE, NOTE,
	"no holders found (not all processes are visible[ without {missing}])",
	NULL)
SAYS(EXCLUSIVE_WRITER, EXCLUSIVE, NOTE,
	"process {pid} ({program}) has it open for writing",
	"it must not write during the run")
REFUSES(EXCLUSIVE_CONVERTING, EXCLUSIVE, EBUSY,
	"process {pid} ({program}) is converting it",
	"wait until it ends")
SAYS(WRITABLE, WRITABLE, OK,
	"this user may write to it",
	NULL)
SAYS(LOCKS, LOCKS, OK,
	"this user may use cryptsetup's locks",
	NULL)
SAYS(LOCKS_IMAGE, LOCKS, NOTE,
	"no access to {directory}: cryptsetup is not kept from resuming at the same time",
	NULL)
REFUSES(LOCKS_BLOCK, LOCKS, EACCES,
	"no access to {directory}, whose locks a run on a block device needs",
	"run coffer as root")
SAYS(HEADER_COPY, HEADER_PRIMARY, OK,
	"{copy} header copy: whole, sequence number {sequence}",
	NULL)
SAYS(HEADER_COPY_MISSING, HEADER_PRIMARY, BAD,
	"{copy} header copy: missing at byte {offset}",
	NULL)
SAYS(HEADER_COPY_INVALID, HEADER_PRIMARY, BAD,
	"{copy} header copy: invalid ({reason})",
	NULL)
SAYS(HEADER_COPY_TORN, HEADER_PRIMARY, BAD,
	"{copy} header copy: torn ({checksum} checksum is wrong)",
	NULL)
SAYS(HEADER_COPIES, COPIES, OK,
	"both header copies are the same",
	NULL)
SAYS(HEADER_COPIES_TWO_VOLUMES, COPIES, BAD,
	"the header copies are of two volumes, {first} and {second}",
	NULL)
SAYS(HEADER_COPIES_OUT_OF_DATE, COPIES, BAD,
	"the {copy} header copy is out of date: sequence number {sequence}, the other one has {newest}",
	NULL)
SAYS(HEADER_COPIES_DIFFER, COPIES, BAD,
	"both header copies have sequence number {sequence}, but different {what}",
	NULL)
SAYS(METADATA, METADATA, OK,
	"[{copy}: ]libcryptsetup accepts the metadata",
	NULL)
SAYS(METADATA_REFUSED, METADATA, BAD,
	"[{copy}: ]libcryptsetup refuses the metadata: {reason}",
	NULL)
SAYS(METADATA_INVALID, KEYSLOT, BAD,
	"[{copy}: ]{object}: invalid {member}",
	NULL)
SAYS(METADATA_UNKNOWN, KEYSLOT, NOTE,
	"[{copy}: ]{object}: unknown {member} '{value}'",
	NULL)
SAYS(METADATA_MORE, KEYSLOT, BAD,
	"[{copy}: ]{count} more of this kind",
	NULL)
SAYS(METADATA_JSON_UNIQUE, JSON, OK,
	"no object has two members of one name",
	NULL)
SAYS(METADATA_JSON_DUPLICATE, JSON, BAD,
	"[{copy}: ]an object has two members of one name: cryptsetup uses the last one",
	"any change by cryptsetup writes the last one alone: cryptsetup config {device} --label LABEL")
SAYS(METADATA_REQUIREMENTS, REQUIREMENT, OK,
	"all requirements are known",
	NULL)
SAYS(METADATA_REQUIREMENT_KNOWN, REQUIREMENT, NOTE,
	"[{copy}: ]requirement '{member}': {value}",
	NULL)
SAYS(METADATA_REQUIREMENT_UNKNOWN, REQUIREMENT, BAD,
	"[{copy}: ]unknown requirement '{member}'",
	"use a newer cryptsetup with this volume")
SAYS(METADATA_KEYSLOTS, KEYSLOT, OK,
	"all keyslots are valid",
	NULL)
SAYS(METADATA_DIGESTS, DIGEST, OK,
	"all digests are valid",
	NULL)
SAYS(METADATA_SEGMENTS, SEGMENT, OK,
	"all segments are valid and fit the device",
	NULL)
SAYS(METADATA_SEGMENT_END, SEGMENT, BAD,
	"[{copy}: ]{object}: needs {end}, but the device has {device_size}",
	"enlarge the device to its old size")
SAYS(METADATA_REENCRYPTION_NONE, REENCRYPTION, OK,
	"no reencryption is in progress",
	NULL)
SAYS(METADATA_REENCRYPTION, REENCRYPTION, NOTE,
	"[{copy}: ]a reencryption is in progress",
	"see {remedy}")
SAYS(METADATA_REENCRYPTION_OLD, REENCRYPTION, NOTE,
	"[{copy}: ]cryptsetup 2.4.2 or older has begun a reencryption, without a digest",
	"newer versions resume it after {remedy}")
SAYS(METADATA_REENCRYPTION_STEP, REENCRYPTION, NOTE,
	"[{copy}: ]{object}: interrupted inside a step, or in progress now",
	NULL)
SAYS(METADATA_REENCRYPTION_DIGEST, REENCRYPTION, BAD,
	"[{copy}: ]{object}: not exactly one digest of the reencryption",
	"run {remedy}")
SAYS(METADATA_REENCRYPTION_BACKUP, REENCRYPTION, BAD,
	"[{copy}: ]{object}: belongs to a reencryption, but none is in progress",
	NULL)
SAYS(CONTENT, CONTENT, OK,
	"no LUKS header, hibernated system or partition table",
	NULL)
REFUSES(CONTENT_BEGUN, CONTENT, EBUSY,
	"another program has just begun a conversion",
	"run the same command again")
DAMAGED(CONTENT_FIRST_COPY_LOST, CONTENT,
	"the first LUKS2 header copy is lost, the second one is whole",
	"see {remedy}")
DAMAGED(CONTENT_NO_HEADER, CONTENT,
	"a LUKS2 magic is there, but neither header copy is whole",
	"copy the disk first; restore a backup of the header ('coffer header restore'); "
	"if the magic is not a header's, remove it ('wipefs')")
REFUSES(CONTENT_SUSPENDED, CONTENT, EBUSY,
	"holds the memory of a hibernated system",
	"resume that system and shut it down, or discard its memory: {remedy}")
REFUSES(CONTENT_PARTITIONS, CONTENT, EINVAL,
	"holds a partition table ({table})",
	"name one of its partitions")
SAYS(FILESYSTEM, FILESYSTEM, OK,
	"{filesystem}, {filesystem_size}",
	NULL)
SAYS(FILESYSTEM_UNCHECKED, FILESYSTEM, UNCHECKED, "depends on: {check}", NULL)
REFUSES(FILESYSTEM_TOO_SMALL, FILESYSTEM, ENOSPC,
	"{device_size} is too small for a filesystem",
	NULL)
REFUSES(FILESYSTEM_TWO, FILESYSTEM, EUCLEAN,
	"signatures of {signature} and of {filesystem}",
	"remove the wrong one: {remedy}")
REFUSES(FILESYSTEM_UNKNOWN, FILESYSTEM, EMEDIUMTYPE,
	"unrecognized content[ ({signature})]",
	"give its size with --device-size")
REFUSES(FILESYSTEM_LOST, FILESYSTEM, EMEDIUMTYPE,
	"unrecognized content: " COFFER_LOST_HEADER,
	"otherwise give its size with --device-size")
SAYS(FILESYSTEM_GIVEN, FILESYSTEM, NOTE,
	"unrecognized content[ ({signature})], {given_size} by --device-size",
	NULL)
SAYS(FILESYSTEM_GIVEN_LOST, FILESYSTEM, NOTE,
	"unrecognized content, {given_size} by --device-size: " COFFER_LOST_HEADER,
	NULL)
SAYS(SINGLE_DEVICE, SINGLE_DEVICE, OK,
	"the filesystem is on this device only",
	NULL)
SAYS(SINGLE_DEVICE_UNCHECKED, SINGLE_DEVICE, UNCHECKED, "depends on: {check}", NULL)
SAYS(SINGLE_DEVICE_UNKNOWN, SINGLE_DEVICE, UNCHECKED,
	"unrecognized content may have parts on other devices",
	NULL)
REFUSES(SINGLE_DEVICE_PARTS, SINGLE_DEVICE, EXDEV,
	"{filesystem}, but {part}",
	"what is encrypted must lie on one device")
SAYS(RESERVE, RESERVE, OK,
	"{reserve} needed after the content, {available} available",
	NULL)
SAYS(RESERVE_UNCHECKED, RESERVE, UNCHECKED, "depends on: {check}", NULL)
REFUSES(RESERVE_ODD, RESERVE, EINVAL,
	"{device_bytes} bytes, not a multiple of 512",
	"truncate it: {remedy}")
REFUSES(RESERVE_GIVEN_LESS, RESERVE, EINVAL,
	"--device-size {given_bytes} is less than the filesystem, which ends at "
	"{filesystem_end}",
	NULL)
REFUSES(RESERVE_GIVEN_MORE, RESERVE, ENOSPC,
	"--device-size {given_bytes} is more than the device has: {device_bytes}",
	NULL)
REFUSES(RESERVE_NONE, RESERVE, ENOSPC,
	"{reserve} needed after the content, {available} available",
	"make the filesystem smaller or the device larger"
	"[, or use --reduce-device-size {fitting_reserve}]")
REFUSES(RESERVE_NONE_EXT, RESERVE, ENOSPC,
	"{reserve} needed after the filesystem, {available} available",
	"make the filesystem smaller[: {remedy}]"
	"[, or use --reduce-device-size {fitting_reserve}]")
REFUSES(RESERVE_NONE_XFS, RESERVE, ENOSPC,
	"{reserve} needed after the filesystem, {available} available",
	"make the device larger, as xfs cannot shrink"
	"[, or use --reduce-device-size {fitting_reserve}]")
REFUSES(RESERVE_TOO_LARGE, RESERVE, ENOSPC,
	"{data_size} of data is less than half the reserve of {reserve}",
	"[use --reduce-device-size {fitting_reserve}]")
SAYS(SECTOR_SIZE, SECTOR_SIZE, OK,
	"{sector_size}-byte sectors",
	NULL)
SAYS(SECTOR_SIZE_UNCHECKED, SECTOR_SIZE, UNCHECKED, "depends on: {check}", NULL)
REFUSES(SECTOR_SIZE_UNALIGNED, SECTOR_SIZE, EINVAL,
	"--sector-size 4096 needs multiples of 4096, but the device has {device_bytes} "
	"bytes and the data {data_bytes}",
	"use --sector-size 512")
REFUSES(SECTOR_SIZE_FILESYSTEM, SECTOR_SIZE, EINVAL,
	"{filesystem} with {block_size}-byte blocks cannot be mounted with --sector-size "
	"4096",
	"use --sector-size 512")
REFUSES(SECTOR_SIZE_DEVICE, SECTOR_SIZE, EINVAL,
	"the device has {device_sector}-byte sectors, in which {filesystem} cannot be "
	"encrypted",
	NULL)
SAYS(HEADER, HEADER, OK,
	"the header fits before byte {data_offset}",
	NULL)
SAYS(CONVERSION_NONE, CONVERSION, OK,
	"no conversion in progress",
	NULL)
SAYS(CONVERSION_PLAIN, CONVERSION, NOTE,
	"not encrypted",
	NULL)
SAYS(CONVERSION_LUKS1, CONVERSION, NOTE,
	"LUKS1 volume: coffer checks LUKS2 only",
	NULL)
SAYS(CONVERSION_ACTIVE, CONVERSION, NOTE,
	"{meaning}; process {pid} ({program}) is converting it",
	NULL)
SAYS(CONVERSION_ACTIVE_HIDDEN, CONVERSION, NOTE,
	"{meaning}; a process that is not visible here is converting it",
	NULL)
SAYS(CONVERSION_INTERRUPTED, CONVERSION, BAD,
	"{meaning}; no process is converting it[: {reason}]",
	"{remedy}")
SAYS(CONVERSION_HIDDEN, CONVERSION, UNCHECKED,
	"{meaning}; only root sees whether a process is converting it[: {reason}]",
	"{remedy}")
SAYS(WIPE_PENDING, WIPE_PENDING, NOTE,
	"the plain copy of the first {size} bytes is still at byte {offset}",
	NULL)
SAYS(SHRUNK, SIZE, BAD,
	"the device has {device_bytes} bytes, and the conversion needs {conversion_bytes}",
	"make the device as large as before")
SAYS(DAMAGED, DAMAGE, BAD,
	"damaged[: {reason}]",
	"{remedy}")
SAYS(HEADER_COPIES_WRITTEN, HEADER_COPIES, UNCHECKED,
	"the header is being written",
	NULL)
SAYS(KEYSLOTS, KEYSLOT, OK,
	"{keyslots} keyslots hold the volume key",
	NULL)
SAYS(KEYSLOTS_ONE, KEYSLOT, NOTE,
	"only one keyslot holds the volume key: without its passphrase the data is lost",
	"add another one: 'cryptsetup luksAddKey' or 'systemd-cryptenroll --recovery-key'")
SAYS(KEYSLOTS_NONE, KEYSLOT, BAD,
	"no keyslot holds the volume key",
	"restore a backup of the header ('coffer header restore')")
SAYS(KEYSLOTS_NONE_OPEN, KEYSLOT, BAD,
	"no keyslot holds the volume key: once closed, the volume cannot be opened",
	"save the data, or add a keyslot while the volume is open ('cryptsetup luksAddKey "
	"--volume-key-file')")
SAYS(KEYSLOT_NO_KEY, KEYSLOT, UNCHECKED,
	"keyslot {keyslot} was not tried: no key given",
	NULL)
SAYS(KEYSLOT_OPENS, KEYSLOT, OK,
	"keyslot {keyslot} opens with the given key",
	NULL)
SAYS(KEYSLOT_CLOSED, KEYSLOT, NOTE,
	"keyslot {keyslot} does not open with the given key",
	NULL)
SAYS(KEYSLOT_UNTRIED, KEYSLOT, UNCHECKED,
	"keyslot {keyslot} could not be tried: {reason}",
	NULL)
SAYS(KEYSLOT_OTHER_KEY, KEYSLOT, BAD,
	"keyslot {keyslot} opens with the given key, but its volume key differs from that of "
	"the keyslots before",
	NULL)
SAYS(KEYSLOT_OVERWRITTEN, KEYSLOT, BAD,
	"keyslot {keyslot} is overwritten: {sectors} sectors, the first at byte {offset}, "
	"are not key material",
	"if another keyslot opens: {remedy}; otherwise restore a backup of the header "
	"('coffer header restore')")
SAYS(KEYSLOTS_CLOSED, KEYSLOT, BAD,
	"no keyslot opens with the given key",
	NULL)
SAYS(PBKDF_WEAK, PBKDF, NOTE,
	"keyslot {keyslot} has pbkdf2 with {iterations} iterations only: a memorable "
	"passphrase can be found by trying",
	"[unless its key is random: {remedy}]")
SAYS(KEYSLOT_SPACE, KEYSLOT_ROOM, NOTE,
	"no space for another keyslot: to change a key, remove one first",
	NULL)
SAYS(KEY_MEMORY, KEY_MEMORY, OK,
	"opening needs at most {needed} of memory, {available} available",
	NULL)
SAYS(KEY_MEMORY_LITTLE, KEY_MEMORY, NOTE,
	"keyslot {keyslot} needs {needed} of memory, {available} available",
	"free memory or add swap")
SAYS(KEY_MEMORY_NONE, KEY_MEMORY, BAD,
	"no keyslot can be opened: keyslot {keyslot} needs {needed} of memory, {available} "
	"available",
	"free memory or add swap; or lower the need on a larger machine ('cryptsetup "
	"luksConvertKey --pbkdf-memory')")
SAYS(TOKEN_OPENS, TOKEN, OK,
	"token {token} opens keyslot {keyslot}",
	NULL)
SAYS(TOKEN_UNBOUND, TOKEN, NOTE,
	"token {token} belongs to no keyslot",
	NULL)
SAYS(TOKEN_NOT_ASKED, TOKEN, UNCHECKED,
	"token {token} was not asked (--tokens)",
	NULL)
SAYS(TOKEN_NO_HANDLER, TOKEN, UNCHECKED,
	"token {token}: no handler on this machine",
	NULL)
SAYS(TOKEN_PIN, TOKEN, UNCHECKED,
	"token {token} needs a PIN",
	NULL)
SAYS(TOKEN_UNTRIED, TOKEN, UNCHECKED,
	"token {token} could not be tried: {reason}",
	NULL)
SAYS(TOKEN_CLOSED, TOKEN, BAD,
	"token {token} opens no keyslot: {reason}",
	NULL)
SAYS(TOKEN_OTHER_KEY, TOKEN, BAD,
	"token {token} opens keyslot {keyslot}, but its volume key differs from that of the "
	"keyslots before",
	NULL)
SAYS(DIGEST, DIGEST, OK,
	"digest {digest} confirms the {of}",
	NULL)
SAYS(DIGEST_OTHER, DIGEST, NOTE,
	"digest {digest} is not of the volume key",
	NULL)
SAYS(DIGEST_STOCK, DIGEST, UNCHECKED,
	"digest {digest}: a reencryption by cryptsetup is not finished",
	NULL)
SAYS(DIGEST_NO_KEY, DIGEST, UNCHECKED,
	"digest {digest} of the {of}: a key is needed",
	NULL)
SAYS(DIGEST_UNCHECKED, DIGEST, UNCHECKED,
	"digest {digest} of the {of}: {reason}",
	NULL)
SAYS(DIGEST_FAILED, DIGEST, BAD,
	"digest {digest} does not confirm the {of}: {reason}",
	NULL)
SAYS(VOLUME_KEY, VOLUME_KEY, OK,
	"the volume key has {bits} bits",
	NULL)
SAYS(VOLUME_KEY_UNKNOWN, VOLUME_KEY, UNCHECKED,
	"the volume key is not known",
	NULL)
SAYS(VOLUME_KEY_INVALID, VOLUME_KEY, BAD,
	"the volume key is invalid: {reason}",
	NULL)
SAYS(METADATA_ACCEPTED, METADATA, OK,
	"libcryptsetup accepts the metadata",
	NULL)
SAYS(METADATA_UNCHECKED, METADATA, UNCHECKED,
	"{reason}",
	NULL)
SAYS(VOLUME_REFUSED, METADATA, BAD,
	"{reason}",
	"see {remedy}; if neither copy is good, restore a backup of the header ('coffer "
	"header restore')")
SAYS(VOLUME, SEGMENT, OK,
	"the volume, {volume_size}, is within the device",
	NULL)
SAYS(VOLUME_INVALID, SEGMENT, BAD,
	"{reason}",
	NULL)
SAYS(VOLUME_UNKNOWN, FILESYSTEM, UNCHECKED,
	"the layout of the volume is not known to coffer: {reason}",
	NULL)
SAYS(FILESYSTEM_NO_KEY, FILESYSTEM, UNCHECKED,
	"a key is needed to read the filesystem",
	NULL)
SAYS(FILESYSTEM_MOVING, FILESYSTEM, UNCHECKED,
	"the volume is being converted, and its data moves",
	NULL)
SAYS(FILESYSTEM_FOUND, FILESYSTEM, OK,
	"{filesystem}[, UUID {uuid}][, label '{label}']",
	NULL)
SAYS(FILESYSTEM_NONE, FILESYSTEM, NOTE,
	"no known filesystem",
	NULL)
SAYS(FILESYSTEM_END, FILESYSTEM_END, OK,
	"the filesystem ends at byte {filesystem_end} of {available}",
	NULL)
SAYS(FILESYSTEM_END_MISSING, FILESYSTEM_END, BAD,
	"the filesystem ends at byte {filesystem_end}, but only {available} bytes are "
	"available: its end is missing",
	NULL)
SAYS(FILESYSTEM_INVALID, FILESYSTEM_END, BAD,
	"{reason}",
	NULL)
SAYS(FILESYSTEM_END_IN_USE, FILESYSTEM_END, NOTE,
	"the filesystem is in use, and its superblock is not consistent[: {reason}]",
	NULL)
SAYS(FILESYSTEM_END_UNKNOWN, FILESYSTEM_END, UNCHECKED,
	"the end of {filesystem} is not known to coffer",
	NULL)
SAYS(CHECKER, CHECK_FILESYSTEM, OK,
	"'{checker}' finds no errors",
	NULL)
SAYS(CHECKER_ERRORS, CHECK_FILESYSTEM, BAD,
	"{reason}",
	"for the whole report: {checker} {path}")
SAYS(CHECKER_NOT_RUN, CHECK_FILESYSTEM, UNCHECKED,
	"not checked: {reason}",
	NULL)
SAYS(RECORD_NONE, RECORD, OK,
	"no placement or undo record",
	NULL)
SAYS(RECORD_OWN, RECORD, BAD,
	"a {kind} record at byte {offset}, where data of this volume should be",
	"that data is lost: compare the filesystem with a backup")
SAYS(RECORD_FOREIGN, RECORD, NOTE,
	"a {kind} record of another volume at byte {offset}",
	NULL)
SAYS(RECORD_STALE, RECORD, NOTE,
	"a stale placement record at byte {offset}",
	"{remedy}")
SAYS(IMAGE_GONE, IMAGE, OK,
	"no image after the placement record",
	NULL)
SAYS(IMAGE_FOREIGN, IMAGE, NOTE,
	"a header of another volume, {uuid}, at byte {offset}",
	NULL)
SAYS(IMAGE_OWN, IMAGE, BAD,
	"a copy of the first header at byte {offset}: its passphrase opens the volume for "
	"ever",
	"once the data is safe, change the volume key ('cryptsetup reencrypt')")
SAYS(SEGMENT_COPY_NONE, MOVED_SEGMENT_COPY, OK,
	"no plain filesystem at byte {offset}, the place of the moved-segment copy",
	NULL)
SAYS(SEGMENT_COPY_NEVER, MOVED_SEGMENT_COPY, OK,
	"not the layout of a volume that was made in place",
	NULL)
SAYS(SEGMENT_COPY_OTHER, MOVED_SEGMENT_COPY, NOTE,
	"a plain {filesystem}[, UUID {uuid},] begins at byte {offset}; it is not of this "
	"volume",
	NULL)
SAYS(SEGMENT_COPY_UNKNOWN, MOVED_SEGMENT_COPY, NOTE,
	"a plain {filesystem}[, UUID {uuid},] begins at byte {offset}; a key is needed to "
	"compare it with the volume",
	NULL)
SAYS(SEGMENT_COPY_LEFT, MOVED_SEGMENT_COPY, BAD,
	"the plain copy of the first {size} bytes is still at byte {offset}",
	"overwrite it as docs/recovery.md describes, under \"Moved-segment copy not wiped\"")
SAYS(LOCK_DIRECTORY, LOCK_DIRECTORY, OK,
	"/run/cryptsetup is accessible to root only",
	NULL)
SAYS(LOCK_DIRECTORY_NO_RUN, LOCK_DIRECTORY, BAD,
	"/run does not exist: no lock can be taken",
	"{remedy}")
SAYS(LOCK_DIRECTORY_RUN, LOCK_DIRECTORY, BAD,
	"/run is {type}: no lock can be taken",
	"make it a directory with a tmpfs mounted on it")
SAYS(LOCK_DIRECTORY_MISSING, LOCK_DIRECTORY, NOTE,
	"/run/cryptsetup does not exist; the next program of root that takes a lock creates "
	"it",
	NULL)
SAYS(LOCK_DIRECTORY_NOT_MADE, LOCK_DIRECTORY, BAD,
	"/run/cryptsetup does not exist, and /run is read-only: no LUKS2 volume can be "
	"opened or converted",
	"{remedy}")
SAYS(LOCK_DIRECTORY_TYPE, LOCK_DIRECTORY, BAD,
	"/run/cryptsetup is {type}: no lock can be taken, and no LUKS2 volume opened",
	"find out which program created it, then remove it: {remedy}")
SAYS(LOCK_DIRECTORY_HIDDEN, LOCK_DIRECTORY, UNCHECKED,
	"no access to /run/cryptsetup",
	NULL)
SAYS(LOCK_DIRECTORY_OWNER, LOCK_DIRECTORY, BAD,
	"/run/cryptsetup belongs to user {owner} instead of root: that user can replace any "
	"lock",
	"{remedy}")
SAYS(LOCK_DIRECTORY_WRITABLE, LOCK_DIRECTORY, BAD,
	"/run/cryptsetup has mode {mode}: other users can replace any lock",
	"{remedy}")
SAYS(LOCK_DIRECTORY_READABLE, LOCK_DIRECTORY, NOTE,
	"/run/cryptsetup has mode {mode}: other users can hold a lock and keep root waiting",
	"{remedy}")
SAYS(LOCK_DIRECTORY_UNKNOWN, LOCK_DIRECTORY, UNCHECKED,
	"the owner of /run/cryptsetup is not known in this user namespace",
	NULL)
SAYS(LOCK_DIRECTORY_READ_ONLY, LOCK_DIRECTORY, BAD,
	"/run/cryptsetup is read-only: no lock can be taken",
	"{remedy}")
SAYS(LOCK_DIRECTORY_ROOT_ONLY, LOCK_DIRECTORY, NOTE,
	"/run/cryptsetup is accessible to root only: this user can convert image files, but "
	"no block devices",
	NULL)
SAYS(LOCKS_HIDDEN, LOCKS, UNCHECKED,
	"only root sees which locks are held",
	NULL)
SAYS(LOCKS_UNREAD, LOCKS, UNCHECKED,
	"{reason}",
	NULL)
SAYS(LOCKS_NONE, LOCKS, OK,
	"no locks, and no lock files of ended processes",
	NULL)
SAYS(LOCKS_STALE, LOCKS, NOTE,
	"{files} lock files, such as {lock}: no[ {visible}] process holds them",
	NULL)
SAYS(LOCK_HELD, LOCK, NOTE,
	"{holder} holds the lock of {object}[, with {others} other processes]",
	NULL)
SAYS(LOCK_AWAITED, LOCK, NOTE,
	"{holder} holds the lock of {object}[, with {others} other processes]; "
	"{waiters} waiting: {waiter}",
	"metadata locks are held for seconds: if this one stays, find out what its holder "
	"does")
SAYS(LOCK_STOPPED, LOCK, BAD,
	"{holder} holds the lock of {object} and is stopped[; {others} other holders]"
	"[; {waiters} waiting: {waiter}]",
	"{remedy}")
SAYS(LOCK_UNKNOWN, LOCK, NOTE,
	"/run/cryptsetup/{lock} is not a known lock",
	NULL)
SAYS(LOCK_TYPE, LOCK, BAD,
	"/run/cryptsetup/{lock} is {type}: this lock cannot be taken, and its volume not "
	"opened",
	"find out which program created it, then remove it: {remedy}")
SAYS(DM_CRYPT, DM_CRYPT, OK,
	"dm-crypt is available",
	NULL)
SAYS(DM_CRYPT_CONTAINER, DM_CRYPT, NOTE,
	"dm-crypt is not visible in this container: encrypted volumes cannot be opened here",
	NULL)
SAYS(DM_CRYPT_NO_MODULES, DM_CRYPT, BAD,
	"the modules of the running kernel {release} are not installed: encrypted volumes "
	"cannot be opened before the next boot",
	"reboot, or install the modules of this kernel")
SAYS(DM_CRYPT_UNKNOWN, DM_CRYPT, NOTE,
	"dm-crypt is not available in the running kernel and cannot be loaded: encrypted "
	"volumes cannot be opened here",
	NULL)
SAYS(DM_CRYPT_ABSENT, DM_CRYPT, BAD,
	"the running kernel {release} has no dm-crypt, and no such module is installed: "
	"encrypted volumes cannot be opened here",
	"install the other modules of this kernel (linux-modules-extra, kernel-modules)")
SAYS(UDEV, UDEV, OK,
	"udev is running",
	NULL)
SAYS(UDEV_NONE, UDEV, OK,
	"no udev, and device-mapper tools do not wait for it",
	NULL)
SAYS(UDEV_HIDDEN, UDEV, UNCHECKED,
	"only root sees whether udev is running",
	NULL)
SAYS(UDEV_SILENT, UDEV, NOTE,
	"/run/udev/control exists, but udev does not answer: cryptsetup and dmsetup would "
	"wait for it without end",
	"start udev; if there is none, as in a container, remove /run/udev/control or set "
	"DM_DISABLE_UDEV=1")
SAYS(SWAP, SWAP, OK,
	"no secrets of open volumes can reach unencrypted swap",
	NULL)
SAYS(SWAP_UNKNOWN, SWAP, UNCHECKED,
	"swap {swap}: unknown whether it is encrypted",
	NULL)
SAYS(SWAP_PLAIN, SWAP, NOTE,
	"swap {swap} is not encrypted while an encrypted volume is open: passwords and keys "
	"in memory can reach that disk",
	"put the swap on an encrypted volume, or use the option 'swap' in /etc/crypttab")
SAYS(HIBERNATION_HIDDEN, HIBERNATION, UNCHECKED,
	"only root sees whether a swap holds a hibernated system",
	NULL)
SAYS(MEMORY_LOCK, MEMORY_LOCK, OK,
	"{size} for keys can be locked in memory",
	NULL)
SAYS(MEMORY_LOCK_FAILED, MEMORY_LOCK, BAD,
	"{size} for keys cannot be locked in memory ({error}), and a run needs that",
	"raise the limit with {remedy}, or run coffer as root")
SAYS(DISKS_NONE, DISKS, OK,
	"no block device of this machine has LUKS or an unfinished conversion",
	NULL)
SAYS(DISKS_HIDDEN, DISKS, UNCHECKED,
	"{disks} block devices cannot be read by this user",
	NULL)
SAYS(DISKS_UNLISTED, DISKS, UNCHECKED,
	"the block devices cannot be listed: {reason}",
	NULL)
SAYS(DISK_UNREAD, DISK, UNCHECKED,
	"{reason}",
	NULL)
SAYS(STATE_PLAIN, STATE, OK,
	"no conversion in progress",
	NULL)
SAYS(STATE_CONVERSION, STATE, OK,
	"a conversion is in progress; 'coffer encrypt' resumes it",
	NULL)
SAYS(STATE_UNDOING, STATE, OK,
	"an interrupted abort is finished first; plan again after 'coffer abort'",
	NULL)
SAYS(NEW_HEADER, NEW_HEADER, OK,
	"a trial header with these options was built in memory, and can be resumed",
	NULL)
SAYS(USED_ONLY, USED_ONLY, OK,
	"{used} of {data_size} are used",
	NULL)
SAYS(USED_ONLY_ESTIMATE, USED_ONLY, NOTE,
	"the run asks the kernel which blocks are free; the {filesystem} superblock counts "
	"about {used} as used",
	NULL)
SAYS(USED_ONLY_NO, USED_ONLY, NOTE,
	"free blocks would be encrypted too: {reason}",
	NULL)
SAYS(HIBERNATION, HIBERNATION, OK,
	"no hibernated system on this machine's swaps",
	NULL)
SAYS(COPY_OTHER_VOLUME, HEADER_PRIMARY, BAD,
	"{copy} header copy: whole, sequence number {sequence}, of another volume than the "
	"other one",
	NULL)
SAYS(COPY_OLD, HEADER_PRIMARY, BAD,
	"{copy} header copy: out of date, sequence number {sequence}, the other one has "
	"{newest}",
	"[see {remedy}]")
SAYS(COPY_DIFFERS, HEADER_PRIMARY, BAD,
	"{copy} header copy: whole, but different from the other one",
	"[see {remedy}]")
SAYS(COPY_REFUSED, HEADER_PRIMARY, BAD,
	"{copy} header copy: refused by libcryptsetup; 'coffer header check' shows why",
	"[see {remedy}]")
SAYS(COPY_TORN, HEADER_PRIMARY, BAD, "{copy} header copy: torn", "[see {remedy}]")
SAYS(COPY_MISSING, HEADER_PRIMARY, BAD, "{copy} header copy: missing", "[see {remedy}]")
SAYS(COPY_REPLACED, HEADER_PRIMARY, BAD,
	"{copy} header copy: missing, and other content is in its place",
	"[see {remedy}; the disk may now be used for something else]")
SAYS(HEADER_UNLOCKED, LOCKS, NOTE,
	"read without cryptsetup's locks, to which this user has no access",
	NULL)
SAYS(CHECK_SIZE, SIZE, OK, "header and keyslots take {needed} of {size} bytes", NULL)
SAYS(CHECK_SIZE_NO_DATA, SIZE, UNCHECKED,
	"header and keyslots are complete; the data are elsewhere",
	NULL)
SAYS(CHECK_SIZE_TRUNCATED, SIZE, BAD,
	"header and keyslots need {needed} bytes, there are {size}",
	"enlarge the device to its old size, or take another copy of the file")
SAYS(CHECK_SIGNATURE, SIGNATURE, OK, "no signature other than LUKS found", NULL)
SAYS(CHECK_SIGNATURE_UNREAD, SIGNATURE, UNCHECKED, "{reason}", NULL)
SAYS(CHECK_SIGNATURE_OTHER, SIGNATURE, BAD,
	"signature of {signature} at byte {offset}: other programs may use the disk as that, "
	"and cryptsetup does not repair a torn header copy beside it",
	"[erase it: {remedy}]")
SAYS(CHECK_SIGNATURE_INSIDE, SIGNATURE, BAD,
	"signature of {signature} at byte {offset}: other programs may use the disk as that, "
	"and cryptsetup does not repair a torn header copy beside it",
	"it is among keyslots or data: find out what it belongs to ('coffer verify' checks "
	"the keyslots) before you erase it: {remedy}")
SAYS(CHECK_COPIES_ADVICE, HEADER_COPIES, BAD,
	NULL,
	"[if {uuid} is the right volume, not {other}: ]rewrite both copies: {remedy}")
SAYS(CHECK_FILE_ADVICE, BACKUP, BAD, NULL, "take another backup of the header")
SAYS(CHECK_RESTORE_ADVICE, BACKUP, BAD, NULL, "restore an earlier backup: {remedy}")
SAYS(CHECK_PARTIAL, STATE, BAD, "the LUKS2 header is only partly placed", "see {remedy}")
SAYS(CHECK_LUKS1, HEADER_PRIMARY, NOTE, "LUKS1 header: it has one copy and no checksum", NULL)
SAYS(CHECK_NO_HEADER, HEADER_PRIMARY, BAD, "no LUKS2 header found", NULL)
SAYS(BACKUP_CONVERSION, CONVERSION, NOTE,
	"a conversion is under way: its next step makes this backup worthless, and restoring "
	"it would destroy data",
	"back up the header again after the conversion")
SAYS(BACKUP_TORN, METADATA, NOTE,
	"one header copy on the disk is torn or out of date; in the backup both are whole",
	NULL)
SAYS(RESTORE_SEALED, BACKUP, OK, "the file's checksum is right", NULL)
SAYS(RESTORE_UNSEALED, BACKUP, NOTE,
	"the file has no trailer of coffer: its keyslots have no checksum, and the size of "
	"its device is unknown",
	NULL)
REFUSES(RESTORE_BESIDE, CONTENT, EPERM,
	"{content} beside the header: a RAID, for example, must not find its disks changed",
	"restore to the device made from it, or see {remedy}")
REFUSES(RESTORE_INSTEAD, CONTENT, EPERM,
	"{content} in place of the first header copy: the backup may not belong here",
	"see {remedy}; if that content is worthless, erase it first (wipefs)")
REFUSES(RESTORE_CONVERSION_UNKNOWN, CONVERSION, EPERM,
	"the backup was made during a conversion: if a step was done since, restoring it "
	"destroys data",
	"if this is intended, add --allow {allow}")
SAYS(RESTORE_CONVERSION_SAME, CONVERSION, NOTE,
	"a conversion is under way, at the same point as in the backup",
	NULL)
REFUSES(RESTORE_CONVERSION_BACKUP, CONVERSION, EPERM,
	"a conversion is under way in the backup, but not on the disk: restoring it destroys "
	"data",
	NULL)
REFUSES(RESTORE_CONVERSION_DISK, CONVERSION, EPERM,
	"a conversion is under way on the disk: a header of another point of it destroys data",
	"see {remedy}")
SAYS(RESTORE_UUID_UNKNOWN, UUID, UNCHECKED,
	"no header on the disk is whole: the backup of volume {backup} may belong to another "
	"disk",
	NULL)
SAYS(RESTORE_UUID_SAME, UUID, OK, "backup and disk have the volume {backup}", NULL)
REFUSES(RESTORE_UUID_OTHER, UUID, EPERM,
	"the backup has the volume {backup}, the disk the volume {disk}",
	"if this is intended, add --allow {allow}")
REFUSES(RESTORE_TOO_SMALL, SPACE, EPERM,
	"the backup's header alone has {needed} bytes, the device {size}",
	NULL)
REFUSES(RESTORE_BEYOND_END, GEOMETRY, EPERM,
	"the backup's volume needs the bytes up to {end}, the device ends at {size}",
	"if this is intended, add --allow {allow}")
REFUSES(RESTORE_SHRUNK, GEOMETRY, EPERM,
	"the device had {backup} bytes when the backup was made, now it has {size}",
	"if this is intended, add --allow {allow}")
SAYS(RESTORE_GROWN, GEOMETRY, NOTE,
	"the device had {backup} bytes when the backup was made, now it has {size}",
	NULL)
SAYS(RESTORE_SIZE_SAME, GEOMETRY, OK,
	"the device has the size that it had when the backup was made",
	NULL)
SAYS(RESTORE_SIZE_UNKNOWN, GEOMETRY, UNCHECKED, "the size of the backup's device is unknown", NULL)
REFUSES(RESTORE_DETACHED, GEOMETRY, EPERM,
	"the backup's data lie elsewhere: this header would overwrite what is on the device",
	"if this is intended, add --allow {allow}")
REFUSES(RESTORE_SEGMENTS_OTHER, GEOMETRY, EPERM,
	"in the backup the data lie elsewhere, or are encrypted in another way",
	"if this is intended, add --allow {allow}")
REFUSES(RESTORE_SIZES_OTHER, GEOMETRY, EPERM,
	"the header copies or keyslots areas have different sizes: after an interruption "
	"nothing opens the volume until the same command is run again",
	"if this is intended, add --allow {allow}")
SAYS(RESTORE_SEGMENTS_SAME, GEOMETRY, OK, "backup and disk have the same data segments", NULL)
SAYS(RESTORE_KEY_UNKNOWN, VOLUME_KEY, UNCHECKED,
	"no header on the disk is whole: volume keys cannot be compared",
	NULL)
SAYS(RESTORE_KEY_SAME, VOLUME_KEY, OK, "backup and disk have the same volume key", NULL)
REFUSES(RESTORE_KEY_OTHER, VOLUME_KEY, EPERM,
	"the backup has another volume key: what was encrypted with the disk's would be lost",
	"if this is intended, add --allow {allow}")
REFUSES(RESTORE_KEYSLOTS_LATER, KEYSLOTS, EPERM,
	"the torn header on the disk has sequence number {disk}, the backup {backup}: a key "
	"that was removed since would open the volume again",
	"if this is intended, add --allow {allow}")
SAYS(RESTORE_KEYSLOTS_UNKNOWN, KEYSLOTS, UNCHECKED,
	"no header on the disk is whole: keyslots cannot be compared",
	NULL)
SAYS(RESTORE_KEYSLOTS_SAME, KEYSLOTS, OK, "backup and disk have the same keyslots", NULL)
REFUSES(RESTORE_KEYSLOTS_OTHER, KEYSLOTS, EPERM,
	"the keyslots differ[; {removed}: removed since, and would open the volume again][; "
	"{changed}: changed since, and would have the old key again][; {added}: added since, "
	"and would be lost]",
	"if this is intended, add --allow {allow}")
SAYS(RESTORE_SLOT_DAMAGED, KEYSLOT, NOTE,
	"{keyslots}: damaged on the disk or in the backup, whose bytes are written",
	NULL)
REFUSES(RESTORE_SLOT_UNKNOWN, KEYSLOT, EPERM,
	"{keyslots}: damaged on the disk or in the file, which has no checksum",
	"if this is intended, add --allow {allow}")
SAYS(RESTORE_TOKENS, TOKEN, NOTE, "the tokens become those of the backup", NULL)
SAYS(RESTORE_NAME, CONFIG, NOTE, "the {name} '{disk}' becomes '{backup}'", NULL)
SAYS(RESTORE_FLAGS, CONFIG, NOTE,
	"the activation flags (such as allow-discards) become those of the backup",
	NULL)
SAYS(RESTORE_PRIORITY, CONFIG, NOTE, "{keyslots}: the priority becomes that of the backup", NULL)
SAYS(RESTORE_IN_USE, IN_USE, NOTE,
	"in use by a mapping of the backup's volume, which stays open",
	NULL)
REFUSES(RESTORE_IN_USE_LOST, IN_USE, EPERM,
	"in use, and no header on the disk is whole",
	"save its data before you close it: an open mapping may have the only key")
REFUSES(RESTORE_IN_USE_OTHER, IN_USE, EPERM,
	"in use, and not only by mappings of the backup's volume, key and layout",
	"close it first")
REFUSES(RESTORE_FULL, SPACE, EPERM,
	"the keyslots area is too full to write the backup's keyslots beside the present "
	"ones, and overwriting them would leave a moment without any key",
	"remove a keyslot: {remedy}")
SAYS(REPAIR_COPY_LOST, HEADER_COPIES, BAD,
	"the first header copy is lost ({sectors} sectors of its metadata remain); the "
	"second one is whole (sequence number {seqid})",
	NULL)
SAYS(REPAIR_COPY_UNWRITTEN, HEADER_COPIES, BAD,
	"only one header copy was ever written: cryptsetup was interrupted",
	"copy the disk first; see docs/recovery.md")
SAYS(REPAIR_KEYSLOT_TORN, KEYSLOT, BAD,
	"a keyslot is torn, so no key opens the volume: cryptsetup was interrupted",
	"copy the disk first; see docs/recovery.md")
DAMAGED(REPAIR_SECOND_COPY, HEADER_COPIES,
	"the first header copy is lost, the second one is whole",
	"copy the disk first; if the second copy belongs to this disk, rewrite the first one "
	"from it: {remedy}")
SAYS(REPAIR_SEGMENT_TORN, MOVED_SEGMENT_TORN, BAD,
	"{sectors} sectors of the first {bytes} bytes were overwritten with a LUKS2 header "
	"when cryptsetup was interrupted; the rest of the {filesystem} filesystem is intact",
	NULL)
DAMAGED(REPAIR_SEGMENT_AMBIGUOUS, MOVED_SEGMENT_AMBIGUOUS,
	"{reason}",
	"copy the disk first; see 'Ambiguous moved segment' in docs/recovery.md")
SAYS(REPAIR_SEGMENT_COPY, MOVED_SEGMENT_COPY, NOTE, "{reason}", NULL)
DAMAGED(REPAIR_SEGMENT_INCOMPLETE, MOVED_SEGMENT_COPY,
	"the header is placed and nothing is encrypted yet, but {reason}",
	"copy the disk first; see 'Incomplete copy' in docs/recovery.md")
DAMAGED(REPAIR_SEGMENT_LOST, MOVED_SEGMENT_LOST,
	"unrecognized content at the start, a spare superblock of {filesystem} at byte "
	"{offset}, and no copy of the first bytes",
	"copy the disk first; if that filesystem is not an old one, its checker may repair "
	"it from the spare superblock")
SAYS(REPAIR_CONTENT_UNKNOWN, CONTENT, NOTE, "unrecognized content: " COFFER_LOST_HEADER, NULL)
SAYS(REPAIR_STALE_RECORD, STALE_RECORD, NOTE,
	"the record of a placement that never began, or was undone, at byte {offset}, after "
	"the filesystem's end",
	NULL)
SAYS(REPAIR_PLACING, PLACEMENT, BAD,
	"the placement of the LUKS2 header was interrupted",
	"[resume with {remedy}]")
SAYS(REPAIR_PLACED, CONVERSION, BAD,
	"the LUKS2 header is placed, and nothing is encrypted yet",
	"[resume with {remedy}]")
SAYS(REPAIR_CONVERTING, CONVERSION, BAD,
	"{done} of {total} are encrypted",
	"[resume with {remedy}]")
SAYS(REPAIR_WIPE_PENDING, WIPE_PENDING, BAD,
	"all data is encrypted, but the moved-segment copy is not wiped and the final header "
	"not written",
	"[resume with {remedy}]")
SAYS(REPAIR_UNDOING, UNDO, BAD, "an abort was interrupted", NULL)
SAYS(REPAIR_DAMAGE, DAMAGE, BAD,
	"{reason}",
	"copy the disk before any other program opens it; 'coffer header restore' restores a "
	"backup of the header")
REFUSES(REPAIR_OTHER, CONVERSION, EOPNOTSUPP, "{reason}", "{remedy}")
REFUSES(REPAIR_SHRUNK, SIZE, EOPNOTSUPP,
	"the device has {size} bytes now, but holds a conversion of {expected}",
	"give it its size back, then run the same command again")
DAMAGED(REPAIR_FS_DAMAGED, FILESYSTEM,
	"the filesystem's checker finds damage: {reason}",
	"copy the disk before anything repairs it: if an encryption was interrupted at its "
	"start, what it overwrote is nowhere else on the disk")
SAYS(REPAIR_FS_UNCHECKED, FILESYSTEM, UNCHECKED,
	"the filesystem's checker did not check everything: {reason}",
	NULL)
/* clang-format on */
