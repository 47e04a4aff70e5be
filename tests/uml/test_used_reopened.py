#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A conversion that follows a used map is interrupted; stock opens the half-done volume, and files are
written to what was free and others deleted; the volume is closed, or the power fails again; then
coffer resumes. The map is not believed any more, and nothing is lost. Untouched, it still counts."""

import os
import shutil
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "lib")]

import cut
import guest
import uml

# (filesystem, disk in MiB)
KINDS = [("ext4", 64), ("xfs", 66), ("btrfs", 128)]
LAST = ["encrypt_reports", "verify"]
LAST_NEW = ["encrypt_reports", "verify_new"]
# name, what each boot does, is the map still believed; a boot that writes may lose its power
ROWS = [
    ("untouched", [LAST], True),
    ("opened only", [["open_only", *LAST]], True),
    ("used and closed", [["work_half_done", *LAST_NEW]], False),
    ("used, power cut", [["work_half_done"], LAST_NEW], False),
]


def half_done(tap, fs, mib, disk):
    """A filesystem with holes whose conversion was interrupted: it was told to follow the map or to refuse,
    so there is one."""
    uml.blank(disk, mib)
    half_way = guest.when(lambda: 0.05 <= (cut.share_done(disk) or 0.0) < 1.0)
    boot = uml.boot(["prepare_holes", "encrypt_slowly"], [disk], MORE="reopen", FS=fs,
                    HOW="--used-only=yes", cut=half_way)
    part = cut.share_done(disk)
    told = "" if part is None else f", {part:.0%} done"
    good = boot.cut and part is not None and all(held for held, _, _ in boot.checks)
    tap.ok(good, f"{fs}: a conversion by the map was interrupted{told}", f"{boot.checks}\n{boot.tail()}")
    return boot.values.get("manifest", "none")


def one_row(tap, name, disk, fs, manifest, boots, believed):
    env = {"MORE": "reopen", "FS": fs, "MANIFEST": manifest}
    for steps in boots[:-1]:
        boot = uml.boot(steps, [disk], cut=guest.on_line("@at written"), POWER="fails", **env)
        tap.ok(boot.cut, f"{name}: used, then the power failed", boot.tail())
        env["MANIFEST_NEW"] = boot.values.get("manifest_new", "none")
    boot = uml.boot(boots[-1], [disk], **env)
    boot.report(tap, name)
    used_only, why = boot.values.get("used_only"), boot.values.get("because", "")
    if believed:
        tap.ok((used_only, why) == ("true", ""), f"{name}: the map counts", f"{used_only}, {why}")
    else:
        tap.ok(used_only == "false" and "used after" in why,
               f"{name}: the map does not count, since the filesystem was used", f"{used_only}, {why}")


def rows(tap, folder):
    half, disk = (os.path.join(folder, name) for name in ("half", "disk"))
    for fs, mib in KINDS:
        manifest = half_done(tap, fs, mib, half)
        for name, boots, believed in ROWS:
            shutil.copyfile(half, disk)
            one_row(tap, f"{fs}, {name}", disk, fs, manifest, boots, believed)


uml.test(rows, uml.why_not())
