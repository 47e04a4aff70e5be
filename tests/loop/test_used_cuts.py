#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A run that follows a used map, interrupted at commits, in the middle of steps, and twice; then
resumed by coffer, and by stock cryptsetup, which knows no map. Every used block and every file is
what it was. COFFER_DEEP=1 takes every commit, and more of the moments within steps and of those in
pairs."""
import errno
import fcntl
import functools
import multiprocessing
import os
import random
import re
import shutil
import struct
import traceback

import alone
import coffer
import fsfree
import fsgen
from cuts import record
from disk import KiB, MiB, check_fs, copy_to, memory_dir, run
from tap import DEEP, Tap, few

S = MiB  # coffer.SMALL
FS_IOC_FIEMAP = 0xc020660b
ARGS = ["--used-only", "yes"]
# kind: size, options of mkfs
KINDS = {
    "ext4": (20 * MiB, ["-b", 1024, "-E", "lazy_itable_init=1"]),
    "xfs": (40 * MiB, ["-b", "size=4096", "-s", "size=4096", "-d", f"size={40 * MiB}"]),
    "btrfs": (120 * MiB, ["-d", "single", "-m", "dup"]),
}

# --- an image with used data on both sides of multiples of S, and nothing for long stretches -----

def extents(path):
    """[(start, end)] of a file in the filesystem's own addresses, by FIEMAP."""
    buf = bytearray(struct.pack("=QQIIII", 0, (1 << 64) - 1, 1, 0, 16, 0) + bytes(56 * 16))
    with open(path, "rb") as f:
        fcntl.ioctl(f.fileno(), FS_IOC_FIEMAP, buf)
    count = struct.unpack_from("=I", buf, 20)[0]
    found = [struct.unpack_from("=QQQ", buf, 32 + 56 * n) for n in range(count)]
    return [(at, at + n) for _, at, n in found]


def chunks(path, kind):
    """[(logical start, length, physical start)] of a btrfs, one row for anything else."""
    if kind != "btrfs":
        return [(0, 1 << 60, 0)]
    text = run("btrfs", "inspect-internal", "dump-tree", "-t", "3", path).stdout
    return [(int(re.match(r"(\d+)\)", c)[1]), int(re.search(r"length (\d+)", c)[1]),
             int(re.search(r"stripe 0 devid 1 offset (\d+)", c)[1]))
            for c in text.split("CHUNK_ITEM ")[1:]]


