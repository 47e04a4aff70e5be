#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The help of the program, the manual pages and the completion have the same verbs and options.
. "$(dirname "$0")/../lib/tap.sh"
coffer=${COFFER:-build/coffer}
pages='man'
completion=completion/coffer

# An option is written as its names and the name of its value: "-d --key-file FILE", "--json".

# A verb is one word or two: "encrypt", "header check". Where $verb stands without quotes it is to be
# split into them.

# verbs_in_help, verbs_in_completion, verbs_in_pages FOLDER: one a line
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
# With hyphens, as in the names of the files.
verbs_in_pages()
{
	local page
	for page in "$1"/coffer-*.8.scd; do
		basename "$page" .8.scd | sed 's/^coffer-//'
	done
}
page_of() { echo "$pages/coffer-${1// /-}.8.scd"; }
# verb_help VERB
# shellcheck disable=SC2086
verb_help() { "$coffer" $1 --help; }

# in_help VERB
in_help()
{
	verb_help "$1" | sed -nE 's/^ {2,6}(-[a-zA-Z],)? *(--[a-z0-9-]+( [A-Z]+)?)( +[^A-Z].*)?$/\1 \2/p' |
		tr -d ',' | sed 's/^ *//'
}

# section NAME PAGE: the lines below this heading
section()
{
	awk -v want="# $1" '/^# / { inside = $0 == want; next } inside' "$2"
}

# in_page PAGE: the bold lines of its options
in_page() { section OPTIONS "$1" | sed -n '/^\*-/{s/[*_,]//g;p}'; }

# option_text OPTION PAGE: what the page says of it
option_text()
{
	section OPTIONS "$2" | awk -v want="--$1*" '/^\*-/ { inside = index($0, want) > 0; next } inside'
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

# missing_sections PAGE
missing_sections()
{
	local name
	for name in NAME SYNOPSIS DESCRIPTION OPTIONS 'EXIT STATUS' EXAMPLES 'SEE ALSO'; do
		[ -n "$(section "$name" "$1")" ] || echo "$1 has no section $name"
	done
}

# dead_links PAGE: pages of coffer's that it names and that are not there
dead_links()
{
	local name
	while read -r name; do
		[ -e "$pages/$name.8.scd" ] || echo "$1 names $name(8), which does not exist"
	done < <(grep -oE 'coffer(-[a-z]+)*\*\(8\)' "$1" | sed 's/\*.*//' | sort -u)
}

# two_texts PAGE...: options that are described in two ways, though they are the same
two_texts()
{
	local option page texts
	for option in $(in_page "$(page_of encrypt)" | names | sed -n 's/^--//p'); do
		case $option in
		dry-run | json | serialize-memory-hard-pbkdf) continue ;; # each verb's own
		esac
		texts=$(for page; do
			option_text "$option" "$page" | tr '\n' ' ' | sed 's/[[:space:]]*$//'
			echo
		done | sort -u | grep -c .)
		[ "$texts" = 1 ] || echo "--$option: the pages describe it in $texts ways"
	done
}

# briefs_in_help, briefs_in_entry, briefs_in_pages: a line of a verb, for comparison
briefs_in_help()
{
	"$coffer" --help | sed -nE "/^Verbs:/,/^$/{s/'//g;s/^  ([a-z-]+( [a-z-]+)?)  +(.*)/\1: \L\3/p}"
}
briefs_in_entry()
{
	section VERBS "$1" | sed -nE '/^\*[a-z ]+\*$/{s/\*//g;N;s/\n\t/: /;s/\. See .*//;s/\*//g;s/: (.*)/: \L\1/;p}'
}
briefs_in_pages()
{
	local verb
	while read -r verb; do
		section NAME "$(page_of "$verb")" | sed -nE "s/^coffer-[a-z-]+ - (.*)/$verb: \L\1/p"
	done <<<"$verbs"
}

if [ ! -x "$coffer" ]; then
	check 'help, manual pages and completion agree' "$coffer is not built"
	done_testing
