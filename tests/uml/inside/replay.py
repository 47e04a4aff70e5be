#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""replay LOG PLAIN TARGET - resume from prefixes of a dm-log-writes log.

The log (kernel: Documentation/admin-guide/device-mapper/log-writes.rst) holds the writes in
the order in which they reached the disk; an entry with FLUSH ends what one flush made
durable. Every prefix of it is a disk that a power cut could have left. For some of them:
build it on TARGET, run coffer, open the disk with stock cryptsetup, compare with PLAIN what its
filesystem uses: the ranges in the file $USED."""

import hashlib
import os
import struct
import subprocess
import sys

MAGIC = 0x6A736677736872
FLUSH, FUA, DISCARD, MARK = 1, 2, 4, 8
SECTOR = 512
MIB = 1 << 20
# Placement of the header is where the dangerous states are: its first flushes are all tried.
FIRST_FLUSHES = 9
SPREAD = 7
KEY = os.environ["KEY"]


def entries(log):
    """Yield (sector, sectors, flags, data) of every entry."""
    magic, version, count, unit = struct.unpack("<QQQI", log.read(28))
    assert (magic, version) == (MAGIC, 1), "not a log of dm-log-writes"
    at = unit
    for _ in range(count):
        log.seek(at)
        sector, sectors, flags, data_len = struct.unpack("<QQQQ", log.read(32))
        at += unit
        data = b""
        if not flags & DISCARD:
            size = data_len if flags & MARK else sectors * SECTOR
            log.seek(at)
            data = log.read(size)
            at += -(-size // unit) * unit
        yield sector, sectors, flags, data


def chosen(steps):
    """Which prefixes, by number of entries, to try: the first flushes and the middle of what
    lies between them, then a few spread over the rest, the last flush of all included."""
    flushes = [n for n, (_, _, flags, _) in enumerate(steps, 1) if flags & FLUSH]
    early, late = flushes[:FIRST_FLUSHES], flushes[FIRST_FLUSHES:]
    some = set(early) | {(a + b) // 2 for a, b in zip([0] + early, early)}
    if late:
        some |= {late[i * (len(late) - 1) // (SPREAD - 1)] for i in range(SPREAD)}
        some |= {(late[0] + late[-1]) // 2}
    return sorted(some)


def command(*argv, allowed=(0,)):
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace",
                          timeout=60, check=False)
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
                          timeout=60, check=False)
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
        steps = list(entries(log))
    print(f"@val entries={len(steps)}", flush=True)
    if not steps:
        print("@no the log has entries :: none", flush=True)
        return
    begin = 0
    for end in chosen(steps):
        for sector, sectors, flags, data in steps[begin:end]:
            if flags & DISCARD:     # the recorder's disk may answer anything: zeros are one answer
                data = bytes(sectors * SECTOR)
            if not flags & MARK:
                disk[sector * SECTOR:sector * SECTOR + len(data)] = data
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
