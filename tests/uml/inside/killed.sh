# shellcheck shell=sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# killed.sh - several disks that are converted at the same time, so that one cut is a cut of each.
# Needs many.sh. DISKS: FS:used|all words, one for each disk; MANIFESTS: the hashes of their file
# lists, likewise.

# Every write and flush takes 10 ms, and only so much is moved each second: a disk of a few MiB is
# long under way on any machine.
convert_one()
{
	HOW=$(used_only "$2") letter=${DEV#/dev/}
	export HOW
	dmsetup create "slow-$letter" --table \
		"0 $(blockdev --getsz "$DEV") delay $DEV 0 0 $DEV 0 10 $DEV 0 10" || return
	coffer_run "/dev/mapper/slow-$letter" >"/run/out-$letter" 2>&1 </dev/null &
	echo "$! $letter" >>/run/running
}

# A disk whose conversion is done is left alone by those of later boots: coffer refuses it.
step_convert_each()
{
	: >/run/running
	each_disk "$DISKS" convert_one
	at converting
	rc=0
	while read -r pid letter; do
		wait "$pid" || rc=$?
		echo "@ended $letter $rc $(tail -n 2 "/run/out-$letter" | tr '\n' ' ')"
	done </run/running
}

# Whatever each disk is now, it can be finished, and its files are what they were.
finish_one()
{
	FS=$1 HOW=$(used_only "$2")
	# shellcheck disable=SC2154,SC2153  # many.sh sets number, the host MANIFESTS
	MANIFEST=$(nth "$number" "$MANIFESTS")
	export FS HOW MANIFEST
	if cryptsetup isLuks "$DEV" && ! cryptsetup luksDump "$DEV" | grep -q '^Requirements:'; then
		exits 4 "it was finished before" coffer_run "$DEV"
	else
		step_encrypt
	fi
	step_verify
}

step_finish_each()
{
	unset RATE
	each_disk "$DISKS" finish_one
}
