#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A block device with files on it is encrypted in place; stock cryptsetup opens it, and
the filesystem and every file are what they were. Kernel, dm-crypt and filesystems are real."""

import os
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "lib")]

import uml

# (filesystem, disk in MiB, shift in MiB): the smallest disks that mkfs takes
ROWS = [
    ("ext4", 64, 1),
    ("ext4", 96, 16),
    ("xfs", 310, 1),
    ("btrfs", 128, 1),
]


def rows(tap, folder):
    for fs, mib, shift in ROWS:
        disk = uml.blank(os.path.join(folder, "disk"), mib)
        boot = uml.boot(["prepare", "encrypt", "verify"], [disk], FS=fs, SHIFT=shift)
        boot.report(tap, f"{fs}, {mib} MiB, shift {shift} MiB")


uml.test(rows, uml.why_not())
