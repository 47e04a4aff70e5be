# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# TAP for the lint scripts; sourced. Leaves the current folder at the top of the tree.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
tap_n=0 tap_bad=0

# check NAME FINDINGS: passes when there are no findings, else shows them
check()
{
	tap_n=$((tap_n + 1))
	if [ -z "$2" ]; then
		echo "ok $tap_n - $1"
	else
		tap_bad=1
		printf '%s\n' "$2" | sed 's/^/# /'
		echo "not ok $tap_n - $1"
	fi
}

skip()
{
	tap_n=$((tap_n + 1))
	echo "ok $tap_n - $1 # SKIP $2"
}

done_testing()
{
	echo "1..$tap_n"
	exit $tap_bad
}

# files: what is in git or would be with "git add"; a release tarball has no git
files()
{
	if [ -e .git ]; then
		# As root in a user's tree (or the reverse) git would refuse for safety's sake.
		git -c safe.directory='*' ls-files -co --exclude-standard
	else
		find . \( -name 'build*' -o -name __pycache__ \) -type d -prune -o -type f -print |
			sed 's,^\./,,'
	fi | while read -r f; do [ ! -f "$f" ] || echo "$f"; done | sort
}
