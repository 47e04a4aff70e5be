#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# demo.sh - encrypts what a filesystem of this machine's own files uses, in place, kills coffer half
# way, lets it finish, proves the result with other tools than coffer, and runs stock cryptsetup,
# which encrypts free space as well, beside.
# Needs no root; as root it steps down to an ordinary user first. Leaves nothing behind.
# Exit status 0: every proof held.
#
# COFFER          the program                        build/coffer
# COFFER_DECRYPT  writes a decrypted volume to stdout   build/tests/luks-cat
# COFFER_DEMO_MB  how much to encrypt                400
# TMPDIR          where, five times that is needed   /var/tmp
set -euo pipefail
export LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin

top=$(cd "$(dirname "$0")/.." && pwd)
coffer=$(realpath -m "${COFFER:-$top/build/coffer}")
decrypt=$(realpath -m "${COFFER_DECRYPT:-$top/build/tests/luks-cat}")
mb=${COFFER_DEMO_MB:-400}
MiB=$((1024 * 1024))
gap=32 # MiB at the end that no filesystem uses: the room for the header
rounds=3

for p in "$coffer" "$decrypt"; do
	[ -x "$p" ] || { echo "demo.sh: $p is not there; run: make demo" >&2; exit 1; }
done

scratch=$(mktemp -d "${TMPDIR:-/var/tmp}/coffer-demo-XXXXXX")
told=
at_exit()
{
	local status=$?
	rm -rf "$scratch"
	[ $status = 0 ] || [ -n "$told" ] || echo "NOT PROVEN: a step failed with status $status"
}
trap at_exit EXIT
trap 'exit 130' INT TERM

