# shellcheck shell=sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# mend.sh - a header copy is torn while its volume is mounted; and who is kept off meanwhile.

COPY=16384 # of one header copy, with this shift

tear() { dd if=/dev/urandom of="$DEV" bs=512 seek=$(($1 * COPY / 512 + 9)) count=1 conv=fsync,notrunc; }

# The root disk of a running system: nobody can unmount it to mend its header.
step_mend_mounted()
{
	must "stock opens it" cryptsetup open --key-file "$KEY" "$DEV" plain || return
	must "mount" mount -t "$FS" /dev/mapper/plain "$MNT" || return
	for which in 0 1; do
		must "copy $which is torn" tear $which
		exits 3 "copy $which: coffer verify sees it" "$COFFER" verify "$DEV"
		exits 0 "copy $which: coffer repair mends it" "$COFFER" repair --yes "$DEV"
		exits 0 "copy $which: coffer verify is content" "$COFFER" verify --key-file "$KEY" "$DEV"
		echo "$which" >"$MNT/written-$which" && sync
	done
	same "the file list" "$MANIFEST" "$(hash_of "$MNT/manifest")"
	exits 4 "anything else is refused" "$COFFER" encrypt --key-file "$KEY" "$DEV"
	must "unmount" umount "$MNT"
	must "close" cryptsetup close plain
}

# A plain filesystem that is mounted is not touched, whatever lies in its blocks.
step_mend_plain()
{
	must "mount plain" mount -t "$FS" "$DEV" "$MNT" || return
	before=$(dd if="$DEV" bs=4096 count=64 2>/dev/null | sha256sum)
	exits "0 4" "a mounted plain filesystem" "$COFFER" repair --yes "$DEV"
	same "it was not written to" "$before" "$(dd if="$DEV" bs=4096 count=64 2>/dev/null | sha256sum)"
	must "unmount" umount "$MNT"
}

stopped() { grep -q '^State:.T' "/proc/$1/status" 2>/dev/null; }

# wait_until COMMAND...
wait_until()
{
	i=0
	while ! "$@" && [ $i -lt 600 ]; do
		sleep 0.05
		i=$((i + 1))
	done
}

# stop_at CALL N: coffer encrypts the partition and stops behind its n-th such call.
stop_at()
{
	strace -f -qq -o /run/trace -e trace="$1" -e inject="$1:signal=SIGSTOP:when=$2" \
		"$COFFER" encrypt --key-file "$KEY" --reduce-device-size 2M --pbkdf pbkdf2 \
		--pbkdf-force-iterations 1000 --threads 1 -q "$PART" >"$OUT" 2>&1 </dev/null &
	tracer=$!
	pid=
	i=0
	while [ -z "$pid" ] || ! stopped "$pid"; do
		pid=$(pgrep -x coffer | head -n 1)
		i=$((i + 1))
		[ $i -lt 600 ] || break
		sleep 0.05
	done
}

go_on()
{
	kill -CONT "$pid"
	rc=0
	wait "$tracer" || rc=$?
	same "$1: coffer goes on to its end" 0 "$rc"
}

# udev asks for a shared lock of the whole disk before it looks at a partition.
step_udev_kept_off()
{
	PART=${DEV}1
	must "udevd" /usr/lib/systemd/systemd-udevd --daemon
	must "a partition" sh -c "echo 'start=2048' | sfdisk -q $DEV"
	must "udev is there" udevadm settle --timeout=30
	wait_until test -e "/dev/block/$(cat "/sys/class/block/${DEV#/dev/}/dev")"
	must "mkfs" mkfs.ext4 -q -F -b 4096 "$PART" $((($(blockdev --getsize64 "$PART") - 2097152) / 4096))
	stop_at fdatasync 6
	exits 1 "while the header is placed the whole disk is locked" flock -s -n "$DEV" true
	go_on "placed"
	exits 0 "afterwards it is free" flock -s -n "$DEV" true
	udevadm control --exit
}
