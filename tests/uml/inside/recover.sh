# shellcheck shell=sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# recover.sh - a header copy is torn while its volume is mounted; and who is kept off meanwhile.

COPY=16384 # of one header copy, with this shift

# torn WHICH: one sector of that copy's metadata is lost.
torn()
{
	must "copy $1 is torn" dd if=/dev/urandom of="$DEV" bs=512 seek=$(($1 * COPY / 512 + 9)) \
		count=1 conv=fsync,notrunc
}

# The root disk of a running system: it cannot be unmounted to recover its header.
step_recover_mounted()
{
	must "stock opens it" cryptsetup open --key-file "$KEY" "$DEV" plain || return
	must "mount" mount -t "$FS" /dev/mapper/plain "$MNT" || return
	for which in 0 1; do
		torn $which
		exits 3 "copy $which: coffer verify finds it" "$COFFER" verify "$DEV"
		exits 0 "copy $which: coffer repair recovers it" "$COFFER" repair --yes "$DEV"
		exits 0 "copy $which: coffer verify finds nothing" "$COFFER" verify --key-file "$KEY" "$DEV"
		echo "$which" >"$MNT/written-$which" && sync
	done
	same "the file list" "$MANIFEST" "$(hash_of "$MNT/manifest")"
	exits 4 "anything else is refused" "$COFFER" encrypt --key-file "$KEY" "$DEV"
	must "unmount" umount "$MNT"
	must "close" cryptsetup close plain
}

# A plain filesystem that is mounted is not touched, whatever lies in its blocks.
step_recover_plain()
{
	must "mount plain" mount -t "$FS" "$DEV" "$MNT" || return
	before=$(dd if="$DEV" bs=4096 count=64 2>/dev/null | sha256sum)
	exits "0 4" "a mounted plain filesystem" "$COFFER" repair --yes "$DEV"
	same "it was not written to" "$before" "$(dd if="$DEV" bs=4096 count=64 2>/dev/null | sha256sum)"
	must "unmount" umount "$MNT"
}

# udev has a shared lock of the whole disk while it looks at a partition: no header is placed until
# it is gone, and none is looked at half placed.
step_udev_kept_off()
{
	PART=${DEV}1
	must "udevd" /usr/lib/systemd/systemd-udevd --daemon
	must "a partition" sh -c "echo 'start=2048' | sfdisk -q $DEV"
	must "udev is there" udevadm settle --timeout=30
	size=$(($(blockdev --getsize64 "$PART") - 2097152))
	must "mkfs" mkfs.ext4 -q -F -b 4096 "$PART" $((size / 4096))
	udevadm settle --timeout=30
	flock -s "$DEV" sleep 1000 &
	holder=$!
	"$COFFER" encrypt --key-file "$KEY" --reduce-device-size 2M --pbkdf pbkdf2 \
		--pbkdf-force-iterations 1000 -q "$PART" >"$OUT" 2>&1 </dev/null &
	pid=$!
	sleep 4
	same "while somebody looks at the disk no header is placed" ext4 \
		"$(blkid -p -o value -s TYPE "$PART")"
	same "coffer waits" 0 "$(kill -0 $pid; echo $?)"
	pkill -P $holder
	wait $holder
	rc=0
	wait $pid || rc=$?
	same "afterwards coffer goes on to its end" 0 $rc
	same "the header is there" crypto_LUKS "$(blkid -p -o value -s TYPE "$PART")"
	# udevd itself has it for a moment, to look at what has changed
	exits 0 "the disk is free" flock -w 20 "$DEV" true
	udevadm control --exit
}
