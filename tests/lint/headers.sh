#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Each public header compiles by itself, whatever a caller builds with: as C and as C++, with gcc
# and with clang, strictly by the standard and with GNU extensions.
. "$(dirname "$0")/../lib/tap.sh"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
headers=(include/coffer/*.h)

# compile COMPILER LANGUAGE STANDARD HEADER [INCLUDE-FOLDER]: what the compiler has to say about a
# file that holds nothing but this header, twice, as happens behind other headers
compile()
{
	printf '#include <coffer/%s>\n#include <coffer/%s>\n' "$4" "$4" |
		"$1" "-std=$3" -pedantic -Wall -Wextra -Werror -I "${5:-include}" \
			-fsyntax-only -x "$2" - 2>&1 || true
}

# all_by COMPILER LANGUAGE STANDARD
all_by()
{
	for header in "${headers[@]}"; do
		compile "$@" "${header##*/}"
	done
}

for standard in c99 c11 gnu11; do
	check "as C: gcc -std=$standard" "$(all_by gcc c $standard)"
	check "as C: clang -std=$standard" "$(all_by clang c $standard)"
done
for standard in c++11 c++20; do
	check "as C++: g++ -std=$standard" "$(all_by g++ c++ $standard)"
	check "as C++: clang++ -std=$standard" "$(all_by clang++ c++ $standard)"
done

# What is put wrong in a copy must be found out by at least one of the compilers.
mutate()
{
	rm -rf "$scratch/coffer"
	cp -r include/coffer "$scratch/coffer"
	sed -i "$2" "$scratch/coffer/status.h"
	local said
	said=$(compile gcc c c99 status.h "$scratch")$(compile g++ c++ c++11 status.h "$scratch")
	check "found out: $1" "$([ -n "$said" ] || echo 'no compiler noticed')"
}
mutate 'a type whose header is missing' '/^#include <stdint.h>/d'
mutate 'a word that C++ keeps for itself' 's/\bnext\[512\]/new[512]/'
# shellcheck disable=SC2016  # $ is the last line, to sed
mutate 'a header without guard' '/COFFER_STATUS_H/d;$d'

# mangled [INCLUDE-FOLDER]: what a C++ program that uses all of the library asks the linker for under
# another name than the library's
mangled()
{
	local names
	names=$(sed -n '/^global:/,/^local:/s/^\t\([a-z0-9_]*\);$/\1/p' src/libcoffer.map)
	{
		printf '#include <coffer/%s>\n' "${headers[@]##*/}"
		printf '%s\n' "$names" | sed 's/.*/auto *use_& = \&&;/'
	} >"$scratch/all.cc"
	g++ -std=c++11 -I "${1:-include}" -c -o "$scratch/all.o" "$scratch/all.cc" 2>&1 || return 0
	nm -u --format=posix "$scratch/all.o" | awk '{ print $1 }' | grep -vxF -e "$names" || true
}
check 'all functions have C linkage' "$(mangled)"
rm -rf "$scratch/coffer"
cp -r include/coffer "$scratch/coffer"
sed -i 's/#ifdef __cplusplus/#ifdef C_PLUS_PLUS/' "$scratch/coffer/finding.h"
check 'found out: a header without extern "C"' "$(mangled "$scratch" | grep -q '^_Z.*coffer_verdict_name' ||
	echo 'the linker would not notice')"
done_testing
