# shellcheck shell=sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# many.sh - the same for several disks in one guest: a boot costs more than most of what is done.

# disk N: the disk with that number, from 0
disk()
{
	set -- "$1" a b c d e f g h i j k l m n o p
	shift $(($1 + 1))
	echo "/dev/ubd$1"
}

# each_disk WORDS COMMAND: for each of the words, which have commas between them, COMMAND with the
# word's parts, which have colons between them; DEV is /dev/ubda for the first word, and so on.
each_disk()
{
	left=$1, number=0
	while [ -n "$left" ]; do
		WHO=$(echo "${left%%,*}" | tr : ' ')
		DEV=$(disk $number)
		export DEV
		left=${left#*,} number=$((number + 1))
		# shellcheck disable=SC2086  # into its parts
		"$2" $WHO
	done
	WHO=
}

# used_only WHAT: for HOW
used_only()
{
	[ "$1" = used ] && echo --used-only=yes || echo --used-only=no
}

# nth N LIST: the n-th word, from 1
nth()
{
	echo "$2" | cut -d, -f"$1"
}

# FILESYSTEMS, one for each disk
prepare_one()
{
	export FS="$1"
	step_prepare
	manifests=${manifests:+$manifests,}$MANIFEST
}

step_prepare_each()
{
	manifests=
	each_disk "$FILESYSTEMS" prepare_one
	val manifests "$manifests"
}
