#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""coffer and stock cryptsetup at the same disk at the same time, where stock can open it: a real
device-mapper, and filesystems that are mounted, written to and unmounted between the rounds.

COFFER_DEEP=1 runs many more rounds."""

import os
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "lib")]

import uml
from tap import DEEP

# filesystem, disk in MiB, seeds
ROWS = [("ext4", 64, range(1, 21 if DEEP else 2)), ("xfs", 310, range(1, 6 if DEEP else 1))]


def rows(tap, folder):
    for fs, mib, seeds in ROWS:
        for seed in seeds:
            disk = uml.blank(os.path.join(folder, "disk"), mib)
            boot = uml.boot(["prepare", "beside_conversion", "beside_rounds", "verify",
                             "beside_finished"], [disk], limit=400, MORE="beside", FS=fs,
                            HOW="--max-rate=1M", SEED=seed, KILLS=5, CYCLES=4)
            boot.report(tap, f"{fs}, seed {seed}")
            told = {k: v for k, v in boot.values.items() if k not in ("manifest",)}
            print(f"# {fs}, seed {seed}: {boot.seconds:.0f} s, "
                  + ", ".join(f"{k} {v}" for k, v in sorted(told.items())))


uml.test(rows, uml.why_not())
