#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Stock's encryption in place, cut by a power failure: the states it leaves, and a judge of what a
tool makes of them. Nothing here uses coffer's code.

    stockcuts.py FOLDER    one image of each class into a new folder, with the key file and the
                           plain filesystem; "list" in it tells what each image is
"""
import contextlib
import hashlib
import json
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
os.environ.setdefault("COFFER_BUILD", os.path.join(os.path.dirname(__file__), "../../build"))
os.environ.setdefault("COFFER", os.path.join(os.environ["COFFER_BUILD"], "coffer"))

import coffer
from coffer import Box
from cuts import SECTOR, Cuts, record
from disk import KiB, MiB, run

S = MiB
COPY = 16 * KiB  # one header copy
MAGICS = b"LUKS\xba\xbe", b"SKUL\xba\xbe"


# --- one job of stock ------------------------------------------------------------------------

class Job:
    """A filesystem that stock encrypts, its recording, and what must be on a disk of it."""

    def __init__(self, folder, name, fs, size, **box):
        self.folder = os.path.join(folder, name)
        os.mkdir(self.folder)
        self.name = name
        self.box = Box(self.folder, size, fs, **box)
        self.key = self.box.key
        self.length, self.copy_at = size - 2 * S, size - S
        img = self.box.copy("recorded")
        self.recording = record(coffer.stock(img, self.key, "--luks2-metadata-size", "16k"), img,
                                cwd=self.folder)
        os.unlink(img)
        self.original = self.recording.base[:self.length]
        self.head = self.original[:S]
        self.cipher = self.recording.final[S:S + self.length]
        (at, copy), (begin, self.header) = self.recording.epochs[0]
        assert (at, begin, copy, len(self.header)) == (self.copy_at, 0, self.head, S), \
            "stock has learned to place its header in another way"
        meta = newest(self.header)
        slot = next(k for k in meta["keyslots"].values() if k["type"] == "luks2")
        self.slot = int(slot["area"]["offset"]), slot["key_size"] * slot["af"]["stripes"]
        zones = [i for i, e in enumerate(self.recording.epochs)
                 if len(e) == 1 and len(e[0][1]) == S and e[0][0] != self.copy_at]
        self.begin = range(zones[2] + 3)  # to the commit behind the third hotzone
        self.end = range(zones[-2], len(self.recording.epochs))

    def points(self, write):
        """Where a write is torn."""
        offset, data = write
        n = len(data)
        if offset == 0 and n == S:
            slot, size = self.slot
            p = [SECTOR, 2 * SECTOR, 2 * KiB, 4 * KiB - SECTOR, 4 * KiB, 4 * KiB + SECTOR,
                 8 * KiB, COPY - SECTOR, COPY, COPY + SECTOR, COPY + 4 * KiB, 2 * COPY - SECTOR,
                 2 * COPY, slot + SECTOR, slot + 4 * KiB, slot + size // 2,
                 slot + size - SECTOR, slot + size, n // 2, n - 4 * KiB, n - SECTOR]
        else:
            p = [SECTOR, 2 * SECTOR, 4 * KiB, n // 2 // SECTOR * SECTOR, n - 4 * KiB, n - SECTOR]
        return sorted({x for x in p if 0 < x < n})

    def cuts(self, seeds):
        return Cuts(self.recording, self.points, seeds)


# --- headers, read without any tool -------------------------------------------------------------

def copy_of(image, at):
    """(seqid, metadata) of the header copy at this offset, or None when it is not whole."""
    block = bytes(image[at:at + 4096])
    size = int.from_bytes(block[8:16], "big")
    if block[:6] != MAGICS[at > 0] or not 16 * KiB <= size <= 4 * MiB:
        return None
    area = bytes(image[at + 4096:at + size])
    if hashlib.sha256(block[:448] + bytes(64) + block[512:] + area).digest() != block[448:480]:
        return None
    return int.from_bytes(block[16:24], "big"), json.loads(area.split(b"\0")[0])


def newest(image):
    """The metadata of the whole copy that counts, or None."""
    copies = [c for c in (copy_of(image, 0), copy_of(image, COPY)) if c]
    return max(copies, key=lambda c: c[0])[1] if copies else None


def stage(meta, length):
    """How far the conversion is, in the header's opinion."""
    if not coffer.requirements(meta):
        return "final"
    segments = coffer.regular(meta)
    plain = sum(int(s["size"]) for s in segments if s["type"] == "linear")
    if any("in-reencryption" in s.get("flags", []) for s in segments):
        return "hot" if plain else "last hot"
    return "placed" if plain == length else "clean" if plain else "all moved"


# --- what a state is -------------------------------------------------------------------------------

CLASSES = {
    "plain": "the head copy is being written; the filesystem is untouched",
    "merged": "head and head copy are torn, and each lost sector of one is in the other",
    "torn": "head copy whole; header torn, neither copy of it whole, LUKS magic in block 0",
    "hidden": "head copy whole; header torn, no copy of it whole, block 0 still the filesystem's",
    "second": "head copy whole; only the second header copy whole, block 0 the filesystem's",
    "keyslot": "head copy whole; a header copy whole, but its keyslot is not",
    "mixed": "head copy whole; a header copy and its keyslot whole, other sectors are not",
    "lost": "sectors of the head are neither at their place nor in the head copy; no whole header",
    "lost, header": "the same, with a whole header copy",
    "placed": "header and head copy whole",
    "commit torn": "one header copy torn by a commit, the other whole",
    "commit half": "one header copy a commit behind the other",
    "hotzone": "both header copies say that a zone is hot; its data are old, torn or new",
    "between": "both header copies say the same, no zone is hot",
    "all moved": "the last hotzone is done: a header copy says so, the requirement is still in it",
    "wipe": "as before, and the wipe of the head copy has begun",
    "final": "a header copy is final, the other one torn or behind",
    "finished": "the end",
}


