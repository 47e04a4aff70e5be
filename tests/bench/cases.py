# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is measured. A case is a list of rows, a row an image and the sides that work on copies of
it; rows and sides take turns, so what changes on the machine meanwhile meets all of them."""
import contextlib
import json
import os

import machine
from images import RESERVE, Image
from machine import Failed, GiB, MiB, allocated, need_room, settle, timed

PBKDF = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"]

# Sizes for a run that counts, for one while developing, and for the test of this program.
SCALES = {
    "full": {"random": 4 * GiB, "size": 16 * GiB, "content": GiB,
             "growth": [4 * GiB, 16 * GiB, 64 * GiB, 256 * GiB, 1024 * GiB],
             "used": [GiB, 2 * GiB, 4 * GiB, 8 * GiB], "small": 4 * GiB, "small_content": GiB},
    "quick": {"random": GiB, "size": 4 * GiB, "content": 256 * MiB,
              "growth": [GiB, 4 * GiB, 16 * GiB, 64 * GiB, 256 * GiB],
              "used": [256 * MiB, 512 * MiB, GiB], "small": GiB, "small_content": 256 * MiB},
    "tiny": {"random": 64 * MiB, "size": 256 * MiB, "content": 16 * MiB,
             "growth": [160 * MiB, 256 * MiB], "used": [16 * MiB, 32 * MiB], "small": 256 * MiB,
             "small_content": 8 * MiB},
}


class Row:
    def __init__(self, name, image, sides):
        self.name, self.image, self.sides = name, image, sides
        self.runs = {s: [] for side in sides for s in SIDES[side]}
        self.checked = None

    def result(self):
        i = self.image
        return {"name": self.name, "fs": i.fs, "size": i.size, "length": i.length,
                "content": i.content if i.fs else i.length, "checked": self.checked,
                "runs": self.runs}


# A side is what is done to one copy; the raw speeds are taken from the copy the mover has left.
SIDES = {"coffer": ["coffer"], "stock": ["stock"], "mover": ["mover", "read", "write"],
         "threads": ["mover"], "uring": ["uring"], "fixed": ["fixed"]}


class Bench:
    def __init__(self, folder, programs, scale, filesystems, say):
        self.folder, self.programs, self.say = folder, programs, say
        self.scale, self.filesystems = SCALES[scale], filesystems
        self.drop = scale != "tiny"  # other tests run beside it, and want their caches
        self.work = os.path.join(folder, "work.img")
        self.log = os.path.join(folder, "log")
        self.key = os.path.join(folder, "key")
        with open(self.key, "wb") as f:
            f.write(os.urandom(32))

    def command(self, what, image):
        p, key, work = self.programs, self.key, self.work
        size = [] if image.fs else ["--device-size", image.length]
        return {
            "coffer": [p["coffer"], "encrypt", *PBKDF, *size, "--key-file", key, "--json", work],
            "stock": ["cryptsetup", "reencrypt", "--encrypt", "--type", "luks2", "--batch-mode",
                      "--force-offline-reencrypt", *PBKDF, "--reduce-device-size",
                      f"{RESERVE >> 20}M", "--key-file", key, work],
            "mover": [p["mover"], "move", work],
            "uring": [p["mover"], "move", "--io-uring", work],
            "fixed": [p["mover"], "move", "--io-uring", "--fixed", work],
            "read": [p["mover"], "read", work],
            "write": [p["mover"], "write", work],
        }[what]

    def once(self, row, side):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.work)
        row.image.copy(self.work)
        for what in SIDES[side]:
            settle(self.folder, self.drop)
            before = allocated(self.work)
            run = timed(self.command(what, row.image), self.log)
            run["allocated"] = [before, allocated(self.work)]
            if what == "coffer":
                run["summary"] = self.summary(row.image)
                if row.checked is None:
                    row.checked = row.image.check(self.work, self.key, self.programs["luks-cat"])
            if what in ("coffer", "stock"):
                run["sector_size"] = self.sector_size()
            row.runs[what].append(run)
            self.say(f"{row.name:34} {what:7} {run['seconds']:8.2f} s")
        os.unlink(self.work)

    def summary(self, image):
        with open(self.log, encoding="utf-8") as f:
            last = json.loads(f.read().splitlines()[-1])
        if not last.get("finished"):
            raise Failed(f"coffer ended with 0, but not the volume: {last}")
        if image.fs and not last["used_only"]:
            raise Failed(f"coffer has moved all of a clean {image.fs}: {last}")
        return last

    def sector_size(self):
        """Of the encryption, as stock reads it from the header."""
        meta = json.loads(machine.run("cryptsetup", "luksDump", "--dump-json-metadata", self.work))
        return next(s["sector_size"] for s in meta["segments"].values())

    def rounds(self, rows, n):
        """n rounds over all sides of all rows, every second one backwards."""
        turns = [(row, side) for row in rows for side in row.sides]
        need_room(self.folder, sum(r.image.content or r.image.size for r in rows) * 2 +
                  max(r.image.size if "stock" in r.sides else r.image.content for r in rows))
        for row in rows:
            self.say(f"{row.name:34} image")
            row.image.make()
        for i in range(n):
            for row, side in turns if i % 2 == 0 else turns[::-1]:
                self.once(row, side)

    def image(self, *args, **kw):
        return Image(self.folder, *args, **kw)

    def close(self):
        for path in (self.work, self.log, self.key):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)


def rows_random(b):
    """Random bytes from end to end."""
    return [[Row("random", b.image(b.scale["random"] + RESERVE), ["coffer", "stock", "mover"])]]


def rows_stock(b):
    """A little used in much, beside stock; one filesystem after the other, for the room."""
    return [[Row(fs, b.image(b.scale["size"], fs, b.scale["content"]), ["coffer", "stock"])]
            for fs in b.filesystems]


def rows_growth(b):
    """The same content in ever larger devices."""
    return [[Row(f"{fs} {size >> 20} MiB", b.image(size, fs, b.scale["content"]), ["coffer"])
             for size in b.scale["growth"]] for fs in b.filesystems]


def rows_used(b):
    """Ever more content in a device of the same size."""
    return [[Row(f"ext4 {n >> 20} MiB used", b.image(b.scale["size"], "ext4", n), ["coffer"])
             for n in b.scale["used"]]]


def rows_small(b):
    """Small files, a hole behind each."""
    return [[Row("ext4 of small files", b.image(b.scale["small"], "ext4", b.scale["small_content"],
                                                small=True), ["coffer", "stock"])]]


def rows_queue(b):
    """The mover by threads and by io_uring: which one the engine is to use."""
    return [[Row("queue", b.image(b.scale["random"] + RESERVE), ["threads", "uring", "fixed"])]]


# What is measured once, for a decision, and belongs to no report that compares programs.
ON_REQUEST = {"queue"}

ROWS = {"random": rows_random, "stock": rows_stock, "growth": rows_growth, "used": rows_used,
        "small": rows_small, "queue": rows_queue}


def measure(bench, name, n, keep):
    """All rows of a case, as they go into the report. The images of a group are there together."""
    found = []
    for group in ROWS[name](bench):
        try:
            bench.rounds(group, n)
        finally:
            for row in group:
                if not keep:
                    row.image.drop()
        found += [row.result() for row in group]
    return found
