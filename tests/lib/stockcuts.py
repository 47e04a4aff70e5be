#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Stock's encryption in place, cut by a power failure: the states it leaves, and a judge of what a
tool makes of them. The judge uses none of coffer's code.

    stockcuts.py FOLDER    some images of each class into a new folder, with the key file and the
                           plain filesystem; "list" in it tells what each image is
"""
import hashlib
import json
import os
import random
import subprocess
import sys

if __name__ == "__main__":  # tests/run sets these
    top = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    os.environ.setdefault("COFFER_BUILD", os.path.join(top, "build"))
    os.environ.setdefault("COFFER", os.path.join(os.environ["COFFER_BUILD"], "coffer"))

import coffer
from coffer import Box
from cuts import SECTOR, Cuts, Image, record
from disk import KiB, MiB, run

COPY = 16 * KiB  # one header copy
MAGICS = b"LUKS\xba\xbe", b"SKUL\xba\xbe"

# Names of the classes, and what is on the disk.
CLASSES = {
    "untouched": "the moved-segment copy is being written, the filesystem is intact",
    "torn": "moved-segment copy complete; LUKS magic in block 0, but no header copy intact",
    "hidden": "moved-segment copy complete; no LUKS magic in block 0, no header copy intact, but a "
              "part of one",
    "unseen": "moved-segment copy complete; the header's random bytes are in the moved segment, "
              "but no part of a header copy",
    "second": "moved-segment copy complete; only the second header copy intact, no LUKS magic in "
              "block 0",
    "keyslot": "moved-segment copy complete; a header copy intact, its keyslot not",
    "mixed": "moved-segment copy complete; a header copy and its keyslot intact, sectors after "
             "them not",
    "placed": "moved-segment copy complete, header intact",
    "lost": "sectors of the moved segment are neither in place nor in its copy; no header copy "
            "intact",
    "lost, header": "sectors of the moved segment are neither in place nor in its copy; a header "
                    "copy intact",
    "halves": "each sector of the moved segment is in place or in its copy, but neither is "
              "complete",
    "commit torn": "one header copy torn by a commit, the other intact",
    "commit half": "one header copy is one commit older than the other",
    "hotzone": "the header marks a zone as hot; the zone is old, torn or new",
    "between": "the header marks no zone as hot",
    "all moved": "in a header copy the last zone is done; it is not final",
    "wipe": "as before; the wipe of moved-segment copy and keyslot has started",
    "final": "a header copy is final, the other is torn or older",
    "finished": "everything is done",
}


# --- one job of stock ------------------------------------------------------------------------

class Job:
    """A filesystem that stock encrypts, the recording, and what must be on a disk of it.

    S, length and the sizes of a Box are bytes. reserve is what lies where the moved-segment copy comes:
    "random", "zeros", or "stale": the copy of an earlier try, of a filesystem that was used since.
    """

    def __init__(self, folder, name, fs, length, S=MiB, fine=False, reserve="random", **box):
        self.folder = os.path.join(folder, name.replace(", ", "-").replace(" ", "-"))
        os.mkdir(self.folder)
        self.name, self.fine, self.reserve = name, fine, reserve
        self.S, self.length, self.copy_at = S, length, length + S
        self.box = Box(self.folder, length + 2 * S, fs, end=length, **box)
        self.key = self.box.key
        self._dress(reserve)
        img = self.box.copy("recorded")
        self.recording = record(self.command(img), img, cwd=self.folder)
        os.unlink(img)
        self.original = self.recording.base.part(0, length)
        self.head = self.original.part(0, S)
        self.cipher = self.recording.final.part(S, length)
        (at, copy), (begin, self.header) = self.recording.epochs[0]
        assert (at, begin, len(self.header)) == (self.copy_at, 0, S) and self.head.has(copy), \
            "stock places its header in another way now"
        slot = next(k for k in newest(self.header)["keyslots"].values() if k["type"] == "luks2")
        self.slot = int(slot["area"]["offset"]), slot["key_size"] * slot["af"]["stripes"]
        zones = [i for i, e in enumerate(self.recording.epochs)
                 if len(e) == 1 and S <= e[0][0] < self.copy_at]
        assert len(zones) == -(-length // S), "stock moves its zones in another way now"
        # the placement and the first zones; the last zone and what is after it
        self.begin = range(zones[2 if fine else 0] + 3)
        self.end = range(zones[-1] - 2, len(self.recording.epochs))

    def _dress(self, reserve):
        """The first sectors of a disk may hold a boot loader, the last ones anything."""
        rnd = random.Random(1)
        with open(self.box.plain, "r+b") as f:
            if self.box.fs == "ext4":
                f.write(rnd.randbytes(1024))
            if reserve == "random":
                return
            f.seek(0)
            old = bytearray(f.read(self.S) if reserve == "stale" else self.S)
            for _ in range(64 if reserve == "stale" else 0):
                at = rnd.randrange(32, self.S // 4096) * 4096
                old[at:at + 4096] = rnd.choice((bytes(4096), rnd.randbytes(4096)))
            f.seek(self.copy_at)
            f.write(old)

    def command(self, img):
        return coffer.stock(img, self.key, "--luks2-metadata-size", "16k",
                            reserve=f"{2 * self.S // MiB}M")

    def points(self, write):
        """Where a write is torn: a few places that matter, and many."""
        offset, data = write
        n = len(data)
        few, many = [SECTOR, n // 2 // SECTOR * SECTOR], [2 * SECTOR, 4 * KiB, n - 4 * KiB,
                                                          n - SECTOR]
        if offset == 0 and n == self.S:
            slot, size = self.slot
            few += [4 * KiB, COPY, COPY + SECTOR, 2 * COPY, 64 * KiB + 4 * KiB, slot + size,
                    slot + size - SECTOR]
            many += [2 * KiB, 4 * KiB - SECTOR, 4 * KiB + SECTOR, 8 * KiB, COPY - SECTOR,
                     COPY + 4 * KiB, 2 * COPY - SECTOR, slot + SECTOR, 64 * KiB]
        return sorted({x for x in few + many * self.fine if 0 < x < n})

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
    """The metadata of the whole copy that counts, or None. coffer and stock put the second one at
    other offsets."""
    copies = [c for c in (copy_of(image, 0), copy_of(image, COPY), copy_of(image, 4 * COPY)) if c]
    return max(copies, key=lambda c: c[0])[1] if copies else None


def stage(meta, length):
    """How far the conversion is, in the header's opinion."""
    if not coffer.requirements(meta):
        return "final"
    segments = coffer.regular(meta)
    plain = sum(int(s["size"]) for s in segments if s["type"] == "linear")
    if any("in-reencryption" in s.get("flags", []) for s in segments):
        return "hotzone"
    return "placed" if plain == length else "between" if plain else "all moved"


