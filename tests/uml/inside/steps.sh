# shellcheck shell=sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# steps.sh - what a guest can be asked to do, one function each; see guest.py.
# Environment: DEV the disk, FS its filesystem, SHIFT in MiB, COFFER the program, HOW an option,
# MANIFEST and MANIFEST_NEW the hashes of the file lists made earlier.

step_prepare()
{
	size=$(($(blockdev --getsize64 "$DEV") - 2 * SHIFT * 1048576))
	case $FS in
	# lazy initialisation would go on writing behind the test's back
	ext4) must "mkfs" mkfs.ext4 -q -b 4096 -E lazy_itable_init=0,lazy_journal_init=0 \
		"$DEV" $((size / 4096)) ;;
	# mkfs.xfs refuses less than 300 MB, unless it believes to be in xfstests
	xfs) must "mkfs" env TEST_DIR=1 TEST_DEV=1 QA_CHECK_FS=1 mkfs.xfs -q -d size=$size "$DEV" ;;
	btrfs) must "mkfs" mkfs.btrfs -q -b $size "$DEV" ;;
	esac || return
	must "mount plain" mount -t "$FS" "$DEV" "$MNT" || return
	fill "$MNT"
	MANIFEST=$(manifest "$MNT" manifest)
	val manifest "$MANIFEST"
	must "unmount plain" umount "$MNT"
}

step_encrypt()
{
	exits 0 "coffer encrypt exits 0" coffer_run "$DEV"
}

# A disk so slow that a power cut can be aimed: every write and flush takes 20 ms.
step_encrypt_slowly()
{
	sectors=$(blockdev --getsz "$DEV")
	dmsetup create slow --table "0 $sectors delay $DEV 0 0 $DEV 0 20 $DEV 0 20" || return
	exits 0 "coffer encrypt on a slow disk exits 0" coffer_run /dev/mapper/slow
	dmsetup remove slow
}

# Before the first commit the filesystem can be had back as if nothing had been asked.
step_abort()
{
	exits 0 "coffer abort exits 0" "$COFFER" abort "$DEV"
	if exits 0 "the filesystem mounts without a key" mount -t "$FS" "$DEV" "$MNT"; then
		same "file list" "$MANIFEST" "$(hash_of "$MNT/manifest")"
		all_files_well manifest
		must "unmount" umount "$MNT"
	fi
	clean_fsck "$FS" "$DEV"
}

step_stock_resume()
{
	exits 0 "stock cryptsetup finishes it" \
		cryptsetup reencrypt --resume-only --key-file "$KEY" -q "$DEV"
}

# Power failed half way; somebody opens the disk with stock tools, works, and closes it.
step_use_half_done()
{
	must "stock opens the half-done disk" cryptsetup open --key-file "$KEY" "$DEV" half || return
	val half_table "$(dmsetup table half | cut -d' ' -f1-3 | tr '\n' ';')"
	if must "mount half-done" mount -t "$FS" /dev/mapper/half "$MNT"; then
		same "old files are there" "$MANIFEST" "$(hash_of "$MNT/manifest")"
		dd if=/dev/urandom of="$MNT/new" bs=1048576 count=6 2>/dev/null
		echo changed >"$MNT/small/7"
		MANIFEST_NEW=$(manifest "$MNT" manifest.new)
		val manifest_new "$MANIFEST_NEW"
		must "unmount half-done" umount "$MNT"
	fi
	must "close half-done" cryptsetup close half
}

# The proof: stock cryptsetup opens the disk, every file is what it was, the checker is happy.
step_verify()
{
	must "stock isLuks" cryptsetup isLuks --type luks2 "$DEV" || return
	cryptsetup luksDump "$DEV" >"$OUT.dump" 2>&1
	same "no conversion is pending" "" "$(sed -n 's/^Requirements:[[:space:]]*//p' "$OUT.dump")"
	must "stock opens it" cryptsetup open --key-file "$KEY" "$DEV" plain || return
	same "one crypt segment" crypt "$(dmsetup table plain | cut -d' ' -f3)"
	if must "mount" mount -t "$FS" /dev/mapper/plain "$MNT"; then
		list=manifest
		if [ -n "${MANIFEST_NEW-}" ]; then
			list=manifest.new
			same "new file list" "$MANIFEST_NEW" "$(hash_of "$MNT/manifest.new")"
		fi
		same "file list" "$MANIFEST" "$(hash_of "$MNT/manifest")"
		all_files_well $list
		must "unmount" umount "$MNT"
	fi
	clean_fsck "$FS" /dev/mapper/plain
	must "close" cryptsetup close plain
}