fi
# shellcheck source=completion/coffer
. "./$completion"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# A check that cannot fail proves nothing. found_out WHAT COMPLAINT
found_out() { check "$1 is found out" "$([ -n "$2" ] || echo 'nothing was found')"; }
encrypt=$(page_of encrypt)
sample=$scratch/coffer-encrypt.8.scd
grep -v '^\*--json\*' "$encrypt" >"$sample"
found_out 'a missing option' "$(difference encrypt "$(in_help encrypt)" "$(in_page "$sample")")"
sed 's/^# EXAMPLES/# SAMPLES/; s/coffer-plan\*/coffer-plam*/' "$encrypt" >"$sample"
found_out 'a missing section' "$(missing_sections "$sample")"
found_out 'a page that is not there' "$(dead_links "$sample")"
sed 's/^	Size of the volume key:/	Bits of the volume key:/' "$encrypt" >"$sample"
found_out 'a second description' "$(two_texts "$sample" "$(page_of plan)")"
found_out 'a verb without a page' "$(difference verbs encrypt "$(verbs_in_pages "$scratch" | sed 's/$/s/')")"
found_out 'an option with a value too many' "$(wrong_values encrypt '--json FILE')"
found_out 'an option with a value too few' "$(wrong_values encrypt '--label')"

verbs=$(verbs_in_help)
check 'the program lists verbs' "$([ -n "$verbs" ] || echo 'no verb found in its help')"
check 'verbs: help and manual pages' "$(difference verbs "$(tr ' ' - <<<"$verbs")" "$(verbs_in_pages "$pages")")"
check 'verbs: help and completion' "$(difference verbs "$verbs" "$(verbs_in_completion)")"
check 'verbs: what help and coffer(8) say' "$(difference verbs "$(briefs_in_help)" "$(briefs_in_entry "$pages/coffer.8.scd")")"
check 'verbs: what help and their pages say' "$(difference verbs "$(briefs_in_help)" "$(briefs_in_pages)")"
check 'the help of the program fits 80 columns' "$("$coffer" --help | grep -E '.{81}' || true)"
while read -r verb; do
	help=$(in_help "$verb")
	page=$(page_of "$verb")
	[ -e "$page" ] || continue
	check "$verb: its help lists options" "$([ -n "$help" ] || echo 'none found')"
	check "$verb: every line of options was read" "$(difference "$verb" \
		"$(verb_help "$verb" | grep -cE -- '^ +(-., )?--[a-z]')" "$(wc -l <<<"$help")")"
	check "$verb: its help fits 80 columns" "$(verb_help "$verb" | grep -E '.{81}' || true)"
	check "$verb: its help names its page" "$(difference "$verb" "$(verb_help "$verb" | tail -n 1)" \
		"See coffer-${verb// /-}(8).")"
	check "$verb: help and manual page" "$(difference "$verb" "$help" "$(in_page "$page")")"
	check "$verb: its page is complete" "$(missing_sections "$page")$(dead_links "$page")"
	check "$verb: help and completion" "$(difference "$verb" "$(names <<<"$help")" \
		"$(complete_words "$verb" | grep '^-' || true)")"
	check "$verb: completion knows which options take a value" "$(wrong_values "$verb" "$help")"
done <<<"$verbs"
check 'coffer(8) names pages that exist' "$(dead_links "$pages/coffer.8.scd")"
check 'an option of several verbs has one description' "$(two_texts "$pages"/coffer-*.scd)"
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

check 'exit status: help and coffer(8)' "$(difference 'exit status' \
	"$("$coffer" --help | sed -n '/^Exit status/,$p' | grep -oE '\b[0-7] ' | tr -d ' ')" \
	"$(section 'EXIT STATUS' "$pages/coffer.8.scd" | sed -n 's/^\*\([0-9]\)\*$/\1/p')")"

if command -v scdoc >/dev/null; then
	for page in "$pages"/*.scd; do
		check "scdoc takes $page" "$(scdoc <"$page" 2>&1 >/dev/null || true)"
	done
else
	skip 'scdoc takes the manual pages' 'scdoc is not installed'
fi
done_testing