# --- what a state is -------------------------------------------------------------------------------

def classify(job, state):
    image = state.image
    if state.epoch == 0:
        return _placement(job, image)
    copies = [copy_of(image, at) for at in (0, COPY)]
    now = stage(newest(image), job.length)
    if now == "final":
        return "finished" if image == job.recording.final else "final"
    if now == "all moved":
        moved = image.has(job.head, job.copy_at) and image.has(job.header[2 * COPY:], 2 * COPY)
        return "all moved" if moved else "wipe"
    if not all(copies):
        return "commit torn"
    return "commit half" if copies[0][0] != copies[1][0] else now


def _placement(job, image):
    slot, size = job.slot
    copies = [copy_of(image, at) for at in (0, COPY)]
    if image.has(job.head):
        return "untouched"
    if missing(job, image):
        return "lost, header" if any(copies) else "lost"
    if not image.has(job.head, job.copy_at):
        return "halves"
    if not has_trace(image):
        return "unseen"
    if not copies[0] and image[:6] != MAGICS[0]:
        return "second" if copies[1] else "hidden"
    if not any(copies):
        return "torn"
    if not image.has(job.header[slot:slot + size], slot):
        return "keyslot"
    return "placed" if image.has(job.header) else "mixed"


def has_trace(image):
    """Is there anything that only a LUKS2 header has?"""
    return (image[:6] == MAGICS[0] or image[COPY:COPY + 6] == MAGICS[1]
            or any(image[at + 4096:at + 4107] == b'{"keyslots"' for at in (0, COPY)))


def missing(job, image, held=None):
    """Sectors of the plain data that are on the disk in no form: neither plain at their place, nor
    in the moved-segment copy or in front of it (where coffer keeps what it overwrites, but for block 0),
    nor as ciphertext of the recorded key, nor in the content of a volume."""
    places = [(image, 0, job.original), (image, job.copy_at, job.head),
              (image, job.copy_at - job.S - 4096, job.head), (image, job.S, job.cipher),
              (held, 0, job.original)]
    lost = []
    for at in range(0, job.length, Image.CHUNK):
        n = min(Image.CHUNK, job.length - at)
        pairs = [(where[start + at:start + at + n], data[at:at + n])
                 for where, start, data in places if where and at < data.size]
        if any(found == data for found, data in pairs):
            continue
        lost += [at + x for x in range(0, n, SECTOR)
                 if not any(f[x:x + SECTOR] == d[x:x + SECTOR] for f, d in pairs)]
    return lost


