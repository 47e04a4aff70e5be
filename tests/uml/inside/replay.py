#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""replay LOG PLAIN TARGET - resume from prefixes of a dm-log-writes log.

Every prefix of the log is a disk that a power cut could have left. For some of them: build it on
TARGET, run coffer, open the disk with stock cryptsetup, compare with PLAIN what its filesystem
uses: the ranges in the file $USED."""

import hashlib
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

import logwrites

MIB = 1 << 20
# A few: test_recorded.py has more of them, judged on the host, where that takes less time.
FIRST_FLUSHES = 3
SPREAD = 4
KEY = os.environ["KEY"]


def command(*argv, allowed=(0,)):
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace",
                          timeout=900, check=False)
    if done.returncode not in allowed:
        said = " ".join(done.stdout.split())[-300:]
        raise RuntimeError(f"{os.path.basename(argv[0])}: exit {done.returncode}: {said}")


def digest(path, used):
    state = hashlib.sha256()
    with open(path, "rb") as f:
        for at, end in used:
            f.seek(at)
            while at < end:
                part = f.read(min(end - at, MIB))
                assert part, f"{path} ends early"
                state.update(part)
                at += len(part)
    return state.hexdigest()


def is_complete(target):
    """An ordinary LUKS2 disk, by stock cryptsetup's word."""
    dump = subprocess.run(["cryptsetup", "luksDump", target], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                          timeout=900, check=False)
    return dump.returncode == 0 and "Requirements:" not in dump.stdout


def resumes(target, want, used):
    # Power may have failed after the last write: then there is nothing left to encrypt,
    # which coffer refuses to do.
    command("coffer_run", target, allowed=(4,) if is_complete(target) else (0,))
    command("cryptsetup", "open", "--key-file", KEY, target, "replayed")
    try:
        if digest("/dev/mapper/replayed", used) != want:
            raise RuntimeError("content differs")
    finally:
        command("cryptsetup", "close", "replayed")


def main():
    log_path, plain_path, target_path = sys.argv[1:]
    with open(plain_path, "rb") as f:
        disk = bytearray(f.read())
    with open(os.environ["USED"], encoding="ascii") as f:
        used = [tuple(map(int, line.split())) for line in f]
    assert used, "nothing to compare"
    want = digest(plain_path, used)
    with open(log_path, "rb") as log:
        steps = list(logwrites.entries(log))
    print(f"@val entries={len(steps)}", flush=True)
    if not steps:
        print("@no the log has entries :: none", flush=True)
        return
    begin = 0
    for end in logwrites.chosen(steps, FIRST_FLUSHES, SPREAD):
        logwrites.apply(disk, steps[begin:end])
        begin = end
        name = f"the first {end} of {len(steps)} writes"
        with open(target_path, "r+b") as f:
            f.write(disk)
            os.fsync(f.fileno())
        try:
            resumes(target_path, want, used)
            print(f"@ok {name}", flush=True)
        except (RuntimeError, OSError, subprocess.SubprocessError) as e:
            print(f"@no {name} :: {e}", flush=True)


main()
