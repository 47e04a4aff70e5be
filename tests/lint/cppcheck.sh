#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/../lib/tap.sh"

name='cppcheck has nothing to say'
if ! command -v cppcheck >/dev/null; then
	skip "$name" 'cppcheck is not installed'
elif [ ! -d src ]; then
	skip "$name" 'no src'
else
	# It does not know __attribute__((cleanup)) and sees leaks everywhere, and it takes the length
	# given to munmap() for the memory that is gone; ASan looks for the real ones. readdir() is
	# safe on a stream of one's own, and readdir_r() is deprecated.
	bad=$(cppcheck -q --std=c11 --library=posix,gnu --inline-suppr \
		--enable=warning,performance,portability \
		--suppress=memleak --suppress=resourceLeak --suppress=deallocret --suppress=readdirCalled \
		--template='{file}:{line}: {severity}: {message} [{id}]' \
		-I include -I src src 2>&1 || true)
	check "$name" "$bad"
fi
done_testing
