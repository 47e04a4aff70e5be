/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* findings_report_table.h - the rows of findings_table.h for plan, verify and doctor */
/* clang-format off */

SAYS(CONVERSION_NONE, CONVERSION, OK, "no conversion in progress", NULL)
SAYS(CONVERSION_PLAIN, CONVERSION, NOTE, "not encrypted[: {reason}]", NULL)
SAYS(CONVERSION_LUKS1, CONVERSION, NOTE, "LUKS1 volume: coffer checks LUKS2 only", NULL)
SAYS(CONVERSION_ACTIVE, CONVERSION, NOTE,
	"{meaning}; process {pid} ({program}) is converting it", NULL)
SAYS(CONVERSION_ACTIVE_HIDDEN, CONVERSION, NOTE,
	"{meaning}; a process that is not visible here is converting it", NULL)
SAYS(CONVERSION_INTERRUPTED, CONVERSION, BAD,
	"{meaning}; no process is converting it[: {reason}]",
	"{remedy}")
SAYS(CONVERSION_HIDDEN, CONVERSION, UNCHECKED,
	"{meaning}; only root can see whether a process is converting it[: {reason}]",
	"{remedy}")
SAYS(WIPE_PENDING, WIPE_PENDING, NOTE,
	"the plain copy of the first {size} bytes is still at byte {offset}", NULL)
REFUSES(SHRUNK, SIZE, ENOSPC,
	"the device has {device_bytes} bytes, but the conversion on it needs {conversion_bytes}",
	"enlarge the device to its old size")
REFUSES(OTHER, CONVERSION, EOPNOTSUPP, "{reason}", "finish it with {remedy}")
DAMAGED(DAMAGED, DAMAGE, "damaged: {reason}", "[run {remedy}]")
SAYS(HEADER_COPIES_WRITTEN, HEADER_COPIES, UNCHECKED, "the header is being written", NULL)
SAYS(KEYSLOTS, KEYSLOT, OK, "{keyslots} keyslots hold the volume key", NULL)
SAYS(KEYSLOTS_ONE, KEYSLOT, NOTE,
	"only one keyslot holds the volume key: without its passphrase the data is lost",
	"add another one: 'cryptsetup luksAddKey' or 'systemd-cryptenroll --recovery-key'")
SAYS(KEYSLOTS_ONE_CONVERTING, KEYSLOT, NOTE,
	"only one keyslot holds the volume key: without its passphrase the data is lost",
	"add another one after the conversion")
SAYS(KEYSLOTS_NONE, KEYSLOT, BAD,
	"no keyslot holds the volume key",
	"restore a backup of the header ('coffer header restore')")
SAYS(KEYSLOTS_NONE_OPEN, KEYSLOT, BAD,
	"no keyslot holds the volume key: once closed, the volume cannot be opened",
	"save the data, or add a keyslot while the volume is open ('cryptsetup luksAddKey "
	"--volume-key-file')")
SAYS(KEYSLOT_NO_KEY, KEYSLOT, UNCHECKED, "keyslot {keyslot} was not tried: no key given", NULL)
SAYS(KEYSLOT_OPENS, KEYSLOT, OK, "keyslot {keyslot} opens with the given key", NULL)
SAYS(KEYSLOT_CLOSED, KEYSLOT, NOTE, "keyslot {keyslot} does not open with the given key", NULL)
SAYS(KEYSLOT_UNTRIED, KEYSLOT, UNCHECKED, "keyslot {keyslot} could not be tried: {reason}", NULL)
SAYS(KEYSLOT_OTHER_KEY, KEYSLOT, BAD,
	"keyslot {keyslot} opens with the given key, but its volume key differs from that "
	"of the previous keyslots", NULL)
SAYS(KEYSLOT_OVERWRITTEN, KEYSLOT, BAD,
	"keyslot {keyslot} is overwritten (sectors that are not key material: {sectors}, the first "
	"at byte {offset})",
	"if another keyslot opens, run {remedy}; otherwise restore a backup of the header ('coffer "
	"header restore')")
