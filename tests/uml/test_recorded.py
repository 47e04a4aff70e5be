#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""As test_logwrites.py, for more runs: all three filesystems, used blocks only or all of them, an
encryption, one that goes on, and an abort, with the usual threads. dm-log-writes records in a guest
what the kernel's block layer got; what its prefixes are is judged on the host, where programs start
faster: coffer resumes, or gives the filesystem back, or stock cryptsetup resumes (repair, then
resume).

COFFER_DEEP=1 takes more runs and more of each."""

import itertools
import os
import shutil
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "lib")]

import coffer
import cut
import fsfree
import logwrites
import uml
from disk import MiB, run, sha256
from tap import DEEP

FILESYSTEMS = {"ext4": 32, "xfs": 66, "btrfs": 128}      # and the disk in MiB
QUICK = ["ext4:used:encrypt", "xfs:all:resume", "ext4:used:abort"]
EVERY = [":".join(run) for run in itertools.product(
    FILESYSTEMS, ("used", "all"), ("encrypt", "resume", "abort"))]
RUNS = EVERY if DEEP else QUICK
AT_ONCE = 4         # in one guest, which has 16 disks at most
SHIFT = 1 * MiB
KEY = b"correct horse"      # init.sh has the same one


class Run:
    def __init__(self, folder, word, plain):
        self.fs, self.what, self.kind = word.split(":")
        self.name = word.replace(":", " ")
        self.plain = plain
        name = word.replace(":", "-")
        self.disk, self.base, self.log = (os.path.join(folder, f"{name}-{n}")
                                          for n in ("disk", "base", "log"))
        shutil.copyfile(plain, self.disk)
        mib = FILESYSTEMS[self.fs]
        uml.blank(self.base, mib)
        uml.blank(self.log, 4 * mib)
        self.end = mib * MiB - 2 * SHIFT

    def ranges(self):
        """Where the content must be what it was."""
        return (fsfree.used_ranges(self.plain, self.fs, self.end) if self.what == "used"
                else [(0, self.end)])


class Judge:
    """Every way out of a state, by turns: what each leaves is held to the content of before."""

    def __init__(self, folder, run_):
        self.run, self.ranges = run_, run_.ranges()
        self.state, self.work, self.volume, self.key = (
            os.path.join(folder, n) for n in ("state", "work", "volume", "key"))
        with open(self.key, "wb") as f:
            f.write(KEY)
        self.tried = {"encrypt": 0, "stock": 0, "abort": 0}

    def holds(self, path, name):
        lost = fsfree.differing(self.run.plain, path, self.ranges)
        assert not lost, f"{name}: the content differs at {lost[:5]}"

    def encrypted(self, name):
        coffer.assert_final(self.work)
        coffer.volume_file(self.work, self.key, self.run.end, self.volume)
        self.holds(self.volume, name)
        self.tried[name] += 1

    def by_encrypt(self):
        coffer.finish(self.work, self.key, f"--used-only={'yes' if self.run.what == 'used' else 'no'}")
        self.encrypted("encrypt")

    def by_abort(self):
        """What is encrypted in part says no to it; then, as where nothing is left to be given back,
        nothing is written."""
        before = sha256(self.work)
        p = coffer.abort(self.work, status=(0, 3, 4))
        if p.returncode == 0:
            self.tried["abort"] += 1
        else:
            assert sha256(self.work) == before, "a refused abort has written"
        if p.returncode == 0 or self.run.kind == "abort":
            self.holds(self.work, "abort")

    def is_for_stock(self):
        """Its header tells of a conversion, in which something is left to be moved: cryptsetup
        refuses to do the last wipe alone."""
        share = cut.share_done(self.work)
        return (self.run.kind != "abort" and cut.is_converting(self.work) and share is not None
                and share < 1.0)

    def by_stock(self):
        run("cryptsetup", "repair", "--batch-mode", "--key-file", self.key, self.work, status=None)
        run("cryptsetup", "reencrypt", "--resume-only", "--batch-mode", "--force-offline-reencrypt",
            "--key-file", self.key, self.work)
        self.encrypted("stock")

    def fresh(self):
        run("cp", "--sparse=always", self.state, self.work)

    def one(self, number):
        """Every third state also goes to stock, and abort is asked for at every second."""
        self.fresh()
        if DEEP or number % 3 == 0 or not self.is_for_stock():
            self.by_encrypt()
            self.fresh()
        if (DEEP or number % 3) and self.is_for_stock():
            self.by_stock()
            self.fresh()
        if DEEP or self.run.kind == "abort" or number % 2 == 0:
            self.by_abort()


def judge(tap, folder, run_):
    with open(run_.log, "rb") as f:
        steps = list(logwrites.entries(f))
    # Placement of the header is where the dangerous states are: its first flushes are all tried.
    first, spread = (40, 20) if DEEP else (9, 5) if run_.kind == "encrypt" else (5, 4)
    with open(run_.base, "rb") as f:
        disk = bytearray(f.read())
    judges, begin = Judge(folder, run_), 0
    ends = logwrites.chosen(steps, first, spread)
    for number, end in enumerate(ends):
        logwrites.apply(disk, steps[begin:end])
        begin = end
        with open(judges.state, "wb") as f:
            f.write(disk)
        tap.run([(f"{run_.name}: the first {end} of {len(steps)} writes", judges.one, number)])
    told = ", ".join(f"{n} by {way}" for way, n in judges.tried.items())
    print(f"# {run_.name}: {len(steps)} entries, {len(ends)} states: {told}")
    wanted = "abort" if run_.kind == "abort" else "stock"
    tap.ok(judges.tried["encrypt"] and judges.tried[wanted],
           f"{run_.name}: states went to encrypt and {wanted}", told)


def record(tap, folder, words, plain):
    runs = [Run(folder, word, plain[word.split(":")[0]]) for word in words]
    disks = [getattr(r, part) for part in ("disk", "base", "log") for r in runs]
    boot = uml.boot(["record_each"], disks, limit=400, MORE="many,record", RUNS=",".join(words))
    boot.report(tap, "recorded")
    for run_ in runs:
        judge(tap, folder, run_)


def rows(tap, folder):
    kinds = [fs for fs in FILESYSTEMS if any(word.startswith(fs) for word in RUNS)]
    plain = {fs: uml.blank(os.path.join(folder, fs), FILESYSTEMS[fs]) for fs in kinds}
    uml.boot(["prepare_each"], list(plain.values()), limit=240, MORE="many",
             FILESYSTEMS=",".join(kinds)).report(tap, "preparation")
    for i in range(0, len(RUNS), AT_ONCE):
        record(tap, folder, RUNS[i:i + AT_ONCE], plain)


uml.test(rows, uml.why_not())
