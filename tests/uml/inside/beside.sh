# shellcheck shell=sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# beside.sh - coffer and stock cryptsetup at one disk at the same time, with a real dm-crypt below.
# Environment as for steps.sh, and SEED, a number; CYCLES, how often the finished volume is opened;
# KILLS, how often the conversion is killed.

SECOND_KEY=/run/second-key
COUNTS=/run/counts
printf 'another one' >$SECOND_KEY

# below N: a number from 0 to N-1; the same ones for the same SEED. In $n: a subshell would
# forget the seed.
below()
{
	SEED=$(((SEED * 1103515245 + 12345) % 2147483648))
	n=$((SEED / 65536 % $1))
}

count() { echo "$1" >>$COUNTS; }
counted() { grep -c -x "$1" $COUNTS; }

# did WORD CODES CMD...: CMD must end with one of CODES; "0 1" counts WORD for 0, else WORD-refused.
did()
{
	word=$1 codes=$2 rc=0
	shift 2
	timeout "$LIMIT" "$@" >"$OUT" 2>&1 </dev/null || rc=$?
	case " $codes " in
	*" $rc "*) ;;
	*)
		not_held "$word" "exit $rc, not $codes: $*:"
		touch /run/wrong
		return 1
		;;
	esac
	[ $rc = 0 ] || word=$word-refused
	count "$word"
}

# One thing that stock does beside a conversion, chosen by chance. It never succeeds in changing
# anything: the key is not added, and the disk is not opened while coffer has it.
stock_beside()
{
	below 6
	case $n in
	0) did dump 0 cryptsetup luksDump "$DEV" ;;
	1) did test-key 0 cryptsetup open --test-passphrase --key-file "$KEY" "$DEV" ;;
	2)
		did add-key "0 1 2 3 4 5" cryptsetup luksAddKey -q --pbkdf pbkdf2 \
			--pbkdf-force-iterations 1000 --key-file "$KEY" "$DEV" "$SECOND_KEY"
		[ $rc != 0 ] || wrong "a key was added to a disk that is converted"
		;;
	3)
		did open "0 1 2 3 4 5" cryptsetup open --key-file "$KEY" "$DEV" beside
		[ $rc != 0 ] || wrong "it was opened while coffer has it for itself"
		;;
	4) did resume "1 2 3 4 5" cryptsetup reencrypt --resume-only --key-file "$KEY" -q "$DEV" ;;
	5) did repair "0 1 2 3 4 5" cryptsetup repair --key-file "$KEY" -q "$DEV" ;;
	esac
}

wrong()
{
	: >"$OUT"
	not_held "$1" "round $round"
	touch /run/wrong
}

coffer_looks()
{
	did status 0 "$COFFER" status "$DEV"
	did verify "0 3" "$COFFER" verify --key-file "$KEY" "$DEV"
}

# The half converted volume, opened by stock and used, while coffer wants to go on and may not.
use_half_converted()
{
	must "stock opens it, round $round" cryptsetup open --key-file "$KEY" "$DEV" half || return
	must "mount, round $round" mount -t "$FS" /dev/mapper/half "$MNT" || return
	did in-use 4 coffer_run "$DEV"
	did abort 4 "$COFFER" abort "$DEV"
	coffer_looks
	dd if=/dev/urandom of="$MNT/round$round" bs=100000 count=1 2>/dev/null
	(cd "$MNT" && sha256sum "round$round") >>/run/rounds
	must "unmount, round $round" umount "$MNT"
	must "close, round $round" cryptsetup close half
}

# has_it PID: it holds the lock of the volume's reencryption. Before that stock may come first: then
# stock opens the volume or converts it, and coffer is the one who is refused.
has_it()
{
	uuid=$(cryptsetup luksUUID "$DEV" 2>/dev/null) || return
	inode=$(stat -c %i "/run/cryptsetup/LN_LUKS2-reencryption-$uuid" 2>/dev/null) || return
	grep -q " $1 [^ ]*:$inode " /proc/locks
}

