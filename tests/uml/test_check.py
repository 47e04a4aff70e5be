#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""coffer verify --check-filesystem of an encrypted disk, with a real dm-crypt below the checker."""

import os
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "lib")]

import uml

ROWS = [
    ("ext4", 64, ["check_sound", "check_mounted", "check_stopped", "check_broken"]),
    ("xfs", 310, ["check_sound", "check_broken"]),
    ("btrfs", 128, ["check_sound", "check_broken"]),
]


def rows(tap, folder):
    for fs, mib, steps in ROWS:
        disk = uml.blank(os.path.join(folder, "disk"), mib)
        boot = uml.boot(["prepare", "encrypt", *steps], [disk], FS=fs, MORE="check")
        boot.report(tap, fs)


uml.test(rows, uml.why_not())
