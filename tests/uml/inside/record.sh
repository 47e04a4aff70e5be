# shellcheck shell=sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# record.sh - record every write of several runs with dm-log-writes; the host judges what the log's
# prefixes are. Needs many.sh. RUNS: FS:used|all:encrypt|resume|abort words. Of N of them the first N
# disks are converted, the next N take what each was when the recording began, the last N the logs.

# interrupted MOMENT: a conversion that is killed when the disk shows that it has come so far; it
# moves 1 MiB in 2 seconds, so it does not come much farther.
interrupted()
{
	dmsetup create slow --table "0 $(blockdev --getsz "$DEV") delay $DEV 0 0 $DEV 0 10 $DEV 0 10" ||
		return
	RATE=512K coffer_run /dev/mapper/slow >"$OUT" 2>&1 </dev/null &
	running=$!
	must "it has come to: $1" python3 "$INSIDE/await.py" "$DEV" "$1" "$running"
	kill -KILL $running
	wait $running
	must "slow disk taken away" dmsetup remove --retry slow
}

record_one()
{
	FS=$1 HOW=$(used_only "$2")
	export FS HOW
	# shellcheck disable=SC2154  # many.sh sets number
	base=$(disk $((number - 1 + count))) log=$(disk $((number - 1 + 2 * count)))
	case $3 in
	resume) interrupted share=0.02 ;;
	abort) interrupted placed ;;
	esac
	must "what the disk is now" dd if="$DEV" of="$base" bs=1M iflag=direct oflag=direct
	dmsetup create logged --table "0 $(blockdev --getsz "$DEV") log-writes $DEV $log" || return
	case $3 in
	abort) exits 0 "coffer abort exits 0 on the recorded disk" "$COFFER" abort /dev/mapper/logged ;;
	*) exits 0 "coffer encrypt exits 0 on the recorded disk" coffer_run /dev/mapper/logged ;;
	esac
	must "recorder removed" dmsetup remove logged
}

step_record_each()
{
	count=$(echo "$RUNS" | tr , '\n' | wc -l)
	each_disk "$RUNS" record_one
}
