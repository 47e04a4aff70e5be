#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""dm-log-writes records what the block layer really got from coffer, in order. From many of
the states in between coffer must come to the same end, and dm-crypt must show it. (Lost and
torn writes within a flush are the matter of tests/crash; here the order is the kernel's own.)"""

import os
import shutil
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "lib")]

import fsfree
import uml
from disk import MiB

DISK_MIB = 32
LOG_MIB = 192       # every write once, and a 512-byte entry for each; sparse


def rows(tap, folder):
    disk, log, plain, target = (os.path.join(folder, n)
                                for n in ("disk", "log", "plain", "target"))
    uml.blank(disk, DISK_MIB)
    uml.blank(log, LOG_MIB)
    uml.blank(target, DISK_MIB)
    prepared = uml.boot(["prepare"], [disk])
    prepared.report(tap, "preparation")
    shutil.copyfile(disk, plain)
    # Free blocks are left out, so they may decrypt to anything.
    used = os.path.join(folder, "used")
    with open(used, "w", encoding="ascii") as f:
        for at, end in fsfree.used_ranges(plain, "ext4", (DISK_MIB - 2) * MiB):
            f.write(f"{at} {end}\n")
    boot = uml.boot(["record", "verify", "replay"], [disk, log, plain, target], limit=500,
                    MORE="replay", LOG="/dev/ubdb", PLAIN="/dev/ubdc", TARGET="/dev/ubdd",
                    USED=used, MANIFEST=prepared.values.get("manifest", "none"))
    boot.report(tap, "recorded")
    print(f"# {boot.values.get('entries')} entries in the log")


uml.test(rows, uml.why_not())
