#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Debian's kernel on an emulated PC with a virtio disk: whole conversions, and conversions
whose power is cut. The proof is made by stock cryptsetup in a later boot of its own.
COFFER_DEEP=1 takes all rows; tests/uml has them on each filesystem in any case."""

import os
import shutil
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "uml"), os.path.join(HERE, "..", "lib")]

import cut
import guest
import uml
import vm
from tap import DEEP

# (filesystem, disk in MiB, bytes in a sector of the disk)
CYCLES = [("ext4", 96, 4096)]
MORE_CYCLES = [("ext4", 96, 512), ("xfs", 310, 512)]

# (name, moment given the disk's path)
CUTS = [
    ("filesystem hidden", cut.ext4_hidden),
    ("a quarter done", lambda disk: cut.done(disk, 0.25)),
]
MORE_CUTS = [("nine tenths done", lambda disk: cut.done(disk, 0.9))]


def whole_cycle(tap, machine, disk, fs, sector):
    name = f"{fs} on sectors of {sector}"
    first = machine.boot(["prepare", "encrypt"], disk, sector=sector, FS=fs)
    first.report(tap, f"{name}, first boot")
    second = machine.boot(["verify"], disk, sector=sector, FS=fs,
                          MANIFEST=first.values.get("manifest", "none"))
    second.report(tap, f"{name}, second boot")


def power_cut(tap, machine, disk, name, moment, manifest):
    boot = machine.boot(["encrypt"], disk, cut=guest.when(moment(disk)))
    tap.ok(boot.cut, f"{name}: power cut came in time", boot.tail())
    part = cut.share_done(disk)
    print(f"# {name}: " + ("no header yet" if part is None else f"{part:.0%} encrypted"))
    machine.boot(["encrypt", "verify"], disk, MANIFEST=manifest).report(tap, name)


def rows(tap, folder):
    machine = vm.Machine(folder)
    disk = os.path.join(folder, "disk")
    for fs, mib, sector in CYCLES + MORE_CYCLES * DEEP:
        whole_cycle(tap, machine, uml.blank(disk, mib), fs, sector)
    plain = uml.blank(os.path.join(folder, "plain"), 96)
    prepared = machine.boot(["prepare"], plain)
    prepared.report(tap, "preparation")
    for name, moment in CUTS + MORE_CUTS * DEEP:
        shutil.copyfile(plain, disk)
        power_cut(tap, machine, disk, name, moment, prepared.values.get("manifest", "none"))


uml.test(rows, vm.why_not())
