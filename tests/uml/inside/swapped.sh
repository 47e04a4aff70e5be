# shellcheck shell=sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# swapped.sh - the device below a running conversion becomes another one, by device-mapper.
# Needs many.sh. SWAPS: MOMENT:KIND words, one for each disk.
# FREE_KIB: where a conversion that follows the used map writes nothing.

# table KIND: what is there from now on, in place of the disk
table()
{
	slow=/dev/mapper/slow free=$((FREE_KIB * 2)) less=$((SECTORS - SHIFT * 2048))
	case $1 in
	# A flush goes to each target of a table, and only flushes come to this one.
	flush)
		echo "0 $free linear $slow 0"
		echo "$free 8 flakey $slow $free 0 3600 1 error_writes"
		echo "$((free + 8)) $((SECTORS - free - 8)) linear $slow $((free + 8))"
		;;
	gone) echo "0 $SECTORS error" ;;
	shrunk) echo "0 $less linear $slow 0" ;;
	esac
}

# swap MOMENT KIND: coffer runs as $running; what it asks of the disk while the table is changed has
# to wait, and then meets the new one.
swap()
{
	if ! python3 "$INSIDE/await.py" "$DEV" "$1" "$running"; then
		: >"$OUT"
		not_held "it has come to: $1" "it has not"
		return 1
	fi
	dmsetup suspend --noflush --nolockfs live || return
	table "$2" | dmsetup load live && dmsetup resume live
}

# What coffer must say: that a flush failed, and nothing else did; or that the disk did.
words()
{
	case $1 in
	flush) echo "flush /dev/mapper/live: Input/output error" ;;
	shrunk) echo "/dev/mapper/live shrank during the run" ;;
	*) echo "/dev/mapper/live" ;;
	esac
}

stops_by()
{
	rc=0
	wait "$running" || rc=$?
	cp /run/out-live "$OUT"
	# Only when nothing was written yet it may say that it never began. A disk that became smaller
	# is a person's to give back.
	if [ "$rc" = 5 ] || { [ "$1" = shrunk ] && [ "$rc" = 6 ]; } || { [ "$rc" = 1 ] && [ "$before" = "$(hash_of "$DEV")" ]; }; then
		held "coffer stops and reports what is on the disk"
	else
		not_held "coffer stops and reports what is on the disk" "exit $rc"
	fi
	must "it reports why" grep -q "$(words "$1")" /run/out-live
}

swap_one()
{
	SECTORS=$(blockdev --getsz "$DEV") before=$(hash_of "$DEV")
	dmsetup create slow --table "0 $SECTORS delay $DEV 0 0 $DEV 0 20 $DEV 0 20" || return
	dmsetup create live --table "0 $SECTORS linear /dev/mapper/slow 0" || return
	coffer_run /dev/mapper/live >/run/out-live 2>&1 </dev/null &
	running=$!
	swap "$1" "$2"
	stops_by "$2"
	[ "$2" != shrunk ] || exits 4 "what is smaller now is refused" coffer_run /dev/mapper/live
	must "disk taken away" dmsetup remove live
	dmsetup remove slow
	step_encrypt
	step_verify
}

step_swap_each()
{
	export HOW=--used-only=yes
	each_disk "$SWAPS" swap_one
}
