# shellcheck shell=sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# replay.sh - record every write of a conversion with dm-log-writes, then begin again from
# what the disk held at many moments in between. LOG, PLAIN and TARGET are further disks:
# the log, an untouched copy of DEV, and where the states are built. USED is a file of the host: what
# the filesystem uses.

step_record()
{
	dmsetup create logged --table "0 $(blockdev --getsz "$DEV") log-writes $DEV $LOG" || return
	exits 0 "coffer encrypt exits 0 on the recorded disk" coffer_run /dev/mapper/logged
	must "recorder removed" dmsetup remove logged
}

step_replay()
{
	python3 "$INSIDE/replay.py" "$LOG" "$PLAIN" "$TARGET"
}
