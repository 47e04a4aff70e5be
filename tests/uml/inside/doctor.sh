# shellcheck shell=sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# doctor.sh - what coffer doctor says of a machine with a real device-mapper. SPARE: a second disk.

step_doctor()
{
	python3 "$INSIDE/doctor.py" "$SPARE"
}
