# shellcheck shell=sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# lib.sh - words the steps are written in. Plain POSIX sh: runs in dash and in busybox.

export KEY=/run/key
MNT=/run/mnt
OUT=/run/out
LIMIT=${LIMIT:-500}             # seconds after which a command hangs

at() { echo "@at $1"; }
val() { echo "@val $1=$2"; }
# WHO: whose check it is, where a guest has several disks
held() { echo "@ok ${WHO:+$WHO: }$1"; }

# not_held NAME WHY: with the end of what the command said, on one line. The lines left out
# are those of sha256sum about files that are well.
not_held()
{
	echo "@no ${WHO:+$WHO: }$1 :: $2 $(grep -v ': OK$' "$OUT" | tail -n 6 | tr '\r\n' '  ')"
}

# exits WANT NAME CMD...: CMD must exit with one of the codes in WANT ("0", "1 5").
exits()
{
	want=$1 name=$2
	shift 2
	rc=0
	timeout "$LIMIT" "$@" >"$OUT" 2>&1 </dev/null || rc=$?
	for w in $want; do
		if [ "$rc" = "$w" ]; then
			held "$name"
			return 0
		fi
	done
	not_held "$name" "exit $rc, not $want:"
	return 1
}

# must NAME CMD...: CMD must succeed; without it the rest of the step makes no sense.
must()
{
	n=$1
	shift
	exits 0 "$n" "$@"
}

# same NAME WANT GOT
same()
{
	: >"$OUT"
	if [ "$2" = "$3" ]; then held "$1"; else
		not_held "$1" "want $2, got $3"
		return 1
	fi
}

hash_of() { sha256sum <"$1" | cut -d' ' -f1; }

# manifest DIR NAME: hashes of every file, in DIR/NAME itself, and the hash of that.
manifest()
{
	(cd "$1" && find . -type f ! -name 'manifest*' | sort | xargs sha256sum) >"$OUT.m"
	mv "$OUT.m" "$1/$2"
	sync
	hash_of "$1/$2"
}

# all_files_well LIST: every file named in LIST, at the top of what is mounted. The inner
# shell changes folder, not this one: busybox's timeout leaves a watcher where it began,
# and the filesystem would be busy.
all_files_well()
{
	# shellcheck disable=SC2016  # the inner shell expands them
	must "every file has its hash" sh -c 'cd "$0" && sha256sum -c "$1"' "$MNT" "$1"
}

# fill DIR: a tree of many sizes: modules are on every machine that runs this kernel.
fill()
{
	# shellcheck disable=SC2046  # one cp for all: starting a program is slow in a guest
	cp $(find "$MODULES" -name '*.ko' | sort | head -n 60) "$1/"
	mkdir "$1/small" "$1/random"
	i=0
	while [ $i -lt 100 ]; do
		echo "file $i" >"$1/small/$i"
		i=$((i + 1))
	done
	for mib in 1 2 5; do
		dd if=/dev/urandom of="$1/random/$mib" bs=1048576 count=$mib 2>/dev/null
	done
	ln -s random/1 "$1/link"
	dd if=/dev/urandom of="$1/sparse" bs=4096 count=1 seek=2000 2>/dev/null
}

# clean_fsck KIND DEVICE: the filesystem's own checker finds nothing to repair.
clean_fsck()
{
	case $1 in
	ext4) must "e2fsck finds nothing" e2fsck -fn "$2" ;;
	xfs) must "xfs_repair finds nothing" xfs_repair -n "$2" ;;
	btrfs) must "btrfs check finds nothing" btrfs check --readonly "$2" ;;
	esac
}
