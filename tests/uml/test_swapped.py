#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The device below a running conversion becomes another one: its flushes fail and nothing else does, it
vanishes, or it ends earlier. The moments are read from the disk. coffer stops and says so,
and once the disk is there again, the same command finishes the work and no file is lost.

COFFER_DEEP=1 takes more moments, and all three filesystems."""

import os
import shutil
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "lib")]

import fsfree
import uml
from disk import KiB, MiB
from tap import DEEP

QUICK = ["share=0.3:flush", "hidden:gone", "share=0.3:shrunk"]
MOMENTS = ["tail", "placed", "share=0.02", "share=0.3", "share=0.9"]
EVERY = [f"{moment}:{kind}" for kind in ("flush", "gone", "shrunk") for moment in MOMENTS
         if (moment, kind) != ("tail", "shrunk")]
# filesystem, disk in MiB, MOMENT:KIND
ROWS = [("ext4", 48, QUICK)]
if DEEP:
    ROWS = [("ext4", 48, EVERY + ["hidden:gone"]), ("xfs", 66, EVERY), ("btrfs", 128, EVERY)]


def quiet_place(path, fs, mib):
    """A block to which a conversion by the used map writes nothing: it is free, and so is what lies
    S before it, which would be moved there."""
    ranges = fsfree.free_ranges(path, fs, (mib - 2) * MiB)
    at, end = max(ranges, key=lambda r: r[1] - r[0])
    assert end - at > MiB + 256 * KiB, f"{path}: the largest free range has {end - at} bytes"
    return (end - 128 * KiB) // KiB // 4 * 4


def one_filesystem(tap, folder, fs, mib, swaps):
    plain = uml.blank(os.path.join(folder, "plain"), mib)
    prepared = uml.boot(["prepare"], [plain], FS=fs)
    prepared.report(tap, f"{fs}, preparation")
    disks = [os.path.join(folder, f"disk{n}") for n in range(len(swaps))]
    for disk in disks:
        shutil.copyfile(plain, disk)
    boot = uml.boot(["swap_each"], disks, limit=60 + 40 * len(swaps), MORE="many,swapped", FS=fs,
                    SWAPS=",".join(swaps), FREE_KIB=quiet_place(plain, fs, mib),
                    MANIFEST=prepared.values.get("manifest", "none"))
    boot.report(tap, fs)


def rows(tap, folder):
    for row in ROWS:
        one_filesystem(tap, folder, *row)


uml.test(rows, uml.why_not())
