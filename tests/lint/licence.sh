#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Every source file names its licence near the top.
. "$(dirname "$0")/../lib/tap.sh"

# Sources by their name or by "#!" in front; pages, data and seeds need no line.
is_source()
{
	case $1 in
	*.c | *.h | *.cc | *.py | *.sh | *.map | *.service | *.ini | */Makefile | Makefile) return 0 ;;
	meson.build | */meson.build | meson_options.txt) return 0 ;;
	*) [ "$(head -c 2 "$1" | tr -d '\0')" = '#!' ] ;;
	esac
}

bad=$(files | while read -r f; do
	if is_source "$f" && ! head -n 3 "$f" | grep -q 'SPDX-License-Identifier: LGPL-2.1-or-later'; then
		echo "$f"
	fi
done)
check 'SPDX line in every source file' "$bad"
done_testing
