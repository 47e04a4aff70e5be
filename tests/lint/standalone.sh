#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The tree stands alone: it names no folder or mirror of the machine it was written on, and
# nothing in it waits to be finished.
. "$(dirname "$0")/../lib/tap.sh"

# find_in_files ERE: the patterns below are split by [] or '' so that they do not find themselves
find_in_files()
{
	files | tr '\n' '\0' | xargs -0 -r grep -nIE -e "$1" -- || true
}

check 'no path of a private machine' \
	"$(find_in_files '(^|[^[:alnum:]_.$}~*-])/(wor[k]|far[m])/')"
check 'no package mirror' \
	"$(find_in_files '(pypi|crates|pythonhosted|npmjs|golang)\.(or[g]|i[o])|PIP_FIND_LIN[K]S')"
check 'no unfinished work' "$(find_in_files '\b(TO''DO|FIX''ME|XX''X)\b')"
done_testing