# A conversion that is killed again and again, with stock beside it all the time.
step_beside_conversion()
{
	round=1
	: >$COUNTS
	while [ $round -le "$KILLS" ] && [ ! -e /run/wrong ]; do
		coffer_run "$DEV" >/run/coffer.out 2>&1 &
		running=$!
		tries=0
		while ! has_it $running && [ $tries -lt 500 ]; do tries=$((tries + 1)); done
		for _ in 1 2 3 4; do
			kill -0 $running 2>/dev/null && stock_beside
		done
		kill -0 $running 2>/dev/null && coffer_looks
		kill -0 $running 2>/dev/null && did second 4 coffer_run "$DEV"
		kill -KILL $running 2>/dev/null && count killed
		wait $running 2>/dev/null
		use_half_converted || return
		round=$((round + 1))
	done
	HOW='' exits 0 "coffer ends the conversion" coffer_run "$DEV"
	tell_counts dump test-key status verify-refused killed in-use-refused abort-refused second-refused
}

# tell_counts WORD...: each of these must have happened.
tell_counts()
{
	: >"$OUT"
	for word in "$@"; do
		if [ "$(counted "$word")" -gt 0 ]; then held "it happened: $word"; else
			not_held "it happened: $word" "$(sort $COUNTS | uniq -c | tr '\n' ';')"
		fi
	done
	sort -u $COUNTS | while read -r word; do
		val "$word" "$(counted "$word")"
	done
}

# Everything that was written between the rounds is there.
step_beside_rounds()
{
	must "stock opens it" cryptsetup open --key-file "$KEY" "$DEV" plain || return
	must "mount" mount -t "$FS" /dev/mapper/plain "$MNT" || return
	# shellcheck disable=SC2016  # the inner shell expands them
	must "what was written between the rounds is there" \
		sh -c 'cd "$0" && sha256sum -c /run/rounds' "$MNT"
	must "unmount" umount "$MNT"
	must "close" cryptsetup close plain
}

# coffer looks all the time, until /run/enough.
look_for_ever()
{
	while [ ! -e /run/enough ]; do
		for verb in "status" "verify --key-file $KEY" "repair --dry-run" "plan --no-speed"; do
			rc=0
			# shellcheck disable=SC2086  # a verb and its options
			timeout "$LIMIT" "$COFFER" $verb "$DEV" >/run/look.out 2>&1 </dev/null || rc=$?
			case $rc in
			0 | 3 | 4) echo "look" >>/run/looks ;;
			*) echo "$verb: exit $rc: $(tail -n 3 /run/look.out | tr '\n' ' ')" >>/run/bad-looks ;;
			esac
		done
	done
}

# The finished volume: opened, mounted, used and closed by stock, keys added and removed, while
# coffer looks; and what coffer may not do, it does not.
step_beside_finished()
{
	: >$COUNTS
	look_for_ever &
	looker=$!
	cycle=1
	while [ $cycle -le "$CYCLES" ] && [ ! -e /run/wrong ]; do
		must "open, cycle $cycle" cryptsetup open --key-file "$KEY" "$DEV" plain || break
		must "mount, cycle $cycle" mount -t "$FS" /dev/mapper/plain "$MNT" || break
		did add-key 0 cryptsetup luksAddKey -q --pbkdf pbkdf2 --pbkdf-force-iterations 1000 \
			--key-file "$KEY" "$DEV" "$SECOND_KEY"
		did new-key 0 cryptsetup open --test-passphrase --key-file "$SECOND_KEY" "$DEV"
		did encrypt 4 coffer_run "$DEV"
		did dump 0 cryptsetup luksDump "$DEV"
		did remove-key 0 cryptsetup luksRemoveKey -q "$DEV" "$SECOND_KEY"
		did removed-key 2 cryptsetup open --test-passphrase --key-file "$SECOND_KEY" "$DEV"
		must "unmount, cycle $cycle" umount "$MNT"
		must "close, cycle $cycle" cryptsetup close plain || break
		did encrypted 4 coffer_run "$DEV"
		cycle=$((cycle + 1))
	done
	touch /run/enough
	wait $looker
	: >"$OUT"
	same "every look of coffer's was a good one" "" "$(head -n 3 /run/bad-looks 2>/dev/null)"
	val looks "$(wc -l </run/looks)"
	must "coffer has looked" test -s /run/looks
	tell_counts add-key new-key encrypt-refused remove-key removed-key-refused encrypted-refused
}