class Subject:
    """The filesystem, its used ranges and its manifest, and how coffer's run on it goes."""

    def __init__(self, folder, kind):
        self.folder, self.kind = folder, kind
        self.size, options = KINDS[kind]
        self.fs = fsgen.Fs(os.path.join(folder, kind), kind, 1, self.size, self.size + 2 * S,
                           options, "defaults")
        self.plain = self.fs.path
        self.key = os.path.join(folder, "key")
        with open(self.key, "wb") as f:
            f.write(os.urandom(32))
        # Where files come to lie depends on when the kernel writes them, so on the machine's load.
        for seed in range(2, 8):
            self._fill()
            self._thin_out(seed)
            self.used = fsfree.used_ranges(self.plain, kind, self.size)
            if not self.lacks():
                break
        with fsgen.mount(self.plain, self.fs, "ro") as where:
            self.fs.manifest = fsgen.manifest(where)
        self._count()

    def _fill(self):
        with open(self.plain, "wb") as f:
            f.truncate(self.fs.device)
        fsgen.mkfs(self.fs)
        rnd = random.Random(self.kind)
        with fsgen.mount(self.plain, self.fs) as where:
            try:
                for n in range(100000):
                    with open(os.path.join(where, f"f{n}"), "xb", buffering=0) as f:
                        f.write(rnd.randbytes(16 * KiB - rnd.choice((0, 0, 100))))
                        if n % 50 == 0:
                            os.fsync(f.fileno())
            except OSError as e:
                assert e.errno == errno.ENOSPC, e
        self.map = chunks(self.plain, self.kind)

    def _thin_out(self, seed):
        """Keeps a full stretch, what touches some multiples of S, and one file of 200."""
        rnd = random.Random(seed)
        with fsgen.mount(self.plain, self.fs) as where:
            found = sorted(self._place(*e)[0] for name in os.listdir(where) if name.startswith("f")
                           for e in extents(os.path.join(where, name)))
            self.dense = found[len(found) * 5 // 8]
            for name in sorted(os.listdir(where)):
                path = os.path.join(where, name)
                if name.startswith("f") and not rnd.random() < 0.005 and not any(
                        self._keeps(*e) for e in extents(path)):
                    os.unlink(path)

    def _place(self, start, end):
        for logical, length, physical in self.map:
            if logical <= start < logical + length:
                return start - logical + physical, end - logical + physical
        return start, end

    def _keeps(self, start, end):
        start, end = self._place(start, end)
        if self.dense <= start < self.dense + 5 * S // 2:
            return True
        near = (start + 24 * KiB) // S * S
        return near // S % 5 in (1, 2) and near - 24 * KiB <= start and end <= near + 24 * KiB

    def lacks(self):
        """What the rows below need of the image, and it has not."""
        gaps = [b[0] - a[1] for a, b in zip(self.used, self.used[1:])]
        below = [b for _, b in self.used if b % S > S - 32 * KiB or b % S == 0]
        above = [a for a, _ in self.used if 0 < a % S < 32 * KiB]
        across = [(a, b) for a, b in self.used if a // S != (b - 1) // S]
        used = sum(b - a for a, b in self.used)
        return [what for what, good in (
            (f"long gaps: {sorted(gaps)[-5:]}", max(gaps) > 2 * S and sum(g > S for g in gaps) >= 3),
            ("a long stretch", max(b - a for a, b in self.used) > 2 * S),
            ("used right below a multiple of S", below or across),
            ("used right above a multiple of S", above or across),
            ("free space enough to tell the ways apart", used < self.size * 3 // 4)) if not good]

    def _count(self):
        """What a whole run writes: numbers of its commits, and of its writes between them."""
        img = self.copy("counted")
        log = record(self.command(img), img)
        self.check(img)
        flat = [w for epoch in log.epochs for w in epoch]
        self.headers = sum(1 for at, _ in flat if at == 0)
        # from the first write of data on: what is written where no header is, before the end
        moved = [n for n, (at, data) in enumerate(flat, 1) if S <= at < self.fs.device - 2 * S]
        self.in_steps = [n for n in moved if n > 12]
        self.flushes = len(log.epochs)
        print(f"# {self.kind}: {sum(b - a for a, b in self.used) / MiB:.1f} MiB used in "
              f"{len(self.used)} ranges, {self.headers} headers, {len(flat)} writes, "
              f"{self.flushes} flushes")

    def copy(self, name="work"):
        return copy_to(self.plain, os.path.join(self.folder, name))

    def command(self, img, *args, program=coffer.COFFER):
        return coffer.command("encrypt", img, self.key, "--threads", "1", *ARGS, *args,
                              program=program)

    def check(self, img):
        coffer.assert_final(img)
        out = os.path.join(self.folder, "out")
        coffer.volume_file(img, self.key, self.size, out)
        lost = fsfree.differing(self.plain, out, self.used)
        assert not lost, f"used bytes differ, at {lost} ..."
        check_fs(out, self.kind)
        if self.fs.manifest is not None:
            with fsgen.mount(out, self.fs, "ro") as where:
                gone = fsgen.differences(self.fs.manifest, fsgen.manifest(where))
            assert not gone, gone


# --- rows ----------------------------------------------------------------------------------------

def shape(s):
    """The image is what the rows below need."""
    assert not s.lacks(), s.lacks()
    assert s.headers < 6 + s.size // S * 3 // 4, "the run does not follow the map"


def coffer_goes_on(s, img):
    placed = coffer.pointer(img) is not None if has_header(img) else False
    p = run(*s.command(img, "--json", program=coffer.COFFER), status=(0, 4))
    last = coffer.events(p)[-1]
    if p.returncode == 4:
        assert coffer.why(last) == "content EEXIST", last
        run("cryptsetup", "luksDump", img)  # repairs a torn second copy
    else:
        asked = placed and last["operation"] != "finalize"  # there the map may be gone already
        assert last["finished"] and (last["used_only"] or not asked), last
    s.check(img)


def has_header(img):
    with open(img, "rb") as f:
        return f.read(6) == b"LUKS\xba\xbe"


def stock_can(img):
    return has_header(img) and not coffer.is_final(img) and coffer.pointer(img)


def both(s, *moments):
    """Killed at each moment in turn, then resumed by coffer, and a copy by stock."""
    img, other = s.copy(), os.path.join(s.folder, "other")
    for n, moment in enumerate(moments):
        # a run that is killed before its last flush may leave nothing to do, which is status 4
        killed = coffer.kill_before(moment, img, s.command(img), done=(0, 4) if n else (0,))
        assert killed or n > 0, f"it was done before {moment}"
    shutil.copyfile(img, other)
    coffer_goes_on(s, img)
    if stock_can(other):
        run(*coffer.stock_resume(other, s.key))
        s.check(other)


def stock_in_between(s, moment, what):
    """Stock begins to go on, is killed, and coffer finishes."""
    img = s.copy()
    assert coffer.kill_before(moment, img, s.command(img))
    assert coffer.kill_before(what, img, coffer.stock_resume(img, s.key)), "stock was done"
    coffer.encrypt(img, s.key, "--used-only", "auto")
    s.check(img)


def rows(s):
    rnd = random.Random(3)
    k = s.kind
    yield f"{k}: the image", shape, s
    # steps are alike: the placement and the first commit, the end, and some in between
    for n in (*range(1, 5), *few(range(5, s.headers - 3), 4), *range(s.headers - 3, s.headers + 1)):
        yield f"{k}: killed before header {n}", both, s, f"header {n}"
    for n in few(range(3, s.headers, 3), 2)[1:]:
        yield f"{k}: killed within header {n}", both, s, f"header {n} torn"
    for n in sorted(rnd.sample(s.in_steps, min(12 if DEEP else 1, len(s.in_steps)))):
        yield f"{k}: killed within write {n}", both, s, f"write {n} torn"
    for n in sorted(rnd.sample(range(1, s.flushes), 10 if DEEP else 1)):
        m = rnd.randrange(1, 12)
        yield (f"{k}: killed before flush {n}, then before flush {m}", both, s, f"flush {n}",
               f"flush {m}")
    for n in sorted(rnd.sample(range(4, s.headers - 3), 4 if DEEP else 1)):
        m = rnd.randrange(3, 12)
        yield (f"{k}: killed before header {n}, stock before flush {m}", stock_in_between, s,
               f"header {n}", f"flush {m}")


def all_of(folder, kind):
    """[(name of the row, what is wrong with it or None)]"""
    where = os.path.join(folder, kind)
    os.mkdir(where)
    found = []
    for name, function, *arguments in rows(Subject(where, kind)):
        wrong = None
        try:
            function(*arguments)
        except Exception:
            wrong = traceback.format_exc()
        found.append((name, wrong))
    shutil.rmtree(where)
    return found


def main():
    tap = Tap()
    tap.need_root()
    alone.begin()
    with memory_dir() as folder, alone.scratch(folder), multiprocessing.Pool(len(KINDS)) as pool:
        for found in pool.imap(functools.partial(all_of, folder), KINDS):
            for name, wrong in found:
                tap.ok(wrong is None, name, wrong or "")
        # An end by SIGTERM, as the "with" would have it, is told of in the middle of a line.
        pool.close()
        pool.join()
    tap.done()


main()
