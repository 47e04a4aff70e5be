#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# One formatter, one version: others disagree with it about the same style file.
. "$(dirname "$0")/../lib/tap.sh"

name='clang-format 14 has nothing to change'
if ! command -v clang-format-14 >/dev/null; then
	skip "$name" 'clang-format-14 is not installed'
else
	bad=$(files | grep -E '^(src|include|tests|examples)/.*\.(c|h|cc)$' |
		xargs -r clang-format-14 --dry-run -Werror 2>&1 | grep -E 'error:|^No|^Error' || true)
	check "$name" "$bad"
fi
done_testing