SAYS(KEYSLOTS_CLOSED, KEYSLOT, BAD, "no keyslot[ {tried}] opens with the given key", NULL)
SAYS(PBKDF_WEAK, PBKDF, NOTE,
	"keyslot {keyslot} uses pbkdf2 with only {iterations} iterations: a memorable passphrase "
	"can be guessed",
	"[unless the passphrase is a random key, run {remedy}]")
SAYS(KEYSLOT_SPACE, KEYSLOT_ROOM, NOTE,
	"no space for another keyslot: to change a key, remove one first", NULL)
SAYS(KEY_MEMORY, KEY_MEMORY, OK,
	"opening needs at most {needed} of memory, {available} available", NULL)
SAYS(KEY_MEMORY_LITTLE, KEY_MEMORY, NOTE,
	"keyslot {keyslot} needs {needed} of memory, {available} available",
	"free memory or add swap")
SAYS(KEY_MEMORY_NONE, KEY_MEMORY, BAD,
	"no keyslot can be opened: keyslot {keyslot} needs {needed} of memory, {available} "
	"available",
	"free memory or add swap; or lower the memory cost on a machine with more memory ('cryptsetup "
	"luksConvertKey --pbkdf-memory')")
SAYS(TOKEN_OPENS, TOKEN, OK, "token {token} opens keyslot {keyslot}", NULL)
SAYS(TOKEN_UNBOUND, TOKEN, NOTE, "token {token} belongs to no keyslot", NULL)
SAYS(TOKEN_NOT_ASKED, TOKEN, UNCHECKED, "token {token} was not tried (use --tokens)", NULL)
SAYS(TOKEN_NO_HANDLER, TOKEN, UNCHECKED, "token {token}: no handler on this machine", NULL)
SAYS(TOKEN_PIN, TOKEN, UNCHECKED, "token {token} needs a PIN", NULL)
SAYS(TOKEN_UNTRIED, TOKEN, UNCHECKED, "token {token} could not be tried: {reason}", NULL)
SAYS(TOKEN_CLOSED, TOKEN, BAD, "token {token} opens no keyslot: {reason}", NULL)
SAYS(TOKEN_OTHER_KEY, TOKEN, BAD,
	"token {token} opens keyslot {keyslot}, but its volume key differs from that of the "
	"previous keyslots", NULL)
SAYS(DIGEST, DIGEST, OK, "digest {digest} confirms the {of}", NULL)
SAYS(DIGEST_OTHER, DIGEST, NOTE, "digest {digest} does not belong to the volume key", NULL)
SAYS(DIGEST_STOCK, DIGEST, UNCHECKED,
	"digest {digest}: a reencryption by cryptsetup is not finished", NULL)
SAYS(DIGEST_NO_KEY, DIGEST, UNCHECKED, "digest {digest} of the {of}: a key is needed", NULL)
SAYS(DIGEST_UNCHECKED, DIGEST, UNCHECKED, "digest {digest} of the {of}: {reason}", NULL)
SAYS(DIGEST_FAILED, DIGEST, BAD, "digest {digest} does not confirm the {of}: {reason}", NULL)
SAYS(VOLUME_KEY, VOLUME_KEY, OK, "the volume key has {bits} bits", NULL)
SAYS(VOLUME_KEY_UNKNOWN, VOLUME_KEY, UNCHECKED, "the volume key is unknown", NULL)
SAYS(VOLUME_KEY_INVALID, VOLUME_KEY, BAD, "the volume key is invalid: {reason}", NULL)
SAYS(METADATA_UNCHECKED, METADATA, UNCHECKED, "{reason}", NULL)
SAYS(METADATA_LUKS1, METADATA, UNCHECKED, "LUKS1 volume: coffer verifies LUKS2 only", NULL)
SAYS(VOLUME_REFUSED, METADATA, BAD,
	"unusable header: {reason}",
	"run {remedy}; if neither copy is usable, restore a backup of the header ('coffer header "
	"restore')")
