#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""coffer repair of a header whose volume is mounted, with a real dm-crypt; udev kept off by flock."""

import os
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "lib")]

import uml

ROWS = [
    ("ext4", 64, ["prepare", "recover_plain", "encrypt", "recover_mounted", "verify"]),
    ("btrfs", 128, ["prepare", "encrypt", "recover_mounted", "verify"]),
    ("ext4", 48, ["udev_kept_off"]),
]


def rows(tap, folder):
    for fs, mib, steps in ROWS:
        disk = uml.blank(os.path.join(folder, "disk"), mib)
        uml.boot(steps, [disk], FS=fs, MORE="recover").report(tap, f"{fs}, {steps[-1]}")


uml.test(rows, uml.why_not())
