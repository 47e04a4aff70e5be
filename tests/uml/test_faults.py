#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The disk fails under coffer: it stops with an error, and once the disk is well again the
same command finishes the work and no file is lost."""

import os
import shutil
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "lib")]

import uml

DISK_MIB = 64
KIB_PER_MIB = 1024

# (name, step that fails, its settings); shift is 1 MiB
ROWS = [
    ("bad sector in the moved segment", "bad_sector", {"BAD_KIB": 300}),
    ("bad sector half way", "bad_sector",
     {"BAD_KIB": 31 * KIB_PER_MIB + 8, "STOP_CODE": 5, "HOW": "--used-only=no"}),
    ("bad sector in the gap", "bad_sector", {"BAD_KIB": (DISK_MIB - 2) * KIB_PER_MIB}),
    ("bad sector in the moved-segment copy", "bad_sector", {"BAD_KIB": DISK_MIB * KIB_PER_MIB - 4}),
    ("writes and flushes begin to fail early", "writes_fail", {"FAIL_AFTER": 1}),
    ("writes and flushes begin to fail", "writes_fail", {"FAIL_AFTER": 5, "STOP_CODE": 5}),
    ("all writes forgotten", "forgets_writes", {}),
    ("moved-segment copy forgotten", "forgets_moved_segment_copy", {}),
]


def rows(tap, folder):
    plain = uml.blank(os.path.join(folder, "plain"), DISK_MIB)
    disk = os.path.join(folder, "disk")
    prepared = uml.boot(["prepare"], [plain])
    prepared.report(tap, "preparation")
    for name, step, settings in ROWS:
        shutil.copyfile(plain, disk)
        boot = uml.boot([step, "encrypt", "verify"], [disk], MORE="faults",
                        MANIFEST=prepared.values.get("manifest", "none"), **settings)
        boot.report(tap, name)


uml.test(rows, uml.why_not())
