#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The power fails during a conversion. After the next boot the same command line goes on,
and nothing is lost. The moments are taken from the disk itself (cut.py), not from a clock."""

import os
import shutil
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "lib")]

import cut
import guest
import uml

DISK_MIB = 64
GO_ON = ["encrypt", "verify"]
STOCK_GOES_ON = ["stock_resume", "verify"]
USED_BETWEEN = ["use_half_done", "encrypt", "verify"]

ABORTED = ["abort", "encrypt", "verify"]

COMMAND = lambda d: guest.on_line("@at encrypt_slowly")
MOVED_SEGMENT = lambda d: guest.when(cut.tail_written(d, uml.MIB))
HIDDEN = lambda d: guest.when(cut.ext4_hidden(d))
PLACED = lambda d: guest.when(cut.header_placed(d))


def share(part):
    return lambda d: guest.when(cut.done(d, part))


# (name, when the power fails, one moment for each boot, and what the last boot does)
ROWS = [
    ("command just started", [COMMAND], GO_ON),
    ("moved-segment copy begun", [MOVED_SEGMENT], GO_ON),
    ("filesystem hidden", [HIDDEN], GO_ON),
    ("filesystem hidden, aborted", [HIDDEN], ABORTED),
    ("header placed", [PLACED], GO_ON),
    ("a tenth and again six tenths done", [share(0.1), share(0.6)], GO_ON),
    ("all moved", [share(0.99)], GO_ON),
    ("half done, stock finishes", [share(0.5)], STOCK_GOES_ON),
    ("half done, used in between", [share(0.4)], USED_BETWEEN),
]


def one_row(tap, name, disk, moments, then, manifest):
    for number, moment in enumerate(moments, 1):
        boot = uml.boot(["encrypt_slowly"], [disk], cut=moment(disk))
        tap.ok(boot.cut, f"{name}: power cut {number} came in time", boot.tail())
        part = cut.share_done(disk)
        print(f"# {name}: " + ("no header yet" if part is None else f"{part:.0%} encrypted"))
    uml.boot(then, [disk], MANIFEST=manifest).report(tap, name)


def rows(tap, folder):
    plain = uml.blank(os.path.join(folder, "plain"), DISK_MIB)
    disk = os.path.join(folder, "disk")
    boot = uml.boot(["prepare"], [plain])
    boot.report(tap, "preparation")
    for name, moments, then in ROWS:
        shutil.copyfile(plain, disk)
        one_row(tap, name, disk, moments, then, boot.values.get("manifest", "none"))


uml.test(rows, uml.why_not())
