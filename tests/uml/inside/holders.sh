# shellcheck shell=sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# holders.sh - who is at work on a disk, where that takes device-mapper or a machine of one's own.
# HOLDERS is the tool tests/tools/holders.c.

HOLDERS=${COFFER%/*}/tests/holders

# used_by NAME DISK LINE...: the tool's lines for DISK are these, shortened to
# "kind name device"; the last one is always "complete".
used_by()
{
	name=$1 disk=$2
	shift 2
	"$HOLDERS" "$disk" >"$OUT.raw" 2>&1
	got=$(sed -E 's/^\{"kind":"([^"]*)",.*"name":"([^"]*)","device":"([^"]*)"\}$/\1 \2 \3;/;
		s/^\{"complete":true\}$/complete;/' "$OUT.raw" | tr '\n' ' ')
	want=
	for line in "$@" complete; do
		want="$want$line; "
	done
	same "$name" "$want" "$got"
}

kernel_name() { dmsetup info --columns --noheadings --options blkdevname "$1"; }

# refused_with WORDS DISK: the refusal has them
refused_with()
{
	exits 4 "refused: $1" coffer_run "$2"
	if grep -q -F -- "$1" "$OUT"; then held "it says: $1"; else
		not_held "it says: $1" "it does not:"
	fi
}

holders_crypt()
{
	must "format" cryptsetup luksFormat -q --pbkdf pbkdf2 --pbkdf-force-iterations 1000 \
		--key-file "$KEY" "$SPARE" || return
	must "open" cryptsetup open --key-file "$KEY" "$SPARE" vault || return
	dm=$(kernel_name vault)
	used_by "dm-crypt on a disk" "$SPARE" "device $dm "
	refused_with "$SPARE: in use by $dm (vault); stop that device" "$SPARE"
	mkfs.ext4 -q /dev/mapper/vault
	mount /dev/mapper/vault "$MNT"
	used_by "mounted dm-crypt, from the disk" "$SPARE" "device $dm " "mount $MNT $dm"
	used_by "mounted dm-crypt, from the volume" /dev/mapper/vault "mount $MNT "
	refused_with "in use by $dm (vault), mounted on $MNT" "$SPARE"
	same "devices are listed by the names they were given" "/dev/mapper/vault $SPARE " \
		"$("$HOLDERS" --devices | grep -e "^$SPARE\$" -e '^/dev/\(mapper\|dm\)' | tr '\n' ' ')"
	umount "$MNT"
	cryptsetup close vault
	used_by "closed" "$SPARE"
}

holders_stack()
{
	dmsetup create lower --table "0 16384 linear $SPARE 2048"
	dmsetup create upper --table "0 8192 linear /dev/mapper/lower 0"
	low=$(kernel_name lower)
	up=$(kernel_name upper)
	used_by "a stack, from below" "$SPARE" "device $low " "device $up $low"
	used_by "a stack, from its middle" /dev/mapper/lower "device $up "
	used_by "a stack, from its top" /dev/mapper/upper
	dmsetup remove upper
	dmsetup remove lower
}

holders_swap()
{
	mkswap "$SPARE" >/dev/null
	swapon "$SPARE"
	used_by "swap" "$SPARE" "swap $SPARE "
	refused_with "$SPARE: in use as swap" "$SPARE"
	swapoff "$SPARE"
}

holders_elsewhere()
{
	use_mounted_elsewhere
	used_by "mounted in another mount namespace" "$DEV" "mount $MNT "
	# shellcheck disable=SC2154  # refuse.sh sets it
	refused_with "mounted on $MNT in the mount namespace of process $holder" "$DEV"
	end_mounted_elsewhere
	rm /run/there
}

# Where /sys or /proc is not there, nobody is found; so it says that there may be somebody.
holders_covered()
{
	for path in /sys /proc; do
		# shellcheck disable=SC2016  # the inner shell expands them
		got=$(unshare --mount sh -c 'mount -t tmpfs none "$0" && exec "$@"' \
			$path "$HOLDERS" "$DEV")
		same "without $path" '{"complete":false}' "$got"
	done
}

step_holders()
{
	holders_crypt
	holders_stack
	holders_swap
	holders_elsewhere
	holders_covered
	used_by "nobody" "$DEV"
}
