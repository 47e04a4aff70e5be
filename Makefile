# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Thin front of meson; every target installs what it needs on a fresh Debian 12 (scripts/deps.sh)
# and needs no root once the packages are there.
#
#   make             the program: build/coffer
#   make demo        encrypt a filesystem, kill it half way, resume, prove the result (< 2 min)
#   make test        everything; as root also the tests on loop devices
#   make test-quick  unit tests and lint
#   make deep        all deep sets, one after the other, for a day or more; stop it at any time, the
#                    next call goes on there. T="--filter crash" for some, T=--again for all anew
#   make crash       cut the power in everything that writes; DEEP=1 all of it and 20 seeds
#                    (SEEDS=21-40 others), MINUTES=n at most, SCENARIO="abort" only those
#   make lint        the laws of the repository, and clang-tidy
#   make bench       coffer beside stock cryptsetup and the bare disk; writes docs/benchmarks.md
#   make fuzz        FUZZ_SECONDS (60) for each fuzz target
#   make install     meson install; DESTDIR is honoured
#   make clean       remove the build directories
#
# T="--filter NAME -v" is handed to tests/run, BENCH="--quick" to the benchmark.

# A python in front of Debian's would lack python3-cryptography; sbin is not in every user's PATH.
export PATH := /usr/sbin:/usr/bin:/sbin:/bin:$(PATH)
FUZZ_SECONDS ?= 60
T ?=
BENCH ?=
DEEP_SET = $(if $(filter 1,$(DEEP)),COFFER_DEEP=1)

.PHONY: build demo test test-quick deep crash lint bench fuzz install clean asan fuzz-targets \
	deps-build deps-demo deps-bench deps-test
.NOTPARALLEL:

build: deps-build build/build.ninja
	ninja -C build

# No test is built here, only what the demo runs.
demo: deps-demo build/build.ninja
	ninja -C build coffer coffer-helper tests/luks-cat
	tests/demo.sh

test: deps-test build asan fuzz-targets
	tests/run $(T)

test-quick: deps-test build asan
	tests/run --tier unit $(T)

deep: deps-test build asan fuzz-targets
	tests/run --deep $(T)

# Without sanitizers: more states in the same time. "make test" has the small set with them.
crash: deps-test build/build.ninja
	ninja -C build coffer-helper tests/test_crash tests/test_restore_crash
	COFFER_HELPER=$(CURDIR)/build/coffer-helper $(DEEP_SET) SEEDS="$(SEEDS)" MINUTES="$(MINUTES)" \
		build/tests/test_crash
	COFFER_HELPER=$(CURDIR)/build/coffer-helper $(DEEP_SET) build/tests/test_restore_crash

lint: deps-test build
	tests/run --tier unit --filter lint/ $(T)
	find src -name '*.c' -print0 | xargs -0 -n 4 -P "$$(nproc)" clang-tidy -p build --quiet

# No test is built here: nothing but what is measured shall keep the machine busy.
bench: deps-bench build/build.ninja
	ninja -C build coffer coffer-helper tests/luks-cat tests/bench/mover
	tests/bench/bench.py $(BENCH)

fuzz: deps-test fuzz-targets
	tests/run --tier fuzz --fuzz-seconds $(FUZZ_SECONDS) $(T)

install: build
	meson install -C build --no-rebuild

clean:
	rm -rf build build-asan build-fuzz

asan: build-asan/build.ninja
	ninja -C build-asan

# Not the whole tree: the targets bring a library of their own.
fuzz-targets: build-fuzz/build.ninja
	ninja -C build-fuzz fuzz-targets

build/build.ninja:
	meson setup build --buildtype=debugoptimized

build-asan/build.ninja:
	meson setup build-asan --native-file build-dev.ini

build-fuzz/build.ninja:
	CC=clang meson setup build-fuzz -Dfuzz=true

deps-build deps-demo deps-bench deps-test: deps-%:
	@scripts/deps.sh $*
