#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""No plain text stays: every 512 bytes of every file carry a marker, and so do names. The raw image is
swept for them after a conversion, at commits of one, and after stock has gone on. COFFER_DEEP=1
takes every commit."""
import mmap
import os
import random
import shutil

import coffer
import fsfree
import fsgen
from disk import KiB, MiB, loop_if, memory_dir, run
from tap import DEEP, Tap

S = MiB  # coffer.SMALL
KINDS = {
    "ext4": (24 * MiB, ["-b", 4096]),
    "xfs": (48 * MiB, ["-b", "size=4096", "-s", "size=4096", "-d", f"size={48 * MiB}"]),
    "btrfs": (120 * MiB, ["-d", "single", "-m", "dup"]),
}
TAG = 16

tap = Tap()
tap.need_root()


class Marked:
    """A filesystem with live files among deleted ones. tags: what their content and names carry."""

    def __init__(self, folder, kind):
        self.folder, self.kind = folder, kind
        self.size, options = KINDS[kind]
        self.fs = fsgen.Fs(os.path.join(folder, kind), kind, 1, self.size, self.size + 2 * S,
                           options, "defaults")
        self.plain, self.key = self.fs.path, os.path.join(folder, "key")
        rnd = random.Random(kind)
        with open(self.key, "wb") as f:
            f.write(rnd.randbytes(32))
        self.tags = {t: rnd.randbytes(TAG) for t in ("live", "dead", "old")}
        self.tags["name"] = rnd.randbytes(TAG).hex().encode()
        with open(self.plain, "wb") as f:
            f.truncate(self.fs.device)
        fsgen.mkfs(self.fs)
        with fsgen.mount(self.plain, self.fs) as where:
            self._write(where, rnd)
        self.free = fsfree.free_ranges(self.plain, kind, self.size)
        self.before = self.sweep(self.plain)

    def _content(self, tag, size, rnd):
        return b"".join(self.tags[tag] + rnd.randbytes(512 - TAG) for _ in range(-(-size // 512)))

    def _write(self, where, rnd):
        def put(name, tag, size, mode="xb", at=0):
            with open(os.path.join(where, name), mode, buffering=0) as f:
                f.seek(at)
                f.write(self._content(tag, size, rnd))
                os.fsync(f.fileno())
        word = self.tags["name"].decode()
        for n in range(90):
            size = rnd.choice((4, 8, 20, 64, 128)) * KiB
            put(f"live-{n}-{word}", "live", size)
            put(f"dead-{n}", "dead", rnd.choice((4, 16, 100)) * KiB)
        put("big", "dead", 3 * MiB)  # a free gap longer than S
        os.symlink(word * 3, os.path.join(where, "link"))
        for n in range(20):
            put(f"cut-{n}", "old", 64 * KiB)
            put(f"over-{n}", "old", 32 * KiB)
        for n in range(20):
            os.truncate(os.path.join(where, f"cut-{n}"), 0)
            put(f"over-{n}", "live", 32 * KiB, "r+b")
        for name in os.listdir(where):
            if name.startswith(("dead", "big")):
                os.unlink(os.path.join(where, name))

    def sweep(self, path, start=0, end=None):
        """{tag: offsets at which it lies}"""
        with open(path, "rb") as f, mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ) as m:
            return {name: set(_find(m, tag, start, len(m) if end is None else end))
                    for name, tag in self.tags.items()}

    def copy(self):
        path = os.path.join(self.folder, "work")
        run("cp", "--sparse=always", self.plain, path)
        return path

    def command(self, img, *args):
        return coffer.command("encrypt", img, self.key, "--used-only", "yes", *args)

    def is_free(self, at):
        return any(a <= at < b for a, b in self.free)

    def leftovers(self, found):
        """The offsets that are no old acquaintances: those of free space may stay where they were."""
        return {name: sorted(at for at in offsets
                             if at not in self.before[name] or not self.is_free(at))[:5]
                for name, offsets in found.items()}


def _find(m, tag, start, end):
    at = m.find(tag, start, end)
    while at >= 0:
        yield at
        at = m.find(tag, at + len(tag), end)


def nothing_used(s, found):
    left = {k: v for k, v in s.leftovers(found).items() if v}
    assert not left, f"plain text of what is used is left: {left}"
    assert not found["live"], f"live files: {len(found['live'])} blocks"


# --- rows ----------------------------------------------------------------------------------------

def control(s):
    """The sweep finds all of it in the plain image, and what is live lies in used blocks."""
    assert len(s.before["live"]) > 5000 and len(s.before["name"]) > 90, s.before.keys()
    assert len(s.before["dead"]) > 1000, len(s.before["dead"])
    assert not any(s.is_free(at) for at in s.before["live"]), "a live block is free?"
    assert len(s.before["old"]) > 500, len(s.before["old"])


def converted(s, how, is_loop):
    img = s.copy()
    with loop_if(is_loop, img) as dev:
        run(*s.command(dev, "--free-space", how))
    coffer.assert_final(img)
    found = s.sweep(img)
    nothing_used(s, found)
    gone = {k: len(v) for k, v in found.items() if v}
    if how == "keep":
        assert len(found["dead"]) > 500, f"the sweep finds no deleted file: {gone}"
        most = fsfree.allocated(s.plain) + 2 * sum(
            b - a for a, b in fsfree.used_ranges(s.plain, s.kind, s.size)) + 3 * MiB
        assert fsfree.allocated(img) <= most, "the image is not sparse any more"
    else:
        assert not gone, gone


def interrupted(s, how, numbers):
    """No used marker lies in [p+S, D-S) when the header says p, whoever goes on from there."""
    seen = 0
    for n in numbers:
        img = s.copy()
        if not coffer.kill_before(f"header {n}", img, s.command(img, "--free-space", how)):
            break
        with open(img, "rb") as f:
            if f.read(6) != b"LUKS\xba\xbe":
                continue
        p = coffer.pointer(img)
        if p is None:
            continue
        seen += 1
        found = s.sweep(img, p + S, s.fs.device - S)
        nothing_used(s, found)
        if how == "fill":
            assert not any(found.values()), f"header {n}: {[(k, len(v)) for k, v in found.items()]}"
        if p and n % 4 == 3:
            run(*coffer.stock_resume(img, s.key))
            coffer.assert_final(img)
            nothing_used(s, s.sweep(img))
    assert seen > (5 if DEEP else 2), seen


with memory_dir() as folder:
    for kind in KINDS:
        where = os.path.join(folder, kind)
        os.mkdir(where)
        s = Marked(where, kind)
        tap.run([
            (f"{kind}: the sweep", control, s),
            *((f"{kind}: --free-space={how}, {'loop device' if dev else 'image'}", converted, s,
               how, dev) for how, dev in (("keep", False), ("discard", False), ("discard", True),
                                          ("fill", False))),  # only a discard takes another way
            (f"{kind}: keep, at commits", interrupted, s, "keep",
             range(3, 200, 2 if DEEP else 6)),  # of two copies
            (f"{kind}: fill, at commits", interrupted, s, "fill", range(3, 200, 3 if DEEP else 5)),
        ])
        shutil.rmtree(where)
tap.done()
