#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The include rule: base < model < os < story < cli. A file includes its own layer and earlier
# ones; cli only include/coffer, base and itself. Everybody may use the words of
# coffer/{check,err,remedy,stage,user}.h; the rest of the public headers belongs to story, which fulfils them, and to cli,
# which calls them.
# base and model are pure: headers that make system calls are not theirs.
# A vendor's header is known to exactly one .c, so that a change of vendor touches one file.
. "$(dirname "$0")/../lib/tap.sh"

sources=$(files | grep -E '^(src|include)/.*\.[ch]$' || true)
# FILE HEADER, with the quotes or brackets kept
includes=$(printf '%s\n' "$sources" | xargs -r grep -HoE '^[[:space:]]*#[[:space:]]*include[[:space:]]*["<][^">]+[">]' |
	sed -E 's/^([^:]+):.*include[[:space:]]*/\1 /')
[ -n "$includes" ] || includes='none none'

check 'every source lies in a layer' \
	"$(printf '%s\n' "$sources" | grep -vE '^(src/(base|model|os|story|cli)|include/coffer)/[^/]+$' || true)"

check 'project headers: own and earlier layers only' "$(printf '%s\n' "$includes" | awk '
	BEGIN { n = split("base model os story cli", order); for (i = 1; i <= n; i++) rank[order[i]] = i }
	$2 !~ /^"/ { next }
	{
		split($1, at, "/"); layer = at[1] == "src" ? at[2] : "public"
		header = substr($2, 2, length($2) - 2)
		split(header, to, "/"); wanted = to[1]
		if (header ~ /^coffer\/(check|err|remedy|stage|user)\.h$/) ok = 1
		else if (wanted == "coffer") ok = layer ~ /^(public|story|cli)$/
		else if (layer == "cli") ok = wanted == "base" || wanted == "cli"
		else ok = wanted in rank && rank[wanted] <= rank[layer]
		if (!ok) print $1 " includes " $2
	}')"

check 'examples: public headers and libc only' "$(files | grep -E '^examples/.*\.[ch]$' |
	xargs -r grep -HnE '^[[:space:]]*#[[:space:]]*include' |
	grep -vE '<(coffer/[a-z]+|errno|inttypes|signal|stdbool|stdio|stdlib|string)\.h>' || true)"

vendor='^<(libcryptsetup\.h|libdevmapper\.h|blkid/|libmount|libfdisk|json-c/|openssl/|ext2fs/|tss2/)'
pure='^<(assert|endian|errno|inttypes|limits|stdarg|stdbool|stddef|stdint|stdio|stdlib|string)\.h>$'
check 'base and model: no header that makes system calls' \
	"$(printf '%s\n' "$includes" | awk -v vendor="$vendor" -v pure="$pure" '
	$1 !~ /^src\/(base|model)\// || $2 !~ /^</ || $2 ~ vendor || $2 ~ pure { next }
	$1 ~ /^src\/base\// && $2 ~ /^<(unistd|sys\/mman)\.h>$/ { next }
	{ print $1 " includes " $2 }')"

check 'vendor headers: one .c each, no .h' "$(printf '%s\n' "$includes" | awk -v vendor="$vendor" '
	$2 !~ vendor { next }
	$1 ~ /\.h$/ { print $1 " includes " $2; next }
	{
		match($2, vendor); lib = substr($2, 2, RLENGTH - 1)
		if (!(lib in home)) home[lib] = $1
		else if (home[lib] != $1) print $1 " includes " $2 ", which belongs to " home[lib]
	}')"
done_testing