SAYS(VOLUME, SEGMENT, OK, "the volume ({volume_size}) is within the device", NULL)
SAYS(VOLUME_INVALID, SEGMENT, BAD, "{reason}", NULL)
SAYS(VOLUME_UNKNOWN, FILESYSTEM, UNCHECKED,
	"coffer does not know the layout of the volume: {reason}", NULL)
SAYS(FILESYSTEM_NO_KEY, FILESYSTEM, UNCHECKED, "a key is needed to read the filesystem", NULL)
SAYS(FILESYSTEM_MOVING, FILESYSTEM, UNCHECKED,
	"the volume is being converted, and its data moves", NULL)
SAYS(FILESYSTEM_FOUND, FILESYSTEM, OK, "{filesystem}[, UUID {uuid}][, label '{label}']", NULL)
SAYS(FILESYSTEM_NONE, FILESYSTEM, NOTE, "no known filesystem", NULL)
SAYS(FILESYSTEM_END, FILESYSTEM_END, OK,
	"the filesystem ends at byte {filesystem_end} of {available}", NULL)
SAYS(FILESYSTEM_END_MISSING, FILESYSTEM_END, BAD,
	"the filesystem ends at byte {filesystem_end}, but only {available} bytes are "
	"available: its end is missing", NULL)
SAYS(FILESYSTEM_INVALID, FILESYSTEM_END, BAD, "{reason}", NULL)
SAYS(FILESYSTEM_END_IN_USE, FILESYSTEM_END, NOTE,
	"the filesystem is in use, and its superblock is not consistent[: {reason}]", NULL)
SAYS(FILESYSTEM_END_UNKNOWN, FILESYSTEM_END, UNCHECKED,
	"coffer does not know where {filesystem} ends", NULL)
SAYS(CHECKER, CHECK_FILESYSTEM, OK, "'{checker}' finds no errors", NULL)
SAYS(CHECKER_ERRORS, CHECK_FILESYSTEM, BAD, "{reason}", "for the full report: {checker} {path}")
SAYS(CHECKER_NOT_RUN, CHECK_FILESYSTEM, UNCHECKED, "{reason}", NULL)
SAYS(RECORD_NONE, RECORD, OK, "no placement or undo record", NULL)
SAYS(RECORD_OWN, RECORD, BAD,
	"a record ({kind}) at byte {offset}, where data of this volume should be",
	"that data is lost: compare the filesystem with a backup")
SAYS(RECORD_FOREIGN, RECORD, NOTE, "a record ({kind}) of another volume at byte {offset}", NULL)
SAYS(RECORD_STALE, RECORD, NOTE, "a stale placement record at byte {offset}", "{remedy}")
SAYS(IMAGE_GONE, IMAGE, OK, "no image after the placement record", NULL)
SAYS(IMAGE_FOREIGN, IMAGE, NOTE, "a header of another volume, {uuid}, at byte {offset}", NULL)
SAYS(IMAGE_OWN, IMAGE, BAD,
	"a copy of the first header at byte {offset}: its passphrase opens the volume forever",
	"once the data is safe, change the volume key ('cryptsetup reencrypt')")
SAYS(SEGMENT_COPY_NONE, MOVED_SEGMENT_COPY, OK,
	"no plain filesystem at byte {offset}, the place of the moved-segment copy", NULL)
SAYS(SEGMENT_COPY_NEVER, MOVED_SEGMENT_COPY, OK,
	"the layout is not that of a volume encrypted in place", NULL)
SAYS(SEGMENT_COPY_OTHER, MOVED_SEGMENT_COPY, NOTE,
	"a plain {filesystem} filesystem[, UUID {uuid},] begins at byte {offset}; it does not belong to "
	"this volume", NULL)
SAYS(SEGMENT_COPY_UNKNOWN, MOVED_SEGMENT_COPY, NOTE,
	"a plain {filesystem} filesystem[, UUID {uuid},] begins at byte {offset}; a key is needed to "
	"compare it with the volume", NULL)
SAYS(SEGMENT_COPY_LEFT, MOVED_SEGMENT_COPY, BAD,
	"the plain copy of the first {size} bytes is still at byte {offset}",
	"overwrite it: see 'Moved-segment copy not wiped' in recovery.md of coffer's documentation")