def classify(job, image):
    head, copy = image[:S], image[job.copy_at:]
    if head == job.head and newest(image) is None:
        return "plain"
    copies = [copy_of(image, at) for at in (0, COPY)]
    meta = newest(image)
    if meta is None or stage(meta, job.length) == "placed" and \
            image[S:job.length] == job.original[S:]:
        return _placement(job, image, head, copy, copies)
    return _conversion(job, image, copies, stage(meta, job.length))


def _placement(job, image, head, copy, copies):
    if missing(job, image):
        return "lost, header" if any(copies) else "lost"
    if copy != job.head:
        return "merged"
    if not any(copies):
        return "torn" if head[:6] == MAGICS[0] else "hidden"
    if not copies[0] and head[:6] != MAGICS[0]:
        return "second"
    if not whole_slot(job, image):
        return "keyslot"
    if head == job.header:
        return "placed"
    # a commit has begun over a whole placement
    return "commit torn" if head[2 * COPY:] == job.header[2 * COPY:] else "mixed"


def _conversion(job, image, copies, now):
    if now == "final":
        return "finished" if bytes(image) == job.recording.final else "final"
    if now == "all moved":
        return "all moved" if image[job.copy_at:] == job.head else "wipe"
    if not all(copies):
        return "commit torn"
    if copies[0][0] != copies[1][0]:
        return "commit half"
    return "hotzone" if "hot" in now else "between"


def whole_slot(job, image):
    at, size = job.slot
    return image[at:at + size] == job.header[at:at + size]


def missing(job, image):
    """Sectors of the plain data that are on the disk in no form: neither plain at their place nor
    in the head copy, nor as ciphertext."""
    places = [(0, job.original), (job.copy_at, job.head), (S, job.cipher)]
    lost = []
    for at in range(0, job.length, S):
        want = [(start + at, data[at:at + S]) for start, data in places if at < len(data)]
        found = [image[where:where + len(data)] for where, data in want]
        if any(f == data for f, (_, data) in zip(found, want)):
            continue
        for x in range(0, len(want[0][1]), SECTOR):
            if not any(f[x:x + SECTOR] == data[x:x + SECTOR] for f, (_, data) in zip(found, want)):
                lost.append(at + x)
    return lost


# --- the tools and their judge -----------------------------------------------------------------------

def stock_repair(job, img):
    """What stock's manual tells to do after a crash."""
    said = run("cryptsetup", "repair", "--batch-mode", "--key-file", job.key, img, status=None)
    resumed = run(*coffer.stock_resume(img, job.key), status=None)
    return (said.returncode, resumed.returncode), said.stderr + resumed.stderr


def coffer_repair(job, img):
    p = run(*coffer.command("encrypt", img, job.key), status=None)
    return p.returncode, p.stderr


TOOLS = {"stock": stock_repair, "coffer": coffer_repair}


def recovered(job, img):
    """Is this disk plain and whole, or a finished volume with the whole content?"""
    with open(img, "rb") as f:
        if f.read(job.length) == job.original:
            return True
        f.seek(0)
        meta = newest(f.read(2 * MiB))
    if meta is None or not finished(meta):
        return False
    with subprocess.Popen([coffer.LUKS_CAT, img, job.key], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL) as p:
        content = p.stdout.read(job.length)
        p.stdout.close()
    return content == job.original


def finished(meta):
    segments = list(meta["segments"].values())
    return (not coffer.requirements(meta) and len(segments) == 1 == len(meta["digests"])
            and segments[0]["type"] == "crypt" and segments[0]["size"] == "dynamic"
            and "flags" not in segments[0]
            and all(k["type"] == "luks2" for k in meta["keyslots"].values()))


class Verdict:
    """What one tool made of one state."""

    def __init__(self, job, state, tool, img):
        with open(img, "wb") as f:
            f.write(state.image)
        self.status, self.said = TOOLS[tool](job, img)
        with open(img, "rb") as f:
            after = f.read()
        self.changed = after != state.image
        self.recovered = recovered(job, img)
        self.missing = 0 if self.recovered else len(missing(job, bytearray(after)))


# --- examples --------------------------------------------------------------------------------------

def examples(folder):
    """One image of each class; where a class has many, the first and a random one."""
    os.mkdir(folder)
    job = Job(folder, "ext4-1k", "ext4", 12 * MiB, block_size=1024)
    job.folder = folder
    seen = {}
    with open(os.path.join(folder, "list"), "w") as listing:
        for state in job.cuts(2).states([*job.begin, *job.end]):
            what = classify(job, state.image)
            n = seen[what] = seen.get(what, 0) + 1
            if n in (1, 5) or "seed 1" in state.name and n < 60 and state.epoch == 0:
                name = f"{what.replace(', ', '-').replace(' ', '-')}.{n}.img"
                with open(os.path.join(folder, name), "wb") as f:
                    f.write(state.image)
                print(f"{name:24} {CLASSES[what]}; flush {state.epoch}, {state.name}",
                      file=listing)
    print(f"{folder}: the key file is {job.key}, the plain image {job.box.plain}", seen)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    examples(sys.argv[1])
