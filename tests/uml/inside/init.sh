# shellcheck shell=sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# init.sh - what PID 1 of every guest goes on with once INSIDE and COFFER can be seen and
# modules can be loaded; sourced by uml-init and vm-init. The kernel hands unknown words of
# its command line to init as environment: STEPS=a,b,c names functions step_a, ... of
# steps.sh and of the further files in MORE.

mount -t tmpfs tmpfs /tmp
mkdir -p /run/mnt /run/cryptsetup
chmod 700 /run/cryptsetup
dmesg -n 1                      # kernel messages would cut our lines in two
cd /run || exit

# There is no udevd here; libdevmapper makes the nodes itself.
export DM_DISABLE_UDEV=1

printf 'correct horse' >/run/key

PATH=$INSIDE:$PATH
# shellcheck source=tests/uml/inside/lib.sh
. "$INSIDE/lib.sh"
for file in steps $(echo "${MORE-}" | tr ',' ' '); do
	# shellcheck source=/dev/null
	. "$INSIDE/$file.sh"
done
export SHIFT COFFER DEV FS HOW

for step in $(echo "$STEPS" | tr ',' ' '); do
	at "$step"
	"step_$step"
done
sync
echo "@end"
busybox poweroff -f
