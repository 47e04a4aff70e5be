#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/../lib/tap.sh"

name='shellcheck has nothing to say'
if ! command -v shellcheck >/dev/null; then
	skip "$name" 'shellcheck is not installed'
else
	scripts=$(files | while read -r f; do
		case $f in
		*.sh) echo "$f" ;;
		*) ! head -n 1 "$f" | grep -qaE '^#!.*[/ ](ba|da)?sh\b' || echo "$f" ;;
		esac
	done)
	# -x with the script's own folder, so that what it sources is read as well
	bad=$(printf '%s\n' "$scripts" | xargs -r shellcheck -x -P SCRIPTDIR -f gcc 2>&1 || true)
	check "$name" "$bad"
fi
done_testing