# --- the tools and their judge -----------------------------------------------------------------------

def stock_repair(job, img):
    """What stock's manual says to do after a crash. The status is 0 when both calls say so."""
    repair = run("cryptsetup", "repair", "--batch-mode", "--key-file", job.key, img, status=None)
    resume = run(*coffer.stock_resume(img, job.key), status=None)
    return repair.returncode or resume.returncode, repair.stderr + resume.stderr


def coffer_repair(job, img):
    p = run(*coffer.command("repair", img, job.key, "--yes", "--quiet"), status=None)
    return p.returncode, (p.stdout + p.stderr).strip().replace(img, job.name)


def coffer_encrypt(job, img):
    """What one does who knows of no repair: the same once more."""
    p = run(*coffer.command("encrypt", img, job.key, "--quiet", "--reduce-device-size",
                            str(2 * job.S), program=coffer.ASAN), status=None)
    return p.returncode, p.stderr.strip().replace(img, job.name)


def coffer_abort(job, img):
    p = run(coffer.COFFER, "abort", "--quiet", img, status=None)
    return p.returncode, p.stderr.strip().replace(img, job.name)


TOOLS = {"none": lambda job, img: (0, ""), "stock": stock_repair, "coffer": coffer_repair,
         "encrypt": coffer_encrypt,
         "abort": coffer_abort}


def content(job, disk, image):
    """What a finished volume holds in place of the original, or None."""
    meta = newest(image)
    if meta is None or not finished(meta):
        return None
    chunks = []
    with subprocess.Popen([coffer.LUKS_CAT, disk.path, job.key], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL) as p:
        for like in job.original.chunks:
            chunk = p.stdout.read(len(like))
            chunks.append(like if like == chunk else chunk)
        p.stdout.close()
    disk.changed(2 * MiB)  # luks-cat repairs a torn header copy
    return Image(job.length, chunks)


def finished(meta):
    segments = list(meta["segments"].values())
    return (not coffer.requirements(meta) and len(segments) == 1 == len(meta["digests"])
            and segments[0]["type"] == "crypt" and segments[0]["size"] == "dynamic"
            and "flags" not in segments[0]
            and all(k["type"] == "luks2" for k in meta["keyslots"].values()))


class Disk:
    """A file that takes one state after the other."""

    def __init__(self, path):
        self.path, self.holds = path, None

    def put(self, image):
        image.write(self.path, self.holds)
        self.holds = image

    def look(self):
        self.holds = Image.read(self.path, self.holds)
        return self.holds

    def changed(self, n):
        """The first n bytes are not known any more."""
        n //= Image.CHUNK
        self.holds = Image(self.holds.size, [None] * n + self.holds.chunks[n:])


class Verdict:
    """What a tool made of a state: a plain disk or a finished volume with all of the content, or
    not. missing is the number of sectors that are nowhere on the disk any more."""

    def __init__(self, job, state, tool, disk):
        disk.put(state.image)
        self.status, self.said = TOOLS[tool](job, disk.path)
        after = disk.look()
        self.changed = after != state.image
        held = content(job, disk, after)
        self.recovered = held == job.original or after.has(job.original)
        self.missing = 0 if self.recovered else len(missing(job, after, held))


# --- examples --------------------------------------------------------------------------------------

def examples(folder):
    os.mkdir(folder)
    job = Job(folder, "ext4", "ext4", 10 * MiB, fine=True, block_size=1024)
    count = {}
    with open(os.path.join(folder, "list"), "w") as listing:
        for state in job.cuts(2).states([*job.begin, *job.end]):
            what = classify(job, state)
            n = count[what] = count.get(what, 0) + 1
            if n in (1, 5) or state.epoch == 0 and "seed 1" in state.name:
                name = f"{what.replace(', ', '-').replace(' ', '-')}.{n}.img"
                state.image.write(os.path.join(folder, name))
                print(f"{name:24} {CLASSES[what]} ({state.epoch} flushes, then {state.name})",
                      file=listing)
    print(f"key file {job.key}, plain image {job.box.plain}, states of each class {count}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    examples(sys.argv[1])
