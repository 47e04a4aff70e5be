#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The machine dies at any moment, again and again: SIGKILL for the whole guest at random moments, boot,
go on. In the end all files are there. One guest converts all the disks at once, so each of its
cuts meets each of them somewhere else.

Seeded: COFFER_SEED=N is another one. COFFER_DEEP=1 takes 30 of them."""

import os
import random
import shutil
import sys
import time

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "lib")]

import cut
import uml
from tap import DEEP

SEED = int(os.environ.get("COFFER_SEED", "1"))
SEEDS = range(SEED, SEED + (30 if DEEP else 1))
KINDS = [("ext4", 48), ("xfs", 66), ("btrfs", 128)]     # filesystem, disk in MiB
RATE = "1M"         # a second, of each disk: as slow on a fast machine as on a busy one
CUTS = 3            # of each disk, at least, and one of them with a part of it encrypted
MOST = 16           # boots
CHANGES = 4         # of a disk after which the power fails
LATEST = 0.5        # seconds from there


class Disk:
    def __init__(self, path, plain, fs, what):
        self.path, self.plain, self.name = path, plain, f"{fs} {what}"
        self.begin()

    def begin(self):
        shutil.copyfile(self.plain, self.path)
        self.cuts, self.parts = 0, []

    def is_done(self):
        return cut.finished(self.path)()

    def note(self):
        """After a cut: was it one of a conversion, and how far had that come? What was done too
        early begins anew."""
        if not self.is_done():
            self.cuts += 1
            self.parts.append(cut.share_done(self.path) or 0.0)
        elif not self.enough():
            print(f"# {self.name}: done after {self.cuts} cuts, begun anew")
            self.begin()

    def half_way(self):
        return any(0.0 < part < 1.0 for part in self.parts)

    def enough(self):
        return self.cuts >= CUTS and self.half_way()


class Moment:
    """A cut for boot(): some time after one of the disks has changed so many times in this boot, by
    chance. That is read from the disk, so a machine's speed decides nothing."""

    def __init__(self, rnd, disks):
        left = [d for d in disks if not d.is_done()]
        self.disk = rnd.choice([d for d in left if not d.half_way()] or left)
        self.changes, self.wait = rnd.randrange(CHANGES + 1), rnd.uniform(0, LATEST)
        self.last, self.due_at, self.begun = cut.share_done(self.disk.path), None, False

    def __call__(self, lines):
        self.begun = self.begun or any("@at converting" in line for line in lines)
        now = cut.share_done(self.disk.path)
        if now is not None and now != self.last:
            self.last, self.changes = now, self.changes - 1
        if self.begun and self.due_at is None and self.changes <= 0:
            self.due_at = time.monotonic() + self.wait
        return self.due_at is not None and time.monotonic() >= self.due_at


def bad_ends(boot):
    """Conversions that ended by themselves, and otherwise than done (0) or nothing to do (4)."""
    ends = [line.split(" ", 3)[1:] for line in boot.console if line.startswith("@ended ")]
    return [end for end in ends if end[1] not in ("0", "4")]


def one_seed(tap, seed, disks, manifests):
    rnd, row = random.Random(seed), f"seed {seed}"
    env = {"MORE": "many,killed", "DISKS": ",".join(d.name.replace(" ", ":") for d in disks)}
    paths = [d.path for d in disks]
    boots, wrong = 0, []
    for disk in disks:
        disk.begin()
    while not all(d.enough() for d in disks) and boots < MOST and not wrong:
        boot = uml.boot(["convert_each"], paths, limit=240, cut=Moment(rnd, disks), RATE=RATE,
                        **env)
        boots += 1
        wrong += bad_ends(boot) + ([] if boot.cut or boot.ended else [boot.tail()])
        for disk in disks:
            disk.note()
    tap.ok(not wrong, f"{row}: no conversion failed in {boots} boots", wrong)
    for disk in disks:
        told = f"{disk.cuts} cuts, encrypted were " + ", ".join(f"{p:.0%}" for p in disk.parts)
        tap.ok(disk.enough(), f"{row}, {disk.name}: cut at least {CUTS} times, once half way", told)
        print(f"# {row}, {disk.name}: {told}")
    uml.boot(["finish_each"], paths, limit=500, MANIFESTS=manifests, **env).report(tap, row)


def rows(tap, folder):
    plain = [uml.blank(os.path.join(folder, f"plain-{fs}"), mib) for fs, mib in KINDS]
    prepared = uml.boot(["prepare_each"], plain, limit=240, MORE="many",
                        FILESYSTEMS=",".join(fs for fs, _ in KINDS))
    prepared.report(tap, "preparation")
    hashes = prepared.values.get("manifests", "").split(",")
    disks = [Disk(os.path.join(folder, f"disk-{fs}-{what}"), source, fs, what)
             for what in ("used", "all") for source, (fs, _) in zip(plain, KINDS)]
    for seed in SEEDS:
        one_seed(tap, seed, disks, ",".join(hashes * 2))


uml.test(rows, uml.why_not())
