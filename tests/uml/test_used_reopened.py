#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A conversion that follows a used map is interrupted; stock opens the half-done volume, and files are
written to what was free and others deleted; the volume is closed, or the power fails again; then
coffer goes on. The map is not believed any more, and nothing is lost. Untouched, it still counts."""

import os
import shutil
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "lib")]

import cut
import guest
import uml
from disk import tempdir
from tap import Tap

# (filesystem, disk in MiB)
KINDS = [("ext4", 64), ("xfs", 310), ("btrfs", 128)]
# name, what happens in between, whether that is the last the disk sees, is the map still believed
ROWS = [
    ("untouched", None, None, True),
    ("opened only", ["open_only"], None, True),
    ("used and closed", ["work_half_done"], None, False),
    ("used, power cut", ["work_half_done"], "@at written", False),
]


def half_way(disk):
    return guest.when(lambda: 0.05 <= (cut.share_done(disk) or 0.0) < 1.0)


def one_row(tap, name, disk, fs, manifest, between, power, believed):
    boot = uml.boot(["encrypt_slowly"], [disk], cut=half_way(disk), FS=fs)
    tap.ok(boot.cut, f"{name}: power cut came in time", boot.tail())
    new = None
    if between:
        more = {"POWER": "fails"} if power else {}
        boot = uml.boot(between, [disk], MORE="reopen", FS=fs, MANIFEST=manifest,
                        cut=guest.on_line(power) if power else None, **more)
        if power:
            tap.ok(boot.cut, f"{name}: used, then the power failed", boot.tail())
        else:
            boot.report(tap, name)
        new = boot.values.get("manifest_new")
    last = ["encrypt_told", "verify_new" if new else "verify"]
    boot = uml.boot(last, [disk], MORE="reopen", FS=fs, MANIFEST=manifest,
                    **({"MANIFEST_NEW": new} if new else {}))
    boot.report(tap, name)
    told, why = boot.values.get("used_only"), boot.values.get("because", "")
    tap.ok(told == ("true" if believed else "false"), f"{name}: the map counts, or not",
           f"used_only {told}, {why}")
    tap.ok(believed or why, f"{name}: it says why")


def main():
    tap = Tap()
    if reason := uml.why_not():
        tap.skip_all(reason)
    with tempdir() as folder:
        for fs, mib in KINDS:
            plain = uml.blank(os.path.join(folder, "plain"), mib)
            disk = os.path.join(folder, "disk")
            boot = uml.boot(["prepare_holes"], [plain], FS=fs, MORE="reopen")
            boot.report(tap, f"{fs}: preparation")
            for name, between, power, believed in ROWS:
                shutil.copyfile(plain, disk)
                one_row(tap, f"{fs}, {name}", disk, fs, boot.values.get("manifest", "none"),
                        between, power, believed)
    tap.done()


main()
