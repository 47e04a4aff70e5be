# shellcheck shell=sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# refuse.sh - somebody has the disk: coffer must say 4 and not touch a byte of it.

use_mounted() { mount -t "$FS" "$DEV" "$MNT"; }
end_mounted() { umount "$MNT"; }

use_mounted_read_only() { mount -t "$FS" -o ro,noload "$DEV" "$MNT"; }
end_mounted_read_only() { umount "$MNT"; }

use_mounted_elsewhere()         # in a mount namespace that is not coffer's
{
	# shellcheck disable=SC2016  # the inner shell expands them
	unshare --mount sh -c 'mount -t "$FS" "$DEV" "$0" && touch /run/there && exec sleep 600' \
		"$MNT" &
	holder=$!
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		[ -e /run/there ] || sleep 0.5
	done
}
end_mounted_elsewhere() { kill "$holder"; wait "$holder" 2>/dev/null; }

use_device_mapper()
{
	dmsetup create holder --table "0 $(blockdev --getsz "$DEV") linear $DEV 0"
}
end_device_mapper() { dmsetup remove holder; }

use_device_mapper_part() { dmsetup create holder --table "0 8 linear $DEV 2048"; }
end_device_mapper_part() { dmsetup remove holder; }

use_swap() { mkswap "$SPARE" >/dev/null && swapon "$SPARE" && DISK=$SPARE; }
end_swap() { swapoff "$SPARE"; }

step_refuse()
{
	for how in mounted mounted_read_only mounted_elsewhere device_mapper device_mapper_part swap; do
		DISK=$DEV
		if ! "use_$how" >"$OUT" 2>&1; then
			not_held "$how: set up" failed
			continue
		fi
		sync
		before=$(hash_of "$DISK")
		exits 4 "$how: refused with 4" coffer_run "$DISK"
		sync
		same "$how: disk unchanged" "$before" "$(hash_of "$DISK")"
		"end_$how"
	done
}