SAYS(LOCK_DIRECTORY, LOCK_DIRECTORY, OK, "/run/cryptsetup is accessible to root only", NULL)
SAYS(LOCK_DIRECTORY_NO_RUN, LOCK_DIRECTORY, BAD,
	"/run does not exist: no lock can be taken",
	"{remedy}")
SAYS(LOCK_DIRECTORY_RUN, LOCK_DIRECTORY, BAD,
	"/run is {type}: no lock can be taken",
	"make it a directory with a tmpfs mounted on it")
SAYS(LOCK_DIRECTORY_MISSING, LOCK_DIRECTORY, NOTE,
	"/run/cryptsetup does not exist; the next program that takes a lock as root creates "
	"it", NULL)
SAYS(LOCK_DIRECTORY_NOT_MADE, LOCK_DIRECTORY, BAD,
	"/run/cryptsetup does not exist, and /run is read-only: no LUKS2 volume can be opened or "
	"converted",
	"{remedy}")
SAYS(LOCK_DIRECTORY_TYPE, LOCK_DIRECTORY, BAD,
	"/run/cryptsetup is {type}: no lock can be taken, and no LUKS2 volume opened",
	"find out which program created it, then remove it: {remedy}")
SAYS(LOCK_DIRECTORY_HIDDEN, LOCK_DIRECTORY, UNCHECKED, "no access to /run/cryptsetup", NULL)
SAYS(LOCK_DIRECTORY_OWNER, LOCK_DIRECTORY, BAD,
	"/run/cryptsetup belongs to user {owner} instead of root: that user can replace any lock",
	"{remedy}")
SAYS(LOCK_DIRECTORY_WRITABLE, LOCK_DIRECTORY, BAD,
	"/run/cryptsetup has mode {mode}: other users can replace any lock",
	"{remedy}")
SAYS(LOCK_DIRECTORY_READABLE, LOCK_DIRECTORY, NOTE,
	"/run/cryptsetup has mode {mode}: other users can hold a lock and keep root waiting",
	"{remedy}")
SAYS(LOCK_DIRECTORY_UNKNOWN, LOCK_DIRECTORY, UNCHECKED,
	"the owner of /run/cryptsetup is unknown in this user namespace", NULL)
SAYS(LOCK_DIRECTORY_READ_ONLY, LOCK_DIRECTORY, BAD,
	"/run/cryptsetup is read-only: no lock can be taken",
	"{remedy}")
SAYS(LOCK_DIRECTORY_ROOT_ONLY, LOCK_DIRECTORY, NOTE,
	"/run/cryptsetup is accessible to root only: this user can convert image files, but "
	"no block devices", NULL)
SAYS(LOCKS_HIDDEN, LOCKS, UNCHECKED, "only root can see which locks are held", NULL)
SAYS(LOCKS_UNREAD, LOCKS, UNCHECKED, "{reason}", NULL)
SAYS(LOCKS_NONE, LOCKS, OK, "no locks are held[ by {visible} processes]", NULL)
SAYS(LOCK_HELD, LOCK, NOTE,
	"{holder} holds the lock of {object}[; other holders: {others}][; {waiters} "
	"waiting: {waiter}]",
	"[if {waiter} waits longer than a few seconds, find out what the holder is doing]")
SAYS(LOCK_STOPPED, LOCK, BAD,
	"{holder} holds the lock of {object} and is stopped[; other holders: {others}][; {waiters} "
	"waiting: {waiter}]",
	"let it continue: {remedy}")
SAYS(LOCK_UNKNOWN, LOCK, NOTE, "/run/cryptsetup/{lock} is not a known lock", NULL)
SAYS(LOCK_TYPE, LOCK, BAD,
	"/run/cryptsetup/{lock} is {type}: this lock cannot be taken, and its volume cannot be opened",
	"find out which program created it, then remove it: {remedy}")
