# shellcheck shell=sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# header.sh - backup and restore of the header of a volume that is open and mounted.

FAST="--pbkdf pbkdf2 --pbkdf-force-iterations 1000"
FILE=/run/header.backup
OTHER=/run/other

# opens WANT NAME KEY
opens() { exits "$1" "$2" cryptsetup open --test-passphrase --key-file "$3" "$DEV"; }

# restore WANT NAME OPTION...
restore()
{
	want=$1 name=$2
	shift 2
	exits "$want" "$name" "$COFFER" header restore --yes --header-backup-file "$FILE" "$@" "$DEV"
}

# still_open NAME: whoever works on the volume has noticed nothing.
still_open()
{
	echo "$1" >>"$MNT/log"
	sync
	echo 3 >/proc/sys/vm/drop_caches
	same "$1: the volume is still written to and read" "$1" "$(tail -n 1 "$MNT/log")"
	all_files_well manifest
}

step_header_open()
{
	printf 'another horse' >"$OTHER"
	# shellcheck disable=SC2086  # FAST is a list of words
	must "format" cryptsetup luksFormat -q --type luks2 $FAST --luks2-keyslots-size 3M \
		--offset 8192 "$DEV" "$KEY" || return
	must "open" cryptsetup open --key-file "$KEY" "$DEV" volume || return
	must "mkfs" mkfs.ext4 -q /dev/mapper/volume || return
	must "mount" mount -t ext4 /dev/mapper/volume "$MNT" || return
	fill "$MNT"
	manifest "$MNT" manifest >/dev/null
	before=$(hash_of "$DEV")
	exits 4 "not into the volume itself" "$COFFER" header backup --header-backup-file \
		"$MNT/header" "$DEV"
	exits 0 "a backup while it is open" "$COFFER" header backup --header-backup-file "$FILE" "$DEV"
	same "the disk is as it was" "$before" "$(hash_of "$DEV")"
}

step_header_restore_open()
{
	# shellcheck disable=SC2086
	must "another key" cryptsetup luksChangeKey -q $FAST --key-file "$KEY" "$DEV" "$OTHER" || return
	restore 4 "other keys: refused while it is open, too"
	restore 0 "other keys: allowed" --allow keyslots
	opens 0 "the key of before opens it" "$KEY"
	opens 2 "the one between does not" "$OTHER"
	still_open "after the restore"
}

# What a backup is for: the header is gone, and the volume still open.
step_header_lost()
{
	dd if=/dev/zero of="$DEV" bs=4096 count=8 conv=notrunc,fsync 2>/dev/null
	opens 1 "the header is gone" "$KEY"
	restore 0 "a header goes back below an open volume of its UUID"
	opens 0 "the key opens it" "$KEY"
	still_open "after the header was lost"
}

# Another holder beside the volume may write to the disk, too.
step_header_other_holder()
{
	size=$(blockdev --getsz "$DEV")
	must "another holder" dmsetup create --noudevsync beside --table "0 $size linear $DEV 0" ||
		return
	restore 4 "another holder beside the open volume"
	dd if=/dev/zero of="$DEV" bs=4096 seek=5 count=1 conv=notrunc,fsync 2>/dev/null
	exits 4 "nor is a torn copy recovered" "$COFFER" repair --yes "$DEV"
	must "it goes" dmsetup remove --noudevsync beside
	exits 0 "then it is recovered" "$COFFER" repair --yes "$DEV"
	restore 0 "then it is restored"
	still_open "with another holder"
}

# What is open has another key: never.
step_header_other_volume()
{
	cp "$FILE" "$FILE.right"
	# shellcheck disable=SC2086
	truncate -s 16M /run/img &&
		must "another volume" cryptsetup luksFormat -q --type luks2 $FAST \
			--luks2-keyslots-size 3M --offset 8192 /run/img "$OTHER" || return
	rm -f "$FILE"
	exits 0 "its backup" "$COFFER" header backup --header-backup-file "$FILE" /run/img
	sync
	before=$(dd if="$DEV" bs=1M count=4 2>/dev/null | sha256sum)
	restore 4 "another volume below an open one" --allow uuid,geometry,keyslots,volume-key
	same "nothing was written" "$before" "$(dd if="$DEV" bs=1M count=4 2>/dev/null | sha256sum)"
	dd if="$DEV" of=/run/head bs=4096 count=8 2>/dev/null
	dd if=/dev/zero of="$DEV" bs=4096 count=8 conv=notrunc,fsync 2>/dev/null
	restore 4 "the same without a header" --allow uuid,geometry,keyslots,volume-key
	dd if=/run/head of="$DEV" bs=4096 count=8 conv=notrunc,fsync 2>/dev/null
}

step_header_close()
{
	must "unmount" umount "$MNT"
	must "close" cryptsetup close volume
	must "open again" cryptsetup open --key-file "$KEY" "$DEV" volume || return
	must "mount again" mount -t ext4 /dev/mapper/volume "$MNT" || return
	all_files_well manifest
	must "unmount at the end" umount "$MNT"
	must "close at the end" cryptsetup close volume
}