if [ "$(id -u)" = 0 ]; then
	# The folder of this tree may be closed to others, so the programs go along.
	cp -L "$coffer" "$scratch/coffer"
	cp -L "$(dirname "$coffer")/coffer-helper" "$scratch/coffer-helper"
	cp -L "$decrypt" "$scratch/luks-cat"
	cp "$0" "$scratch/demo.sh"
	mkdir "$scratch/tmp"
	chmod 755 "$scratch" "$scratch"/*
	chown -R 65534:65534 "$scratch"
	cd "$scratch"
	told=1 # by the child
	setpriv --reuid=65534 --regid=65534 --clear-groups --reset-env \
		env COFFER="$scratch/coffer" COFFER_DECRYPT="$scratch/luks-cat" \
		COFFER_DEMO_MB="$mb" TMPDIR="$scratch/tmp" bash "$scratch/demo.sh" </dev/null
	exit
fi
cd "$scratch"

fail()
{
	echo
	echo "NOT PROVEN: $*"
	told=1
	exit 1
}

# quietly COMMAND...: its output is of interest only when it fails
quietly()
{
	"$@" >log 2>&1 || { cat log; fail "$(basename "$1") failed: $*"; }
}

# row WHAT BYTES SECONDS FLUSHES
row()
{
	printf '%-44s %12s %9s %8s\n' "$1" "$2" "$3" "$4" | sed 's/ *$//'
}

now() { echo "${EPOCHREALTIME/./}"; }

# since T: seconds, two digits
since()
{
	local us=$(($(now) - $1))
	printf '%d.%02d' $((us / 1000000)) $((us / 10000 % 100))
}

# number NAME LINE: a number out of a flat JSON object, without a JSON parser to install
number()
{
	[[ $2 =~ \"$1\":\ *([0-9]+(\.[0-9]+)?) ]] && echo "${BASH_REMATCH[1]}"
}

# fresh NAME: a copy of the original image, on the disk before the clock starts
fresh()
{
	cp --reflink=auto --sparse=never original "$1"
	sync "$1"
}

# One set of parameters for both. The key is random, so a slow PBKDF would only cost time.
same=(--pbkdf pbkdf2 --pbkdf-force-iterations 1000 --cipher aes-xts-plain64 --key-size 512
	--sector-size 512 --reduce-device-size "${gap}M" --key-file key)
ours=("$coffer" encrypt --json "${same[@]}")
# /run/cryptsetup belongs to root, and nobody else knows of these images
stock=(cryptsetup reencrypt --encrypt --type luks2 "${same[@]}"
	--force-offline-reencrypt --disable-locks -q)

word=Copyright
count_word() { { grep -aoF "$word" "$1" || true; } | wc -l; }

# --- an original -----------------------------------------------------------------------------

head -c 64 /dev/urandom >key
head -c 64 /dev/urandom >wrong-key

free=$(($(df --output=avail -B "$MiB" . | tail -n 1)))
[ "$free" -ge $((mb * 5 + 500)) ] || fail "$free MiB free in $scratch, not $((mb * 5 + 500))"

start=$(now)
# Few enough files that mkfs.ext4 -d does not take longer than everything else.
{ find /usr/lib /usr/bin /usr/share -xdev -type f -readable -size -20M ! -name '*
*' -printf '%s\t%p\n' 2>/dev/null || true; } | awk -F '\t' -v left=$((mb * MiB)) '
	{ need = int($1 / 4096 + 1) * 4096 }
	need <= left && n++ < 10000 { left -= need; print substr($2, 2) }' >list
mkdir tree
tar -C / -c --verbatim-files-from --no-recursion -T list | tar -C tree -x
files=$(wc -l <list)
fs=$((mb * 115 / 100 + 32)) # metadata and the journal of ext4
truncate -s "$((fs + gap))M" original
quietly mkfs.ext4 -q -b 4096 -E lazy_itable_init=0 -d tree original "${fs}M"
bytes=$((fs * MiB))

echo "coffer beside $(cryptsetup --version | cut -d ' ' -f 1-2), as $(id -un), in $scratch"
echo
row 'what happened' bytes seconds flushes
row "ext4 made of $files files of this machine" "$bytes" "$(since "$start")" ''

# --- killed, resumed ---------------------------------------------------------------------------

# cut_at PERCENT: SIGKILLs coffer as soon as it reports that much; fails if all was moved by then
cut_at()
{
	local line at total out
	fresh work
	start=$(now)
	exec {out}< <(exec "${ours[@]}" work 2>messages)
	pid=$!
	while read -r -u "$out" line; do
		# The phases before the first step have no bytes to count.
		[[ $line == *'"phase":"convert"'* ]] || continue
		at=$(number 'done' "$line")
		total=$(number total "$line")
		if [ $((at * 100)) -ge $((total * $1)) ]; then
			kill -KILL "$pid" 2>/dev/null || true
			break
		fi
	done
	status=0
	wait "$pid" || status=$?
	exec {out}<&-
	# On a busy machine all may have been moved before the signal came; that is no cut to show.
	[ "$status" = 137 ] && "$coffer" status --json work 2>&1 | grep -q '"converting"' &&
		cut_bytes=$at && cut_percent=$((at * 100 / total))
}

# The pipe runs behind a fast program, so try to catch it earlier and earlier.
cut=
for percent in 40 20 5 1; do
	if cut_at $percent; then
		cut=1
		break
	fi
	[ "$status" = 0 ] || [ "$status" = 137 ] || { cat messages; fail "coffer ended with status $status"; }
done
[ -n "$cut" ] || fail 'coffer was always done before SIGKILL arrived'
row "coffer, SIGKILL at $cut_percent %" "$cut_bytes" "$(since "$start")" ''
quietly cryptsetup luksDump work
grep -q 'online-reencrypt' log || fail 'killed, but the header shows no conversion under way'
row 'cryptsetup sees a conversion under way' '' '' ''

start=$(now)
"${ours[@]}" work >events 2>messages || { cat messages; fail "resuming ended with status $?"; }
seconds=$(since "$start")
summary=$(tail -n 1 events)
[[ $summary == *'"summary"'* ]] || fail 'the last line of coffer is no summary'
row 'coffer again: resumed and finished' "$(number bytes_moved "$summary")" "$seconds" \
	"$(number flushes "$summary")"
[[ $summary =~ \"used_only\":\ *true ]] || fail 'free space was encrypted, too'
row 'used by ext4; free blocks were left out' "$(number bytes_used "$summary")" '' ''

# --- the proof, by other programs ----------------------------------------------------------------

# proven IMAGE: stock tools accept it, and every file has the bytes that it had. Free blocks were
# left out, so they may decrypt to anything.
proven()
{
	quietly cryptsetup luksDump "$1"
	! grep -q 'reencrypt' log || fail "$1: the header still shows a conversion under way"
	grep -q 'cipher: aes-xts-plain64' log || fail "$1: cryptsetup sees no encrypted segment"
	quietly cryptsetup open --disable-locks --test-passphrase --key-file key "$1"
	! cryptsetup open --disable-locks --test-passphrase --key-file wrong-key "$1" 2>/dev/null ||
		fail "$1: cryptsetup accepts a wrong key"
	"$decrypt" "$1" key >plain
	quietly e2fsck -fn plain
	rm -rf files
	mkdir files
	# debugfs says what it could not read, but its status is 0 all the same: diff is the judge.
	debugfs -R 'rdump /usr files' plain >log 2>&1
	diff -r tree/usr files/usr >log 2>&1 || { head -n 20 log; fail "$1: the files differ"; }
	[ "$(find files/usr -type f | wc -l)" = "$files" ] || fail "$1: not $files files"
}

proven work
row 'cryptsetup opens it, and not with another key' '' '' ''
row 'e2fsck finds no fault' '' '' ''
row "all $files files are what they were" \
	"$(find files/usr -type f -printf '%s\n' | awk '{ n += $1 } END { printf "%d", n }')" '' ''

# Anywhere in the image, so a copy left behind at its end would show as well.
before=$(count_word original)
[ "$(count_word work)" = 0 ] || fail "the image still holds plaintext ('$word')"
row "'$word' in the image: $before times, now 0" '' '' ''

# --- beside the stock tool -----------------------------------------------------------------------

# timed NAME COMMAND...: appends the seconds of a whole run on a fresh copy to NAME.s
timed()
{
	local name=$1 t
	shift
	fresh work
	t=$(now)
	"$@" work >"$name.out" 2>&1 || { cat "$name.out"; fail "$name ended with status $?"; }
	since "$t" >>"$name.s"
	echo >>"$name.s"
}

# flushes COMMAND...: system calls that flush, counted from outside
flushes()
{
	fresh work
	strace -f -qq -c -o counts -e trace=fsync,fdatasync,syncfs,sync_file_range,msync \
		"$@" work >log 2>&1 &&
		awk '$NF ~ /^(fsync|fdatasync|syncfs|sync_file_range|msync)$/ { n += $4 }
			END { print n + 0 }' counts || echo '?'
}

for ((i = 0; i < rounds; i++)); do
	timed coffer "${ours[@]}"
	[ $i -gt 0 ] || { proven work; moved=$(number bytes_moved "$(tail -n 1 coffer.out)"); }
	timed cryptsetup "${stock[@]}"
	[ $i -gt 0 ] || proven work
done
for name in coffer cryptsetup; do
	sort -n "$name.s" | sed -n "$((rounds / 2 + 1))p" >"$name.median"
done
row "coffer, used blocks (median of $rounds)" "$moved" "$(cat coffer.median)" "$(flushes "${ours[@]}")"
row "cryptsetup, all blocks (median of $rounds)" "$bytes" "$(cat cryptsetup.median)" \
	"$(flushes "${stock[@]}")"

echo
awk -v a="$(cat coffer.median)" -v b="$(cat cryptsetup.median)" -v p="$cut_percent" 'BEGIN {
	printf "PROVEN: killed at %d %%, resumed, every file as it was; %.1f times the speed of cryptsetup here\n",
		p, b / a }'
