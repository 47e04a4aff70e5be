#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The program's help, the manual page and the completion tell of the same verbs and options.
. "$(dirname "$0")/../lib/tap.sh"
coffer=${COFFER:-build/coffer}
page=man/coffer.8.scd
completion=completion/coffer

# An option is written as its names and the name of its value: "-d --key-file FILE", "--json".

# A verb is one word or two: "encrypt", "header check". Where $verb stands without quotes it is to be
# split into them.

# verbs_in_help, verbs_in_completion: one a line
verbs_in_help()
{
	"$coffer" --help | sed -nE '/^Verbs:/,/^$/s/^  ([a-z-]+( [a-z-]+)?)  .*/\1/p'
}
verbs_in_completion()
{
	local word
	for word in $(complete_words '' | grep -v '^-'); do
		if grep -q "^$word " <<<"$verbs"; then
			complete_words "$word" | sed "/^-/d; s/^/$word /"
		else
			echo "$word"
		fi
	done
}
verbs_in_page()
{
	sed -n 's/^# COFFER \([A-Z -]*\)$/\1/p' "$1" | tr '[:upper:]' '[:lower:]'
}
# verb_help VERB
# shellcheck disable=SC2086
verb_help() { "$coffer" $1 --help; }

# in_help VERB
in_help()
{
	verb_help "$1" | sed -nE '/^Options:/,$s/^ {1,6}(-[a-zA-Z],)? *(--[a-z0-9-]+)( [A-Z0-9]+)? .*/\1 \2\3/p' |
		tr -d ',' | sed 's/^ *//'
}

# in_page VERB FILE: the bold lines between the verb's heading and the next
in_page()
{
	awk -v want="# COFFER $(tr '[:lower:]' '[:upper:]' <<<"$1")" '
		/^# / { inside = $0 == want; next }
		inside && /^\*-/ { gsub(/[*_,]/, ""); print }' "$2"
}

# complete_words VERB [WORD...]: what completion offers behind these words, for "-" and for ""
complete_words()
{
	local cur verb=$1
	shift
	# shellcheck disable=SC2030  # for _coffer only, which runs right here
	for cur in - ''; do
		# shellcheck disable=SC2206
		COMP_WORDS=(coffer $verb "$@" "$cur")
		COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
		_coffer
		[ ${#COMPREPLY[@]} -eq 0 ] || printf '%s\n' "${COMPREPLY[@]}"
	done | sort -u
}

# names: the names of options, without the name of their value, one a line
names() { tr ' ' '\n' | grep '^-' | sort; }

# difference WHAT ONE OTHER: lines that are in one of two texts only
difference()
{
	diff <(sort <<<"$2") <(sort <<<"$3") | sed -n "s/^</$1: only in the first:/p; s/^>/$1: only in the second:/p"
}

# wrong_values VERB OPTIONS: options after which completion does not do as their help says
wrong_values()
{
	local line option offered
	while read -r line; do
		for option in $(names <<<"$line"); do
			offered=$(complete_words "$1" "$option" | grep -c '^-' || true)
			case $line in
			*[A-Z]) [ "$offered" = 0 ] || echo "$1 $option: completion offers options as its value" ;;
			*) [ "$offered" != 0 ] || echo "$1 $option: completion waits for a value" ;;
			esac
		done
	done <<<"$2"
}

if [ ! -x "$coffer" ]; then
	check 'help, manual page and completion agree' "$coffer is not built"
	done_testing
fi
# shellcheck source=completion/coffer
. "./$completion"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# A check that cannot fail proves nothing: a page without one line must be found out.
grep -v '^\*--json\*' "$page" >"$scratch/page"
if [ -n "$(difference encrypt "$(in_help encrypt)" "$(in_page encrypt "$scratch/page")")" ]; then
	check 'a missing option is found out' ''
else
	check 'a missing option is found out' 'a page without --json looked complete'
fi
if [ -n "$(wrong_values encrypt '--json FILE')" ] && [ -n "$(wrong_values encrypt '--label')" ]; then
	check 'a wrong value is found out' ''
else
	check 'a wrong value is found out' 'options with and without value looked alike'
fi

verbs=$(verbs_in_help)
check 'the program lists verbs' "$([ -n "$verbs" ] || echo 'no verb found in its help')"
check 'verbs: help and manual page' "$(difference verbs "$verbs" "$(verbs_in_page "$page")")"
check 'verbs: help and completion' "$(difference verbs "$verbs" "$(verbs_in_completion)")"
while read -r verb; do
	help=$(in_help "$verb")
	check "$verb: its help lists options" "$([ -n "$help" ] || echo 'none found')"
	check "$verb: every line of options was read" "$(difference "$verb" \
		"$(verb_help "$verb" | sed -n '/^Options:/,$p' | grep -c -- ' --[a-z]')" \
		"$(wc -l <<<"$help")")"
	check "$verb: help and manual page" "$(difference "$verb" "$help" "$(in_page "$verb" "$page")")"
	check "$verb: help and completion" "$(difference "$verb" "$(names <<<"$help")" \
		"$(complete_words "$verb" | grep '^-' || true)")"
	check "$verb: completion knows which options take a value" "$(wrong_values "$verb" "$help")"
done <<<"$verbs"
while read -r group; do
	[ -n "$group" ] || continue
	check "$group: its help lists its verbs" "$(difference "$group" \
		"$(grep "^$group " <<<"$verbs")" \
		"$("$coffer" "$group" --help | sed -nE 's/^  ([a-z-]+ [a-z-]+)  .*/\1/p')")"
done < <(sed -n 's/ .*//p' <<<"$verbs" | sort -u)

# complete_list WORD: what is offered for the list of --allow that begins so
complete_list()
{
	COMP_WORDS=(coffer header restore --allow "$1")
	COMP_CWORD=4
	_coffer
	printf '%s\n' "${COMPREPLY[@]}"
}
check 'completion goes on behind a comma' "$(difference list "$(complete_list uuid,volume-key,)" \
	"$(printf '%s\n' uuid,volume-key,geometry uuid,volume-key,keyslots)")$(difference word \
	"$(complete_list k)" keyslots)"

check 'exit codes: help and manual page' "$(difference 'exit codes' \
	"$("$coffer" --help | sed -n '/^Exit codes/,$p' | grep -oE '\b[0-9]\b')" \
	"$(sed -n '/^# EXIT STATUS/,/^# LOCKS/s/^\*\([0-9]\)\*$/\1/p' "$page")")"

if command -v scdoc >/dev/null; then
	check 'scdoc takes the manual page' "$(scdoc <"$page" 2>&1 >/dev/null || true)"
else
	skip 'scdoc takes the manual page' 'scdoc is not installed'
fi
done_testing