SAYS(DM_CRYPT, DM_CRYPT, OK, "dm-crypt is available", NULL)
SAYS(DM_CRYPT_CONTAINER, DM_CRYPT, NOTE,
	"dm-crypt is not visible in this container: encrypted volumes cannot be opened here", NULL)
SAYS(DM_CRYPT_NO_MODULES, DM_CRYPT, BAD,
	"the modules of the running kernel {release} are not installed: encrypted volumes cannot "
	"be opened before the next boot",
	"reboot, or install the modules of this kernel")
SAYS(DM_CRYPT_UNKNOWN, DM_CRYPT, NOTE,
	"dm-crypt is not available in the running kernel and cannot be loaded: encrypted "
	"volumes cannot be opened here", NULL)
SAYS(DM_CRYPT_ABSENT, DM_CRYPT, BAD,
	"the running kernel {release} has no dm-crypt, and no such module is installed: encrypted "
	"volumes cannot be opened here",
	"install the other modules of this kernel (linux-modules-extra, kernel-modules)")
SAYS(UDEV, UDEV, OK, "udev is running", NULL)
SAYS(UDEV_NONE, UDEV, OK, "no udev, and device-mapper tools do not wait for it", NULL)
SAYS(UDEV_HIDDEN, UDEV, UNCHECKED, "only root can see whether udev is running", NULL)
SAYS(UDEV_SILENT, UDEV, NOTE,
	"/run/udev/control exists, but udev does not answer: cryptsetup and dmsetup would wait "
	"for it forever",
	"start udev; if there is none, as in a container, remove /run/udev/control or set "
	"DM_DISABLE_UDEV=1")
SAYS(SWAP, SWAP, OK, "no secrets of open volumes can reach unencrypted swap", NULL)
SAYS(SWAP_UNKNOWN, SWAP, UNCHECKED, "swap {swap}: unknown whether it is encrypted", NULL)
SAYS(SWAP_PLAIN, SWAP, NOTE,
	"swap {swap} is not encrypted while an encrypted volume is open: passwords and keys in "
	"memory can reach that disk",
	"put the swap on an encrypted volume, or use the option 'swap' in /etc/crypttab")
SAYS(HIBERNATION_HIDDEN, HIBERNATION, UNCHECKED,
	"only root can see whether a swap area holds a hibernated system", NULL)
SAYS(MEMORY_LOCK, MEMORY_LOCK, OK, "{size} for keys can be locked in memory", NULL)
SAYS(MEMORY_LOCK_FAILED, MEMORY_LOCK, BAD,
	"{size} for keys cannot be locked in memory ({error}), and a run needs that",
	"raise the limit with {remedy}, or run coffer as root")
SAYS(DISKS_NONE, DISKS, OK,
	"no block device of this machine has LUKS or an unfinished conversion", NULL)
SAYS(DISKS_HIDDEN, DISKS, UNCHECKED, "block devices that this user cannot read: {disks}", NULL)
SAYS(DISKS_UNLISTED, DISKS, UNCHECKED, "the block devices cannot be listed: {reason}", NULL)
SAYS(DISK_UNREAD, DISK, UNCHECKED, "{reason}", NULL)
SAYS(STATE_PLAIN, STATE, OK, "no conversion in progress", NULL)
SAYS(STATE_CONVERSION, STATE, OK, "a conversion is in progress; 'coffer encrypt' resumes it", NULL)
SAYS(STATE_UNDOING, STATE, OK,
	"an interrupted abort is finished first; after 'coffer abort', plan again", NULL)
SAYS(NEW_HEADER, NEW_HEADER, OK,
	"a trial header with these options was built in memory, and a conversion with it can be "
	"resumed", NULL)
SAYS(USED_ONLY, USED_ONLY, OK, "{used} of {data_size} is used", NULL)
SAYS(USED_ONLY_ESTIMATE, USED_ONLY, NOTE,
	"the run asks the kernel which blocks are free; the {filesystem} superblock counts "
	"about {used} as used", NULL)
SAYS(USED_ONLY_NO, USED_ONLY, NOTE, "free blocks would be encrypted, too: {reason}", NULL)
/* clang-format on */
