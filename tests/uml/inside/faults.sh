# shellcheck shell=sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# faults.sh - a disk that fails while coffer is at work, made by device-mapper.

# all_but FROM COUNT TARGET: a table of DEV with TARGET in place of some sectors.
all_but()
{
	end=$(($1 + $2))
	[ "$1" = 0 ] || echo "0 $1 linear $DEV 0"
	echo "$1 $2 $3"
	[ $end = "$SECTORS" ] || echo "$end $((SECTORS - end)) linear $DEV $end"
}

# stops NAME: failed before anything was written (1), or interrupted but resumable (5)
stops()
{
	exits "${STOP_CODE:-1 5}" "$1" coffer_run /dev/mapper/faulty
}

# The 4096 bytes at BAD_KIB can be neither read nor written.
step_bad_sector()
{
	SECTORS=$(blockdev --getsz "$DEV")
	all_but $((BAD_KIB * 2)) 8 error | dmsetup create faulty || return
	stops "coffer stops at the bad sector"
	must "disk taken away" dmsetup remove faulty
}

# From some moment on every write and every flush fails; reads go on.
step_writes_fail()
{
	SECTORS=$(blockdev --getsz "$DEV")
	dmsetup create slow --table "0 $SECTORS delay $DEV 0 0 $DEV 0 20 $DEV 0 20" || return
	dmsetup create faulty --table "0 $SECTORS linear /dev/mapper/slow 0"
	(
		sleep "$FAIL_AFTER"
		dmsetup reload faulty --table \
			"0 $SECTORS flakey /dev/mapper/slow 0 0 3600 1 error_writes"
		dmsetup resume faulty
		touch /run/failing
	) &
	stops "coffer stops when writes fail"
	wait
	must "it stopped because of that" test -e /run/failing
	dmsetup remove faulty
	dmsetup remove slow
}

# The disk says yes and forgets. Without reading back, a run would destroy the moved segment.
step_forgets_writes()
{
	SECTORS=$(blockdev --getsz "$DEV")
	before=$(hash_of "$DEV")
	dmsetup create faulty --table "0 $SECTORS flakey $DEV 0 0 3600 1 drop_writes" || return
	stops "coffer notices that writes are lost"
	dmsetup remove faulty
	same "disk unchanged" "$before" "$(hash_of "$DEV")"
}

# Only the place of the moved-segment copy forgets: the moved segment must not be overwritten then.
step_forgets_moved_segment_copy()
{
	SECTORS=$(blockdev --getsz "$DEV")
	segment=$(head -c $((SHIFT * 1048576)) "$DEV" | sha256sum)
	n=$((SHIFT * 2048))
	all_but $((SECTORS - n)) $n "flakey $DEV $((SECTORS - n)) 0 3600 1 drop_writes" |
		dmsetup create faulty || return
	stops "coffer notices that the moved-segment copy is lost"
	dmsetup remove faulty
	same "moved segment unchanged" "$segment" "$(head -c $((SHIFT * 1048576)) "$DEV" | sha256sum)"
}
