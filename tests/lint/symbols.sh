#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Every global name starts with coffer_, so that the library collides with nobody.
. "$(dirname "$0")/../lib/tap.sh"
build=${COFFER_BUILD:-build}

# globals NM-OPTION... FILE: defined names that break the rule; "A" marks version nodes
globals()
{
	nm --defined-only --format=posix "$@" 2>&1 |
		awk 'NF >= 2 && $2 != "A" && $1 !~ /^coffer_/ { print $1 }'
}

lib=$build/libcoffer-internal.a
if [ -e "$lib" ]; then
	check 'globals of the internal library' "$(globals -g "$lib")"
else
	check 'globals of the internal library' "$lib is not built"
fi
shared=$(find "$build" -maxdepth 1 -name 'libcoffer.so*' -type f -print -quit 2>/dev/null || true)
if [ -n "$shared" ]; then
	check 'exports of the shared library' "$(globals -D "$shared")"
fi
done_testing
