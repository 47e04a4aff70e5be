# shellcheck shell=sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# reopen.sh - a conversion that follows a used map is interrupted, and the volume is used before
# it goes on. Environment as for steps.sh.

# Much is written and deleted again, so that blocks change hands in both directions.
step_prepare_holes()
{
	step_prepare
	must "mount plain" mount -t "$FS" "$DEV" "$MNT" || return
	for n in 1 2 3 4 5 6; do
		dd if=/dev/urandom of="$MNT/hole$n" bs=1048576 count=1 2>/dev/null
		dd if=/dev/urandom of="$MNT/keep$n" bs=262144 count=1 2>/dev/null
	done
	sync -f "$MNT"
	rm "$MNT"/hole*
	MANIFEST=$(manifest "$MNT" manifest)
	val manifest "$MANIFEST"
	must "unmount plain" umount "$MNT"
}

# Stock opens it, somebody looks, and nothing changes: not even a mount.
step_open_only()
{
	must "stock opens the half-done disk" cryptsetup open --key-file "$KEY" "$DEV" half || return
	must "it is read" cp /dev/mapper/half /dev/null
	must "close half-done" cryptsetup close half
}

# New files fill what was free, old ones go, and then the power fails ("written" is the word), or
# everything is closed.
step_work_half_done()
{
	must "stock opens the half-done disk" cryptsetup open --key-file "$KEY" "$DEV" half || return
	must "mount half-done" mount -t "$FS" /dev/mapper/half "$MNT" || return
	same "old files are there" "$MANIFEST" "$(hash_of "$MNT/manifest")"
	rm -r "$MNT/random/5" "$MNT"/keep[135]
	dd if=/dev/urandom of="$MNT/new" bs=1048576 count=10 2>/dev/null
	mkdir "$MNT/more"
	for n in 1 2 3 4 5 6 7 8 9; do
		dd if=/dev/urandom of="$MNT/more/$n" bs=100000 count=2 2>/dev/null
	done
	MANIFEST_NEW=$(manifest "$MNT" manifest.new)
	val manifest_new "$MANIFEST_NEW"
	sync -f "$MNT"
	if [ "${POWER-}" = fails ]; then
		at written
		sleep 100
	fi
	must "unmount half-done" umount "$MNT"
	must "close half-done" cryptsetup close half
}

step_encrypt_reports()
{
	exits 0 "coffer encrypt exits 0" "$COFFER" encrypt --key-file "$KEY" --json "$DEV" || return
	val used_only "$(sed -n 's/.*"used_only": *\([a-z]*\).*/\1/p' "$OUT" | tail -n 1)"
	val because "$(sed -n 's/.*"all_because": *"\([^"]*\)".*/\1/p' "$OUT" | tail -n 1 | cut -c1-150)"
}

# All files that are there now: the old list names some that were deleted.
step_verify_new()
{
	must "stock opens it" cryptsetup open --key-file "$KEY" "$DEV" plain || return
	if must "mount" mount -t "$FS" /dev/mapper/plain "$MNT"; then
		same "new file list" "$MANIFEST_NEW" "$(hash_of "$MNT/manifest.new")"
		all_files_well manifest.new
		must "unmount" umount "$MNT"
	fi
	clean_fsck "$FS" /dev/mapper/plain
	must "close" cryptsetup close plain
}
