#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# deps.sh build|demo|bench|test - install the Debian 12 packages of that set which are missing.
# Each set contains the one before it. Costs one dpkg-query when nothing is missing.
set -eu

build='gcc libc6-dev make meson ninja-build pkgconf
	libcryptsetup-dev libblkid-dev libmount-dev libjson-c-dev libext2fs-dev libssl-dev scdoc'
demo='cryptsetup-bin e2fsprogs util-linux strace'
bench='python3 xfsprogs btrfs-progs mount liburing-dev'
# libclang-rt-14-dev is only recommended by clang: it brings libFuzzer and the sanitizers.
test='git g++ clang libclang-rt-14-dev clang-format-14 clang-tidy cppcheck shellcheck
	python3-cryptography python3-jsonschema fdisk kmod dmsetup udev
	user-mode-linux qemu-system-x86 qemu-utils busybox-static cpio'

case ${1-} in
build) want="$build" ;;
demo) want="$build $demo" ;;
bench) want="$build $demo $bench" ;;
test) want="$build $demo $bench $test" ;;
*)
	echo "usage: $0 build|demo|bench|test" >&2
	exit 2
	;;
esac

# shellcheck disable=SC2086  # lists of words, here and below
have=" $(dpkg-query -W -f '${db:Status-Status}=${Package} ' $want 2>/dev/null || true)"
missing=
for p in $want; do
	case $have in
	*" installed=$p "*) ;;
	*) missing="$missing $p" ;;
	esac
done
[ -n "$missing" ] || exit 0

sudo=
if [ "$(id -u)" != 0 ]; then
	sudo=sudo
	if ! command -v sudo >/dev/null; then
		echo "deps.sh: missing packages; as root, run:" >&2
		echo "    apt-get install --no-install-recommends$missing" >&2
		exit 1
	fi
fi

# A mirror that hiccups or another apt that holds the lock is no reason to fail a whole run.
apt()
{
	for pause in 5 15 45 0; do
		$sudo env DEBIAN_FRONTEND=noninteractive apt-get -q -y \
			-o DPkg::Lock::Timeout=120 -o Acquire::Retries=3 "$@" && return
		sleep $pause
	done
	echo "deps.sh: apt-get $1 failed four times" >&2
	exit 1
}

echo "deps.sh: installing$missing"
apt update
# shellcheck disable=SC2086
apt install --no-install-recommends $missing
