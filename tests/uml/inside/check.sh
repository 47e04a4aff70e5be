# shellcheck shell=sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# check.sh - coffer verify --check-filesystem: the checker runs on a private, read-only mapping,
# the disk stays as it is, and the mapping is gone afterwards, whatever happened.

REPORT=/run/report

# verify WANT NAME DEVICE: the exit code, and the report in $REPORT.
verify()
{
	rc=0
	timeout "$LIMIT" "$COFFER" verify --check-filesystem --json --key-file "$KEY" "$3" \
		>"$REPORT" 2>"$OUT" </dev/null || rc=$?
	same "$2: exit code" "$1" "$rc" || tail -c 2000 "$REPORT"
}

# judged WANT NAME: the checker's verdict in the last report
judged()
{
	got=$(grep -o '"id":"check-filesystem","verdict":"[a-z]*","text":"[^"]*"' "$REPORT")
	case $got in
	*"\"verdict\":\"$1\""*) held "$2: verdict $1" ;;
	*) echo "@no $2: verdict $1 :: $got" ;;
	esac
}
mappings() { dmsetup ls --target crypt | grep -c coffer-verify || true; }

# wait_for TEXT COMMAND...: until it prints TEXT
wait_for()
{
	text=$1
	shift
	i=0
	while [ "$("$@")" != "$text" ] && [ $i -lt 300 ]; do
		sleep 0.05
		i=$((i + 1))
	done
}

nothing_is_left()
{
	wait_for 0 mappings
	same "$1: no mapping is left" 0 "$(mappings)"
	same "$1: no node is left" "" "$(find /dev/mapper -name 'coffer-*')"
}

step_check_sound()
{
	before=$(hash_of "$DEV")
	verify 0 "a sound $FS" "$DEV"
	judged ok "a sound $FS"
	same "a sound $FS: the disk is as it was" "$before" "$(hash_of "$DEV")"
	nothing_is_left "a sound $FS"
}

# Somebody has it mounted: the checker would see what is half written.
step_check_mounted()
{
	must "stock opens it" cryptsetup open --key-file "$KEY" "$DEV" plain || return
	must "mount" mount -t "$FS" /dev/mapper/plain "$MNT" || return
	echo more >"$MNT/more"
	verify 3 "mounted" "$DEV"
	judged unchecked "mounted"
	must "unmount" umount "$MNT"
	must "close" cryptsetup close plain
	verify 0 "mounted before" "$DEV"
	judged ok "mounted before"
}

# begin_slowly: a verification that lasts, in the background; its mapping is there.
begin_slowly()
{
	sectors=$(blockdev --getsz "$DEV")
	dmsetup create slow --table "0 $sectors delay $DEV 0 150" || return
	"$COFFER" verify --check-filesystem --json --key-file "$KEY" /dev/mapper/slow \
		>"$REPORT" 2>"$OUT" </dev/null &
	pid=$!
	wait_for 1 mappings
	same "$1: there is a mapping" 1 "$(mappings)"
}

end_slowly()
{
	wait_for 0 mappings
	nothing_is_left "$1"
	wait_for 0 checkers
	same "$1: no checker is left" 0 "$(checkers)"
	must "$1: the disk below is free" dmsetup remove --retry slow
}

checkers() { pgrep -c 'e2fsck|xfs_repair|btrfs' || true; }

step_check_stopped()
{
	begin_slowly "SIGTERM"
	name=$(dmsetup ls --target crypt | sed -n 's/^\(coffer-verify-[0-9]*\).*/\1/p')
	same "the mapping is read-only" 1 "$(dmsetup info -c --noheadings -o attr "$name" | grep -c r)"
	kill -TERM "$pid"
	rc=0
	wait "$pid" || rc=$?
	same "SIGTERM: exit code" 5 "$rc"
	end_slowly "SIGTERM"

	begin_slowly "SIGKILL"
	kill -KILL "$pid"
	wait "$pid" 2>/dev/null
	end_slowly "SIGKILL"

	# not the program but the child that holds the mapping
	begin_slowly "SIGKILL for the helper"
	kill -KILL "$(pgrep -P "$pid")"
	rc=0
	wait "$pid" || rc=$?
	same "SIGKILL for the helper: exit code" 3 "$rc"
	judged unchecked "SIGKILL for the helper"
	end_slowly "SIGKILL for the helper"
}

# A filesystem with an inode too few: found, reported, and not repaired.
step_check_broken()
{
	must "stock opens it" cryptsetup open --key-file "$KEY" "$DEV" plain || return
	case $FS in
	ext4) must "an inode is lost" debugfs -w -R "clri small/7" /dev/mapper/plain ;;
	xfs) must "a block of the inode tree is lost" \
		dd if=/dev/urandom of=/dev/mapper/plain bs=4096 seek=3 count=1 conv=fsync ;;
	btrfs) must "all trees are lost" \
		dd if=/dev/urandom of=/dev/mapper/plain bs=1048576 seek=4 count=56 conv=fsync ;;
	esac
	must "close" cryptsetup close plain
	before=$(hash_of "$DEV")
	verify 3 "a broken $FS" "$DEV"
	judged bad "a broken $FS"
	same "a broken $FS: the disk is as it was" "$before" "$(hash_of "$DEV")"
	nothing_is_left "a broken $FS"
}
